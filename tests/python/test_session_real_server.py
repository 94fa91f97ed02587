"""A real server that others wrote: mcp-server-time."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from toolbridge import MCPError
from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mcp_server_time") is None, reason="mcp-server-time is not installed"
)
SERVER = StdioServerParameters(
    sys.executable, ["-m", "mcp_server_time", "--local-timezone", "Europe/Zurich"]
)


@pytest.mark.asyncio
async def test_a_session_with_mcp_server_time():
    async with stdio_client(SERVER, None) as streams, ClientSession(*streams) as session:
        result = await session.initialize()
        assert result.serverInfo.name == "mcp-time"
        assert session.server_capabilities.tools is not None
        await session.send_ping()

        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert tools.keys() == {"get_current_time", "convert_time"}
        assert tools["convert_time"].inputSchema["type"] == "object"
        assert set(tools["convert_time"].input_schema["required"]) == {
            "source_timezone",
            "time",
            "target_timezone",
        }

        arguments = {
            "source_timezone": "Europe/Zurich",
            "time": "12:00",
            "target_timezone": "Asia/Tokyo",
        }
        converted = await session.call_tool("convert_time", arguments)
        assert not converted.isError
        assert json.loads(converted.content[0].text)["target"]["timezone"] == "Asia/Tokyo"

        failed = await session.call_tool("get_current_time", {"timezone": "No/Where"})
        assert failed.isError
        assert "No/Where" in failed.content[0].text

        with pytest.raises(MCPError):
            await session.get_prompt("no such prompt")
