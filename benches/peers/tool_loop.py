"""The tool loop: `client.run` of toolbridge, or the loop that users write with `litellm` and `mcp`.

Arguments: the contender (`toolbridge` or `litellm`), the command of the MCP server, the address of the
endpoints. The model of `benches/servers/model_rounds.rs` asks for 8 calls at once in each of 10 rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Loop = Callable[[], Awaitable[str | None]]

MODEL = "openai/gpt-4o"
QUESTION = {"role": "user", "content": "Does everything come back?"}
ANSWER = "All echoes came back."


@contextlib.asynccontextmanager
async def run_of_a_client(server: str, options: dict[str, str]) -> AsyncIterator[Loop]:
    """`client.run`."""
    toolbridge = import_module("toolbridge")
    async with toolbridge.Client({"mcpServers": {"bench": {"command": server}}}) as client:

        async def loop() -> str | None:
            return (await client.run(MODEL, [QUESTION], **options)).text

        yield loop


@contextlib.asynccontextmanager
async def written_by_hand(server: str, options: dict[str, str]) -> AsyncIterator[Loop]:
    """What the documentation of litellm shows, with the calls of a round side by side."""
    litellm = import_module("litellm")
    bridge = import_module("litellm.experimental_mcp_client")
    mcp = import_module("mcp")
    stdio_client = import_module("mcp.client.stdio").stdio_client
    parameters = mcp.StdioServerParameters(command=server)
    async with stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        tools = await bridge.load_mcp_tools(session, format="openai")

        async def loop() -> str | None:
            messages: list[Any] = [QUESTION]
            while True:
                response = await litellm.acompletion(
                    model=MODEL, messages=messages, tools=tools, **options
                )
                message = response.choices[0].message
                messages.append(message)
                if not message.tool_calls:
                    return message.content
                results = await asyncio.gather(
                    *(bridge.call_openai_tool(session, call) for call in message.tool_calls)
                )
                messages += [
                    {"role": "tool", "tool_call_id": call.id, "content": result.content[0].text}
                    for call, result in zip(message.tool_calls, results, strict=True)
                ]

        yield loop


async def main(contender: str, server: str, url: str) -> None:
    """Serves the row `loop`."""
    make = {"toolbridge": run_of_a_client, "litellm": written_by_hand}[contender]
    options = {"api_base": f"{url}/rounds/v1", "api_key": "sk-bench"}
    async with make(server, options) as loop:

        async def checked() -> None:
            if await loop() != ANSWER:
                sys.exit("the loop ended with another answer")

        await measure.serve({"loop": measure.one_by_one(checked)})


asyncio.run(main(*sys.argv[1:]))
