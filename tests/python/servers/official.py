"""A server of the official `mcp` package, 2.x, on the transport that is named on its command line.

`stdio`, or on a free port of the loopback interface, which it prints: `sse`, `streamable`,
`stateless`, `json`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import warnings
from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

server = MCPServer("official", instructions="Call a tool.")
started = asyncio.Event()
given_up = asyncio.Event()


class Choice(BaseModel):
    """What the user is asked for."""

    colour: str


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def route(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> dict[str, str]:
    """Say where it ran; over HTTP the region has to be in a header as well."""
    return {"region": region}


@server.tool()
def large(size: int) -> str:
    """Give a text of that many characters."""
    return "x" * size


@server.tool()
def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


@server.tool()
async def report(count: int, ctx: Context) -> str:
    """Report progress and write log lines, alternating."""
    for step in range(count):
        await ctx.report_progress(step, count, f"step {step}")
        await ctx.info({"step": step}, logger_name="test")
    return "reported"


@server.tool()
async def sample(ctx: Context) -> str:
    """Ask the client's model."""
    question = SamplingMessage(role="user", content=TextContent(type="text", text="Which?"))
    answer = await ctx.session.create_message(
        [question], max_tokens=7, related_request_id=ctx.request_id
    )
    return answer.content.text


@server.tool()
async def elicit(ctx: Context) -> str:
    """Ask the user."""
    answer = await ctx.elicit("Which colour?", Choice)
    return f"{answer.action} {answer.data.colour}"


@server.tool()
async def choose(ctx: Context) -> str | InputRequiredResult:
    """Ask the user and for the roots, as a server without sessions does."""
    answers = ctx.input_responses
    if answers is None:
        form = {"type": "object", "properties": {"colour": {"type": "string"}}}
        params = ElicitRequestFormParams(message="Which colour?", requested_schema=form)
        wishes = {"colour": ElicitRequest(params=params), "ä": ListRootsRequest()}
        return InputRequiredResult(input_requests=wishes, request_state="é as it is")
    return f"{answers['colour'].content['colour']} {answers['ä'].roots[0].uri} {ctx.request_state}"


@server.tool()
async def announce(ctx: Context) -> str:
    """Tell whoever listens that something has changed."""
    await ctx.notify_tools_changed()
    await ctx.notify_resource_updated("test://one")
    return "announced"


@server.tool()
async def roots(ctx: Context) -> str:
    """Ask for the roots."""
    return ", ".join(str(root.uri) for root in (await ctx.session.list_roots()).roots)


@server.tool()
async def hold(ctx: Context) -> str:
    """Wait until the caller gives up."""
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        given_up.set()
    return "never"


@server.tool()
async def wait_for_hold() -> str:
    """Answer once `hold` runs."""
    await started.wait()
    return "held"


@server.tool()
async def wait_for_release() -> str:
    """Answer once `hold` was cancelled."""
    await given_up.wait()
    return "released"


@server.resource("test://one")
def one() -> str:
    """Give a resource."""
    return "one"


@server.prompt()
def ask_about(topic: str) -> str:
    """Ask about a topic."""
    return f"About {topic}."


def main() -> None:
    """Serve until killed."""
    mode = sys.argv[1]
    if mode == "stdio":
        server.run("stdio")
        return
    import uvicorn

    if mode == "sse":
        app = server.sse_app()
    else:
        app = server.streamable_http_app(
            stateless_http=mode == "stateless", json_response=mode == "json"
        )
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
