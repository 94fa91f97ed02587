"""A client of the official `mcp` package, 1.x or 2.x: `official.py WAY URL`.

`sse`, `streamable`, or a `mode` of the `Client` of 2.x. Prints what it was told, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import mcp
from mcp.client import sse, streamable_http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

warnings.simplefilter("ignore")


@asynccontextmanager
async def streams(way: str, url: str) -> AsyncIterator[Any]:
    if way == "sse":
        async with sse.sse_client(url) as both:
            yield both
    else:
        # 1.x has it with the id of the session as well.
        async with streamable_http.streamable_http_client(url) as both:
            yield both[:2]


async def main(way: str, url: str) -> dict[str, Any]:
    if way in {"sse", "streamable"}:
        async with streams(way, url) as (read, write), mcp.ClientSession(read, write) as session:
            await session.initialize()
            return await use(session)
    async with mcp.Client(url, mode=way) as client:
        return await use(client)


async def use(session: Any) -> dict[str, Any]:
    tools = (await session.list_tools()).tools
    results = await asyncio.gather(
        *(session.call_tool("official-add", {"a": 1, "b": number}) for number in range(20))
    )
    return {
        "tools": [tool.name for tool in tools],
        "said": [result.content[0].text for result in results],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
