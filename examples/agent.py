"""The tool loop in one call: a model and the tools of MCP servers, until the model is done.

Starts ``mcp-server-time`` and a small calculator (``mcp_server.py``). Without ``OPENAI_API_KEY`` the
model is a scripted stand-in.
"""

from __future__ import annotations

import asyncio
import sys

from quickstart import time_server
from scripted_model import model

from toolbridge import Client
from toolbridge.mcp import StdioServerParameters

SERVERS = {
    "time": time_server(),
    "calculator": StdioServerParameters(command=sys.executable, args=["mcp_server.py"]),
}
QUESTION = {"role": "user", "content": "What time is it in Paris right now?"}


async def main() -> None:
    """Ask, and print the answer and the way to it."""
    with model() as (name, options):
        async with Client(SERVERS) as client:
            result = await client.run(name, [QUESTION], **options)
    for call in result.calls:
        print(f"{call.server}: {call.name}({call.arguments}) took {call.seconds:.3f} s")
    print(f"\n{result.text}")
    print(f"\n{result.rounds} rounds, {result.usage.total_tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main())
