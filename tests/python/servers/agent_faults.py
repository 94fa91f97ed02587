"""A stdio server of the official `mcp` package, 2.x, for runs of the tool loop in which something happens."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import warnings
from collections import defaultdict
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

server = MCPServer("agent-faults")
begun: list[int] = []
everyone = asyncio.Event()
over: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)


class Choice(BaseModel):
    """What the user is asked for."""

    colour: str


@server.tool()
async def stall(ctx: Context) -> str:
    """Say the number of the process, and never answer."""
    await ctx.report_progress(1, message=str(os.getpid()))
    await asyncio.Event().wait()
    return "never"


@server.tool()
async def meet(number: int, count: int) -> str:
    """Answer once so many calls have begun: the one with the highest number first."""
    begun.append(number)
    if len(begun) == count:
        everyone.set()
    await everyone.wait()
    if number + 1 < count:
        await over[number + 1].wait()
    over[number].set()
    return f"{number} of {len(begun)}"


@server.tool()
def large(size: int) -> str:
    """Give a text of that many characters, in lines that have numbers."""
    line = "this is line {:08}\n"
    lines = size // len(line.format(0)) + 1
    return "".join(map(line.format, range(lines)))[:size]


@server.tool()
def note(word: str = "called") -> str:
    """Leave a trace of the call."""
    with Path(sys.argv[1]).open("a", encoding="utf-8") as diary:
        diary.write(f"{word}\n")
    return "noted"


@server.tool()
async def elicit(ctx: Context) -> str:
    """Ask the user."""
    answer = await ctx.elicit("Which colour?", Choice)
    return f"{answer.action} {getattr(answer.data, 'colour', None)}"


QUESTION = SamplingMessage(role="user", content=TextContent(type="text", text="Which?"))


@server.tool()
async def sample(ctx: Context) -> str:
    """Ask a model of the client's."""
    answer = await ctx.session.create_message(
        [QUESTION], max_tokens=7, system_prompt="Be brief.", related_request_id=ctx.request_id
    )
    return f"{answer.model} says {answer.content.text}"


@server.tool()
async def sample_later(ctx: Context) -> str | InputRequiredResult:
    """Do the same as a server without a handshake does."""
    if ctx.input_responses is None:
        params = CreateMessageRequestParams(
            messages=[QUESTION], maxTokens=7, systemPrompt="Be brief."
        )
        wish = CreateMessageRequest(params=params)
        return InputRequiredResult(input_requests={"answer": wish}, request_state="asked")
    answer = ctx.input_responses["answer"]
    return f"{answer.model} says {answer.content.text}"


if __name__ == "__main__":
    server.run("stdio")
