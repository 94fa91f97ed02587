"""What a client does for a call beside sending it: mirrored headers, checked results."""

from __future__ import annotations

import pickle
from contextlib import asynccontextmanager

import pytest

from servers.modern import VERSION, listing, modern, refuse, structured, tool
from servers.sessions import ask, session
from toolbridge import MCPError, ToolOutputError
from toolbridge.mcp import Client

REGION = {"region": {"type": "string", "x-mcp-header": "Region"}}
ROWS = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"type": "integer"}}},
    "required": ["rows"],
}


@asynccontextmanager
async def client(server, **options):
    options.setdefault("read_timeout_seconds", 30)
    async with Client(server.url, mode=VERSION, **options) as one:
        yield one


def mirrored(request):
    return {name: value for name, value in request.headers.items() if "mcp-param" in name}


@pytest.mark.asyncio
async def test_arguments_are_mirrored_into_the_headers_that_a_listed_tool_asks_for():
    tools = [tool("sql", {**REGION, "deep": {"properties": {"n": {**REGION["region"]}}}})]
    tools[0]["inputSchema"]["properties"]["deep"]["properties"]["n"] = {
        "type": "integer",
        "x-mcp-header": "N",
    }
    with modern(tools__list=listing(tools)) as server:
        async with client(server) as one:
            await one.list_tools()
            await one.call_tool("sql", {"region": " süd", "deep": {"n": 7}, "other": 1})
            await one.call_tool("sql", {"region": None})
    calls = [request for request in server.seen if request.name == "tools/call"]
    assert mirrored(calls[0]) == {"mcp-param-region": "=?base64?IHPDvGQ=?=", "mcp-param-n": "7"}
    assert mirrored(calls[1]) == {}


@pytest.mark.asyncio
async def test_a_tool_whose_annotations_are_invalid_is_left_out_of_the_listing():
    bad = tool("bad", {"a": {"type": "string", "x-mcp-header": ""}})
    with modern(tools__list=listing([bad, tool("good", REGION)])) as server:
        async with client(server) as one:
            assert [one.name for one in (await one.list_tools()).tools] == ["good"]


@pytest.mark.asyncio
async def test_a_call_without_its_headers_is_repeated_once_after_a_look_at_the_listing():
    def call(exchange):
        if "mcp-param-region" in exchange.request.headers:
            exchange.result("done")
        else:
            refuse(exchange, -32020, "Header mismatch: Mcp-Param-Region is missing")

    with modern(tools__list=listing([tool("sql", REGION)]), tools__call=call) as server:
        async with client(server) as one:
            result = await one.call_tool("sql", {"region": "a"})
            assert result.content[0].text == "done"
            assert server.names() == ["tools/call", "tools/list", "tools/call"]
            with pytest.raises(MCPError, match="Header mismatch") as failure:
                await one.call_tool("sql", {})
    assert failure.value.code == -32020
    assert server.names()[3:] == ["tools/call", "tools/list", "tools/call"]


@pytest.mark.asyncio
async def test_a_result_that_does_not_fit_its_schema_is_an_error():
    results = {
        "fits": structured({"rows": [1]}),
        "reports": structured({"rows": "no"}, isError=True),
        "differs": structured({"rows": [1, "two"]}),
        "lacks": {"resultType": "complete", "content": [{"type": "text", "text": "{}"}]},
        "null": structured(None),
    }

    def call(exchange):
        exchange.result(results[exchange.request.message["params"]["name"]])

    tools = [tool(name, outputSchema=ROWS) for name in results]
    tools.append(tool("odd", outputSchema={"$ref": "https://example.com/schema"}))
    results["odd"] = structured({})
    with modern(tools__list=listing(tools), tools__call=call) as server:
        async with client(server) as one:
            await one.list_tools()
            assert (await one.call_tool("fits")).structuredContent == {"rows": [1]}
            assert (await one.call_tool("reports")).isError
            with pytest.raises(ToolOutputError, match="differs") as failure:
                await one.call_tool("differs")
            told = pickle.loads(pickle.dumps(failure.value))
            assert (told.tool, told.path) == ("differs", "/rows/1")
            assert (told.found, told.accepted) == ('the string "two"', "an integer")
            # What code for the official SDKs catches.
            with pytest.raises(RuntimeError, match="has no structuredContent"):
                await one.call_tool("lacks")
            with pytest.raises(ToolOutputError, match="at itself it has null"):
                await one.call_tool("null")
            with pytest.raises(ToolOutputError, match="cannot be used.*nothing is fetched"):
                await one.call_tool("odd")
        async with client(server, validate_output=False) as one:
            await one.list_tools()
            assert (await one.call_tool("differs")).structuredContent == {"rows": [1, "two"]}


@pytest.mark.asyncio
async def test_a_tool_that_was_not_listed_is_looked_for_once():
    def call(exchange):
        name = exchange.request.message["params"]["name"]
        exchange.result({"content": []} if name == "plain" else structured({"rows": 1}))

    with modern(tools__list=listing([tool("rows", outputSchema=ROWS)]), tools__call=call) as server:
        async with client(server) as one:
            await one.call_tool("plain")
            assert server.names() == ["tools/call"]
            with pytest.raises(ToolOutputError):
                await one.call_tool("rows")
            await one.call_tool("unknown")
            await one.call_tool("unknown")
    assert server.names().count("tools/list") == 1


@pytest.mark.asyncio
async def test_a_server_that_lists_no_tools_is_asked_once():
    def call(exchange):
        exchange.result(structured(1))

    def refused(exchange):
        refuse(exchange, -32601, "no such method", 404)

    with modern(tools__list=refused, tools__call=call) as server:
        async with client(server) as one:
            for _ in range(3):
                assert (await one.call_tool("any")).structuredContent == 1
    assert server.names().count("tools/list") == 1


@pytest.mark.asyncio
async def test_a_schema_is_read_again_when_the_listing_has_changed():
    schemas = iter([ROWS, {"type": "object"}])

    def lists(exchange):
        listing([tool("rows", outputSchema=next(schemas))])(exchange)

    def call(exchange):
        exchange.result(structured({"rows": "text"}))

    with modern(tools__list=lists, tools__call=call) as server:
        async with client(server) as one:
            await one.list_tools()
            with pytest.raises(ToolOutputError):
                await one.call_tool("rows")
            await one.list_tools()
            await one.call_tool("rows")


@pytest.mark.asyncio
async def test_results_of_earlier_revisions_are_checked_too():
    async with session(validate_output=True) as one:
        # Its structured result is of a tool that is in no listing.
        assert await ask(one, "got")
        methods = [message["method"] for message in await ask(one, "got")]
    assert methods.count("tools/list") == 3
