"""The tool bridge with sessions of toolbridge."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from tool_bridge_cases import CASES, COMMAND, arguments, run
from toolbridge.exceptions import ConfigurationError
from toolbridge.experimental_mcp_client import load_mcp_tools
from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client, types

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def opened(kind):
    parameters = StdioServerParameters(command=COMMAND, args=arguments(kind))
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_with_our_session(case, caplog, monkeypatch):
    await run(case, opened, caplog, monkeypatch)


async def test_our_tools_come_back_with_everything_that_the_server_said():
    async with opened("pages") as session:
        tool = (await load_mcp_tools(session))[0]
        assert isinstance(tool, types.Tool)
        assert tool.annotations.read_only_hint is True
        assert tool["x-unknown"] == {"kept": None}


async def test_a_schema_of_a_server_that_is_not_an_object_is_an_error_that_names_the_tool():
    async with opened("broken") as session:
        with pytest.raises(ConfigurationError, match='inputSchema of the tool "tool_1" is a list'):
            await load_mcp_tools(session, format="openai")
        assert len(await load_mcp_tools(session, format="mcp")) == 2
