"""The tool bridge with sessions of the official SDK that is installed, 1.x or 2.x."""

from __future__ import annotations

from contextlib import asynccontextmanager

import mcp.types
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tool_bridge_cases import CASES, COMMAND, arguments, call, run
from toolbridge.experimental_mcp_client import call_mcp_tool, call_openai_tool, load_mcp_tools
from toolbridge.experimental_mcp_client.tools import (
    to_anthropic_block,
    to_openai_messages,
    transform_mcp_tool_to_anthropic_tool,
    transform_mcp_tool_to_openai_responses_api_tool,
    transform_mcp_tool_to_openai_tool,
)

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def opened(kind):
    parameters = StdioServerParameters(command=COMMAND, args=arguments(kind))
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_with_an_official_session(case, caplog, monkeypatch):
    await run(case, opened, caplog, monkeypatch)


async def test_official_objects_come_back_from_official_sessions():
    async with opened("pages") as session:
        assert isinstance((await load_mcp_tools(session))[0], mcp.types.Tool)
        result = await call_openai_tool(session, call("tool_0", "{}"))
        assert isinstance(result, mcp.types.CallToolResult)
        params = mcp.types.CallToolRequestParams(name="tool_0", arguments={"n": 1})
        assert (await call_mcp_tool(session, params)).content[0].text == '{"n": 1}'


async def test_official_tools_are_transformed_as_the_same_dicts_are():
    sent = {
        "name": "add",
        "description": "Adds",
        "inputSchema": {"properties": {"a": {"type": "number"}}, "anyOf": [{"required": ["a"]}]},
    }
    tool = mcp.types.Tool.model_validate(sent)
    for transform in (
        transform_mcp_tool_to_openai_tool,
        transform_mcp_tool_to_openai_responses_api_tool,
        transform_mcp_tool_to_anthropic_tool,
    ):
        assert transform(tool) == transform(sent)
    bare = mcp.types.Tool.model_validate({"name": "ping", "inputSchema": {}})
    described = transform_mcp_tool_to_openai_tool(bare)
    assert described["function"]["description"] == ""


async def test_official_results_reach_a_model_as_the_same_dicts_do():
    sent = {
        "content": [
            {"type": "text", "text": "8"},
            {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "Buy milk."}},
            {"type": "resource_link", "uri": "https://example.com/b", "name": "b"},
            {"type": "text", "text": "!", "annotations": {"audience": ["user"]}},
        ],
        "structuredContent": {"result": "8"},
        "isError": True,
    }
    result = mcp.types.CallToolResult.model_validate(sent)
    for convert in (to_anthropic_block, to_openai_messages):
        expected = convert(sent, "call_1")
        assert convert(result, "call_1") == expected
        assert convert({**sent, "content": result.content}, "call_1") == expected
