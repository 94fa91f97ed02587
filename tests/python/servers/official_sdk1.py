"""The same as `official.py` with the official `mcp` package, 1.x.

`stdio`, or on a free port of the loopback interface, which it prints: `sse`, `streamable`,
`stateless`, `json`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import warnings

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

mode = sys.argv[1]
server = FastMCP(
    "official",
    instructions="Call a tool.",
    stateless_http=mode == "stateless",
    json_response=mode == "json",
)
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
        await ctx.session.send_log_message(
            "info", {"step": step}, logger="test", related_request_id=ctx.request_id
        )
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
    if mode == "stdio":
        server.run("stdio")
        return
    import uvicorn

    app = server.sse_app() if mode == "sse" else server.streamable_http_app()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
