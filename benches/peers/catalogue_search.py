"""A search over the tools of an MCP server that has ten thousand: `client.search_tools`.

Argument: the command of the server.
"""

from __future__ import annotations

import asyncio
import sys

import measure

from toolbridge import Client

TOOLS = 10_000
LIMIT = 10


async def main(server: str) -> None:
    """Serves the row `search_client`."""
    described = {"command": server, "args": ["--tools", str(TOOLS)]}
    async with Client({"mcpServers": {"bench": described}}) as client:

        async def search() -> None:
            if len(await client.search_tools("archive the messages of a customer", LIMIT)) != LIMIT:
                sys.exit("other tools were found")

        await measure.serve({"search_client": measure.one_by_one(search)})


asyncio.run(main(*sys.argv[1:]))
