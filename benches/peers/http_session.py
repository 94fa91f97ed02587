"""Calls over Streamable HTTP with the `ClientSession` of a package: `mcp` or `toolbridge.mcp`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from time import perf_counter

import measure
from sessions import opened

TEXT = "hello"


async def main(package: str, url: str) -> None:
    """Serves the rows `http_one` and `http_many`."""
    import_module(package)
    async with opened(package, "http", url) as session:

        async def echo() -> None:
            result = await session.call_tool("echo", {"text": TEXT})
            if result.content[0].text != TEXT:
                sys.exit("the echo came back changed")

        async def call_many(count: int) -> list[float]:
            start = perf_counter()
            calls = (session.call_tool("echo", {"text": TEXT}) for _ in range(count))
            results = await asyncio.gather(*calls)
            if any(result.content[0].text != TEXT for result in results):
                sys.exit("an echo came back changed")
            return [perf_counter() - start]

        await measure.serve({"http_one": measure.one_by_one(echo), "http_many": call_many})


asyncio.run(main(sys.argv[1], sys.argv[2]))
