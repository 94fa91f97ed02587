"""The client that the official MCP conformance suite tests: ``client.py SERVER_URL``.

The suite names the scenario in ``MCP_CONFORMANCE_SCENARIO`` and the revision that its server
speaks in ``MCP_CONFORMANCE_PROTOCOL_VERSION``. Exit status 0 says that the session did all that
the scenario asks for, 2 that this kind of scenario is not supported yet.
"""

import asyncio
import os
import sys

from toolbridge.mcp import ClientSession, types
from toolbridge.mcp.client.streamable_http import streamablehttp_client

HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
UNSUPPORTED = 2


def accept_defaults(context, params):
    """Accept an elicitation with the default of each field that has one (SEP-1034)."""
    properties = params.requestedSchema.get("properties", {})
    content = {name: field["default"] for name, field in properties.items() if "default" in field}
    return types.ElicitResult(action="accept", content=content)


async def list_tools(session):
    await session.list_tools()


async def call_add_numbers(session):
    await session.list_tools()
    await expect_text(session, "add_numbers", {"a": 2, "b": 3}, "The sum of 2 and 3 is 5")


async def call_eliciting_tool(session):
    await session.list_tools()
    result = await session.call_tool("test_client_elicitation_defaults", {})
    assert not result.isError, result


async def call_tool_whose_stream_ends(session):
    await session.list_tools()
    await expect_text(session, "test_reconnection", {}, "Reconnection test completed successfully")


async def echo_input_schema(session):
    listed = await session.list_tools()
    (schema,) = [
        tool.inputSchema for tool in listed.tools if tool.name == "json_schema_2020_12_tool"
    ]
    await expect_text(session, "json_schema_echo", {"schema": schema}, "echoed")


async def expect_text(session, tool, arguments, text):
    result = await session.call_tool(tool, arguments)
    assert [block.text for block in result.content] == [text], result


SCENARIOS = {
    "initialize": list_tools,
    "tools_call": call_add_numbers,
    "elicitation-sep1034-client-defaults": call_eliciting_tool,
    "sse-retry": call_tool_whose_stream_ends,
    "json-schema-2020-12-preservation": echo_input_schema,
}


def what_is_unsupported(scenario, revision):
    """Say what this client lacks for the scenario, or None if it lacks nothing."""
    if scenario.startswith("auth/"):
        return "authorization"
    if revision not in HANDSHAKE_REVISIONS:
        return f"revision {revision}"
    if scenario not in SCENARIOS:
        return "this scenario"
    return None


async def run(scenario, url):
    async with (
        streamablehttp_client(url) as (read, write, _),
        ClientSession(read, write, elicitation_callback=accept_defaults) as session,
    ):
        await session.initialize()
        await SCENARIOS[scenario](session)


def main():
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    lacking = what_is_unsupported(scenario, os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"])
    if lacking is not None:
        print(f"{scenario}: {lacking} is not supported yet", file=sys.stderr)
        return UNSUPPORTED
    asyncio.run(run(scenario, sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
