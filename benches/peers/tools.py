"""Tools from the wire to OpenAI's format: `litellm` over `mcp`, or `toolbridge`.

Arguments: the package of the bridge, the package of the session, the command of the server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    from collections.abc import Iterable

TOOLS = 1_000


async def main(bridge: str, package: str, server: str) -> None:
    """Serves the rows `wire` (over a session) and `memory` (from JSON text)."""
    client = import_module(f"{bridge}.experimental_mcp_client")
    transform = import_module(
        f"{bridge}.experimental_mcp_client.tools"
    ).transform_mcp_tool_to_openai_tool
    mcp = import_module(package)
    listing_class = import_module(f"{package}.types").ListToolsResult
    stdio_client = import_module(f"{package}.client.stdio").stdio_client
    text = listing_text(server)

    async with (
        stdio_client(mcp.StdioServerParameters(command=server, args=["--tools", str(TOOLS)])) as (
            read,
            write,
        ),
        mcp.ClientSession(read, write) as session,
    ):
        await session.initialize()

        async def wire() -> None:
            check(await client.load_mcp_tools(session, format="openai"))

        async def memory() -> None:
            check([transform(tool) for tool in parse(listing_class, text)])

        rows = {"wire": measure.one_by_one(wire), "memory": measure.one_by_one(memory)}
        await measure.serve(rows)


def listing_text(server: str) -> str:
    """The result of `tools/list` as JSON text, asked of the server without any client."""
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    answer = subprocess.run(
        [server, "--tools", str(TOOLS)],
        input=request,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.dumps(json.loads(answer.stdout)["result"], separators=(",", ":"))


def parse(listing_class: Any, text: str) -> Iterable[Any]:
    """The tools of the text, by the shortest way to what the bridge transforms.

    LiteLLM's takes the SDK's models; ours takes plain dicts as well.
    """
    if hasattr(listing_class, "model_validate_json"):
        return listing_class.model_validate_json(text).tools
    return json.loads(text)["tools"]


def check(tools: list[dict[str, dict[str, object]]]) -> None:
    """Ends the measurement when the tools are not those of the server."""
    if (
        len(tools) != TOOLS
        or not tools[-1]["function"]["name"]
        or not tools[-1]["function"]["parameters"]
    ):
        sys.exit("the tools came back changed")


asyncio.run(main(*sys.argv[1:]))
