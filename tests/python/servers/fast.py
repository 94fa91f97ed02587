"""A server of the `fastmcp` package, on the transport that is named on its command line, as `official.py`."""

from __future__ import annotations

import logging
import socket
import sys
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

from fastmcp import Context, FastMCP  # noqa: E402 - it warns while it is imported

server = FastMCP("official", instructions="Call a tool.")


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
async def hold() -> str:
    """Never called."""
    return "never"


@server.tool()
async def report(count: int, ctx: Context) -> str:
    """Report progress."""
    for step in range(count):
        await ctx.report_progress(step, count, f"step {step}")
    return "reported"


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
        server.run("stdio", show_banner=False)
        return
    import uvicorn

    if mode == "sse":
        app = server.http_app(path="/sse", transport="sse")
    else:
        app = server.http_app(
            path="/mcp", stateless_http=mode == "stateless", json_response=mode == "json"
        )
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
