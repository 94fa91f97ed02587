"""Calls through a gateway of MCP servers: `URL`, and `LIST_URL` where it has many servers behind it.

The client is toolbridge's for every gateway, so that what differs is the gateway.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from time import perf_counter

import measure

from toolbridge.mcp import Client

TEXT = "hello"
# Fifty servers of a hundred tools.
LISTED = 5_000


async def main(url: str, list_url: str | None) -> None:
    """Serves the rows `gateway_call_one`, `gateway_call_many` and `gateway_list`."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(url, mode="legacy", cache=None))
        lister = client
        if list_url is not None:
            lister = await stack.enter_async_context(Client(list_url, mode="legacy", cache=None))
        tools = (await client.list_tools()).tools
        (name,) = (tool.name for tool in tools if tool.name.endswith("echo"))

        async def echo() -> None:
            result = await client.call_tool(name, {"text": TEXT})
            if result.content[0].text != TEXT:
                sys.exit("the echo came back changed")

        async def call_many(count: int) -> list[float]:
            start = perf_counter()
            await asyncio.gather(*(echo() for _ in range(count)))
            return [perf_counter() - start]

        async def list_all() -> None:
            page = await lister.list_tools()
            count = len(page.tools)
            while page.next_cursor is not None:
                page = await lister.list_tools(cursor=page.next_cursor)
                count += len(page.tools)
            if count != LISTED:
                sys.exit(f"{count} of {LISTED} tools came")

        rows = {
            "gateway_call_one": measure.one_by_one(echo),
            "gateway_call_many": call_many,
            "gateway_list": measure.one_by_one(list_all),
        }
        await measure.serve(rows)


asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))  # noqa: PLR2004
