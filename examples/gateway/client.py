"""A client of the gateway that ``make gateway`` starts: its tools, a call of one, and its model."""

from __future__ import annotations

import asyncio
import sys

from toolbridge import acompletion
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.streamable_http import streamable_http_client

GATEWAY = "http://localhost:4000"


async def main(gateway: str = GATEWAY) -> None:
    """Use the gateway at an address."""
    async with (
        streamable_http_client(f"{gateway}/mcp") as (read, write),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = await session.list_tools()
        print("Tools:", ", ".join(tool.name for tool in tools.tools))
        result = await session.call_tool("time-get_current_time", {"timezone": "Europe/Paris"})
        print("In Paris:", result.content[0].text)
    response = await acompletion(
        model="openai/scripted",
        api_base=f"{gateway}/v1",
        api_key="sk-1234",
        messages=[{"role": "user", "content": "Who are you?"}],
    )
    print("The model:", response.choices[0].message.content)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
