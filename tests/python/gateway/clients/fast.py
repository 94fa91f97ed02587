"""A client of the `fastmcp` package, as `official.py`; `sse`, or `auto` for what it finds out."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

from fastmcp import Client  # noqa: E402 - it warns while it is imported
from fastmcp.client.transports import SSETransport  # noqa: E402

from official import use  # noqa: E402 - after the warnings are silent


async def main(way: str, url: str) -> dict[str, Any]:
    async with Client(SSETransport(url) if way == "sse" else url) as client:
        return await use(FullNames(client))


class FullNames:
    """The names of the official package for what `fastmcp` gives without an envelope."""

    def __init__(self, client: Client[Any]) -> None:
        self.list_tools = client.list_tools_mcp
        self.call_tool = client.call_tool_mcp


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
