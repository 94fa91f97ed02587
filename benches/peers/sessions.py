"""Sessions of a package, `mcp` (1.x or 2.x) or `toolbridge.mcp`, over a transport."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def opened(package: str, transport: str, target: str) -> AsyncIterator[Any]:
    """An open session.

    Args:
        package: Whose.
        transport: `stdio` or `http`.
        target: The command, or the URL.
    """
    mcp = import_module(package)
    if transport == "stdio":
        client = import_module(f"{package}.client.stdio").stdio_client(
            mcp.StdioServerParameters(command=target)
        )
    else:
        client = import_module(f"{package}.client.streamable_http").streamable_http_client(target)
    async with client as streams, mcp.ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        yield session
