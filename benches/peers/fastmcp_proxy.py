"""A proxy of FastMCP on loopback: `PORT URL`, or `PORT URL COUNT` for COUNT servers behind one address."""

from __future__ import annotations

import sys

from fastmcp import FastMCP
from fastmcp.server import create_proxy


def main(port: int, url: str, count: int) -> None:
    """Serves until it is ended."""
    if count == 1:
        server = create_proxy(url)
    else:
        server = FastMCP("bench")
        for number in range(count):
            server.mount(create_proxy(url), namespace=f"s{number}")
    server.run(transport="http", host="127.0.0.1", port=port, path="/mcp", log_level="error")


main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)  # noqa: PLR2004
