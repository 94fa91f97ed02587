"""What the tool bridge does with a session, whoever's session it is.

Each case takes `opened(kind)`, which opens a session with the catalogue server. The cases run with
our session, and with the sessions of the official SDK 1 and 2.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from toolbridge import experimental_mcp_client
from toolbridge.exceptions import ConfigurationError, MCPError, MCPTimeoutError
from toolbridge.experimental_mcp_client import call_mcp_tool, call_openai_tool, load_mcp_tools
from toolbridge.experimental_mcp_client.tools import (
    list_tools_with_pagination,
    transform_mcp_tool_to_openai_tool,
    transform_openai_tool_call_request_to_mcp_tool_call_request,
)

SERVER = Path(__file__).parent / "servers" / "catalogue.py"
COMMAND = sys.executable
NAMES = [f"tool_{number}" for number in range(6)]


def arguments(kind):
    return ["-I", "-S", str(SERVER), kind]


def field(value, camel, snake):
    """Reads a field by the spelling that the official package of this environment has."""
    return getattr(value, camel) if hasattr(value, camel) else getattr(value, snake)


def call(name, sent):
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": sent}}


async def every_page_is_listed(opened):
    async with opened("pages") as session:
        tools = await load_mcp_tools(session)
        assert [tool.name for tool in tools] == NAMES
        assert field(tools[0], "inputSchema", "input_schema")["type"] == "object"
        by_keywords = await experimental_mcp_client.load_mcp_tools(session=session, format="mcp")
        assert [type(tool) for tool in by_keywords] == [type(tool) for tool in tools]


async def every_page_is_listed_in_openai_format(opened):
    async with opened("pages") as session:
        described = await load_mcp_tools(session, format="openai")
        assert described == [
            transform_mcp_tool_to_openai_tool(tool) for tool in await load_mcp_tools(session)
        ]
        assert described[5] == {
            "type": "function",
            "function": {
                "name": "tool_5",
                "description": "Tool 5",
                "parameters": {
                    "type": "object",
                    "properties": {"n": {"type": "integer"}},
                    "additionalProperties": False,
                },
                "strict": False,
            },
        }


async def a_tool_call_of_a_model_is_called(opened):
    async with opened("pages") as session:
        result = await call_openai_tool(session=session, openai_tool=call("tool_1", '{"n": 3}'))
        assert result.content[0].text == '{"n": 3}'
        assert field(result, "isError", "is_error") is False
        params = transform_openai_tool_call_request_to_mcp_tool_call_request(
            openai_tool=call("tool_1", "")
        )
        assert (params.name, params.arguments) == ("tool_1", {})
        again = await call_mcp_tool(session=session, call_tool_request_params=params)
        assert again.content[0].text == "{}"
        assert type(again) is type(result)
        plain = await call_mcp_tool(session, {"name": "tool_2", "arguments": {"n": 1}})
        assert plain.content[0].text == '{"n": 1}'


async def a_call_of_a_tool_that_the_server_lacks_is_a_result(opened):
    async with opened("pages") as session:
        result = await call_openai_tool(session, call("nope", "{}"))
        assert field(result, "isError", "is_error") is True
        assert result.content[0].text == "unknown tool nope"


async def a_repeated_cursor_ends_the_listing(opened, caplog):
    async with opened("repeated") as session:
        with caplog.at_level(logging.WARNING, logger="toolbridge"):
            tools = await list_tools_with_pagination(session)
        assert [tool.name for tool in tools[:6]] == NAMES
        assert "the server repeated a cursor" in caplog.text
        with pytest.raises(MCPError, match="repeated a cursor") as caught:
            await list_tools_with_pagination(session, require_complete=True)
        assert caught.value.code == -32603


async def an_endless_catalogue_is_cut(opened, caplog, monkeypatch):
    monkeypatch.setenv("MCP_TOOL_LISTING_MAX_PAGES", "4")
    async with opened("endless") as session:
        with caplog.at_level(logging.WARNING, logger="toolbridge"):
            assert len(await load_mcp_tools(session, format="openai")) == 8
        assert "did not end within 4 pages" in caplog.text
        monkeypatch.setenv("MCP_TOOL_LISTING_MAX_PAGES", "many")
        with pytest.raises(ConfigurationError, match=r"MAX_PAGES takes .*'many'"):
            await load_mcp_tools(session)


async def an_empty_cursor_ends_the_listing_without_a_warning(opened, caplog):
    async with opened("empty-cursor") as session:
        assert len(await load_mcp_tools(session)) == 2
        assert "not complete" not in caplog.text


async def a_listing_that_takes_too_long_is_cut_at_its_deadline(opened, caplog):
    async with opened("stuck") as session:
        with caplog.at_level(logging.WARNING, logger="toolbridge"):
            tools = await list_tools_with_pagination(session, listing_deadline=0.3)
        assert [tool.name for tool in tools] == NAMES[:2]
        assert "did not end within 0.3 seconds" in caplog.text
        with pytest.raises(MCPError, match="not complete"):
            await list_tools_with_pagination(session, 0.3, require_complete=True)


async def a_server_that_lists_nothing_in_time_is_an_error_and_not_an_empty_catalogue(opened):
    async with opened("mute") as session:
        with pytest.raises(MCPTimeoutError, match=r"did not answer tools/list within 0\.2 seconds"):
            await list_tools_with_pagination(session, 0.2)


CASES = [
    every_page_is_listed,
    every_page_is_listed_in_openai_format,
    a_tool_call_of_a_model_is_called,
    a_call_of_a_tool_that_the_server_lacks_is_a_result,
    a_repeated_cursor_ends_the_listing,
    an_endless_catalogue_is_cut,
    an_empty_cursor_ends_the_listing_without_a_warning,
    a_listing_that_takes_too_long_is_cut_at_its_deadline,
    a_server_that_lists_nothing_in_time_is_an_error_and_not_an_empty_catalogue,
]


async def run(case, opened, caplog, monkeypatch):
    """Runs a case with the fixtures that it takes."""
    wanted = case.__code__.co_varnames[1 : case.__code__.co_argcount]
    fixtures = {"caplog": caplog, "monkeypatch": monkeypatch}
    await case(opened, *(fixtures[name] for name in wanted))
