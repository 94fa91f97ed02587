"""Calls over stdio with the `ClientSession` of a package: `mcp` (1.x or 2.x) or `toolbridge.mcp`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from time import perf_counter

import measure

TEXT = "hello"
BIG_RESULT_BYTES = 999_000


async def main(package: str, server: str) -> None:
    """Serves the rows `call_one`, `call_many` and `big`."""
    mcp = import_module(package)
    stdio_client = import_module(f"{package}.client.stdio").stdio_client

    async with (
        stdio_client(mcp.StdioServerParameters(command=server)) as (read, write),
        mcp.ClientSession(read, write) as session,
    ):
        await session.initialize()

        async def echo() -> None:
            result = await session.call_tool("echo", {"text": TEXT})
            if result.content[0].text != TEXT:
                sys.exit("the echo came back changed")

        async def big() -> None:
            result = await session.call_tool("big", {})
            if len(result.content[0].text) < BIG_RESULT_BYTES:
                sys.exit("the big result came back short")

        async def call_many(count: int) -> list[float]:
            start = perf_counter()
            calls = (session.call_tool("echo", {"text": TEXT}) for _ in range(count))
            results = await asyncio.gather(*calls)
            if any(result.content[0].text != TEXT for result in results):
                sys.exit("an echo came back changed")
            return [perf_counter() - start]

        rows = {
            "call_one": measure.one_by_one(echo),
            "call_many": call_many,
            "big": measure.one_by_one(big),
        }
        await measure.serve(rows)


asyncio.run(main(sys.argv[1], sys.argv[2]))
