"""Every request of a session: what goes out, what comes back, what is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

import toolbridge
from servers.sessions import ask, scripted, session
from toolbridge import MCPError, MCPTimeoutError
from toolbridge.mcp import ClientSession, types

LISTS = {
    "list_tools": ("tools/list", "tools", "echo"),
    "list_prompts": ("prompts/list", "prompts", "prompt"),
    "list_resources": ("resources/list", "resources", "resource"),
    "list_resource_templates": ("resources/templates/list", "resourceTemplates", "t"),
}


async def sent(one):
    """The messages of the client so far, without the handshake and the question itself."""
    return [m for m in await ask(one, "got") if m["method"] not in HANDSHAKE][:-1]


HANDSHAKE = {"initialize", "notifications/initialized"}


@pytest.mark.asyncio
async def test_initialize_says_who_the_client_is_and_keeps_what_the_server_says():
    async with session() as one:
        first, second = (await ask(one, "got"))[:2]
        assert first == {
            "jsonrpc": "2.0",
            "id": first["id"],
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "toolbridge", "version": toolbridge.__version__},
            },
        }
        assert second["method"] == "notifications/initialized"
        result = one.initialize_result
        assert isinstance(result, types.InitializeResult)
        assert await one.initialize() is result
        assert one.server_info.name == "scripted"
        assert one.protocol_version == "2025-11-25"
        assert one.instructions == "Call a tool."
        assert one.get_server_capabilities().tools.listChanged is True
        assert one.server_capabilities["x-unknown"]["deep"] == [1]
        assert result.server_info["x-unknown"] == 2


@pytest.mark.asyncio
async def test_the_capabilities_are_those_of_the_callbacks():
    async with session(
        sampling_callback=print,
        elicitation_callback=print,
        list_roots_callback=print,
        client_info=types.Implementation(name="mine", version="7"),
        sampling_capabilities={"tools": {}},
    ) as one:
        params = (await ask(one, "got"))[0]["params"]
        assert params["capabilities"] == {
            "sampling": {"tools": {}},
            "elicitation": {"form": {}, "url": {}},
            "roots": {"listChanged": True},
        }
        assert params["clientInfo"] == {"name": "mine", "version": "7"}


@pytest.mark.asyncio
async def test_a_server_of_an_unknown_revision_is_refused():
    server = scripted()
    code = (
        "import sys, json\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    result = {'protocolVersion': '1999-01-01', 'capabilities': {}, 'serverInfo': {}}\n"
        "    print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], 'result': result}), flush=True)"
    )
    server.args[2:] = ["-c", code]
    async with session(server=server, initialize=False) as one:
        with pytest.raises(MCPError, match="1999-01-01") as failure:
            await one.initialize()
        assert "2025-11-25" in str(failure.value)
        assert one.initialize_result is None


@pytest.mark.asyncio
@pytest.mark.parametrize("form", ["cursor", "keyword", "params", "dict"])
@pytest.mark.parametrize("name", LISTS)
async def test_lists_are_read_page_by_page(name, form):
    method, member, prefix = LISTS[name]
    async with session() as one:
        page = getattr(one, name)
        names, cursor = [], None
        while True:
            if cursor is None:
                result = await page()
            elif form == "cursor":
                result = await page(cursor)
            elif form == "keyword":
                result = await page(cursor=cursor)
            elif form == "params":
                result = await page(params=types.PaginatedRequestParams(cursor=cursor))
            else:
                result = await page(params={"cursor": cursor})
            names += [entry.name for entry in result[member]]
            cursor = result.nextCursor
            assert result.next_cursor == cursor
            if cursor is None:
                break
        assert len(names) == 3
        assert all(name.startswith(prefix) for name in names)
        parameters = [message.get("params") for message in await sent(one)]
        assert parameters == [None, {"cursor": "1"}, {"cursor": "2"}]
        assert {message["method"] for message in await sent(one)} - {"tools/call"} == {method}


REQUESTS = [
    (lambda one: one.send_ping(), "ping", None),
    (
        lambda one: one.call_tool("echo", {"b": 1, "a": [None]}),
        "tools/call",
        {"name": "echo", "arguments": {"b": 1, "a": [None]}},
    ),
    (lambda one: one.call_tool("echo"), "tools/call", {"name": "echo"}),
    (lambda one: one.get_prompt("p"), "prompts/get", {"name": "p"}),
    (
        lambda one: one.get_prompt("p", {"topic": "t"}),
        "prompts/get",
        {"name": "p", "arguments": {"topic": "t"}},
    ),
    (lambda one: one.read_resource("test://1"), "resources/read", {"uri": "test://1"}),
    (lambda one: one.subscribe_resource("test://1"), "resources/subscribe", {"uri": "test://1"}),
    (
        lambda one: one.unsubscribe_resource("test://1"),
        "resources/unsubscribe",
        {"uri": "test://1"},
    ),
    (lambda one: one.set_logging_level("debug"), "logging/setLevel", {"level": "debug"}),
    (
        lambda one: one.complete(
            types.PromptReference(name="p"), {"name": "topic", "value": "a"}, {"known": "k"}
        ),
        "completion/complete",
        {
            "ref": {"type": "ref/prompt", "name": "p"},
            "argument": {"name": "topic", "value": "a"},
            "context": {"arguments": {"known": "k"}},
        },
    ),
    (
        lambda one: one.complete(
            types.ResourceTemplateReference(uri="test://{x}"), {"name": "x", "value": ""}
        ),
        "completion/complete",
        {
            "ref": {"type": "ref/resource", "uri": "test://{x}"},
            "argument": {"name": "x", "value": ""},
        },
    ),
    (
        lambda one: one.send_progress_notification("t", 0.5, 2, "half"),
        "notifications/progress",
        {"progressToken": "t", "progress": 0.5, "total": 2, "message": "half"},
    ),
    (lambda one: one.send_roots_list_changed(), "notifications/roots/list_changed", {}),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("call", "method", "params"), REQUESTS)
async def test_a_request_goes_out_as_the_specification_has_it(call, method, params):
    async with session() as one:
        await call(one)
        (message,) = await sent(one)
        assert message.pop("jsonrpc") == "2.0"
        assert isinstance(message.pop("id", 0), int)
        expected = {"method": method} if params is None else {"method": method, "params": params}
        assert json.dumps(message) == json.dumps(expected)


@pytest.mark.asyncio
async def test_results_are_session_values():
    async with session() as one:
        result = await one.call_tool("echo", {"a": 1})
        assert isinstance(result, types.CallToolResult)
        assert isinstance(result.content[0], types.TextContent)
        assert not result.isError
        prompt = await one.get_prompt("p")
        assert prompt.messages[0].content.text == "About tests."
        contents = await one.read_resource("test://1")
        assert isinstance(contents.contents[0], types.TextResourceContents)
        completion = await one.complete(
            {"type": "ref/prompt", "name": "p"}, {"name": "n", "value": "a"}
        )
        assert completion.completion.values == ["ab", "ac"]
        assert completion.completion.hasMore is False
        assert isinstance(await one.send_ping(), types.EmptyResult)


WIRE = {
    "an unknown field": '{"z":1,"content":[{"type":"text","text":"t","zz":{"b":1,"a":2}}],"a":{}}',
    "an unknown content block": '{"content":[{"type":"hologram","frames":[[1,2],[]]},{"text":"?"}]}',
    "execution on a tool": (
        '{"tools":[{"name":"t","inputSchema":{"type":"object"},"execution":{"taskSupport":"required"}}]}'
    ),
    "large integers": '{"content":[],"n":123456789012345678901234567890,"m":-9007199254740993}',
    "floats": '{"content":[],"structuredContent":{"a":1.10,"b":1e400,"c":0.1,"d":-0.0,"e":1E2}}',
    "explicit nulls": '{"content":[],"isError":null,"structuredContent":{"a":null},"_meta":null}',
    "no known field at all": '{"something":"else"}',
    "an empty object": "{}",
    "text beyond ASCII": '{"content":[{"type":"text","text":"caf\\u00e9 \\ud83d\\ude00 \\u0000 \\/"}]}',
    "a repeated key": '{"content":[],"a":1,"a":2}',
    "meta": '{"_meta":{"k":{"progressToken":1}},"content":[]}',
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", WIRE)
@pytest.mark.parametrize("kind", ["call_tool", "list_tools"])
async def test_a_dump_equals_the_object_on_the_wire(case, kind):
    text = WIRE[case]
    async with session() as one:
        line = '{"jsonrpc":"2.0","id":<id>,"result":' + text + "}\n"
        result = await one.call_tool("raw", {"text": line})
        if kind == "list_tools":
            result = types.ListToolsResult._wrap(result._data)
        repr(result)
        for key in tuple(result):
            assert result[key] is result[key]
        dumped = result.model_dump(by_alias=True, exclude_none=True)
        assert json.dumps(dumped) == json.dumps(json.loads(text))
        assert repr(dumped) == repr(json.loads(text))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "value",
    [
        {"n": 10**40, "f": 1.1, "s": "é😀\u0000\n", "l": [[], {}, None, True], "": ""},
        {"deep": {"b": {"d": 1, "c": 2}, "a": 3}},
    ],
)
async def test_arguments_arrive_as_they_were_given(value):
    async with session() as one:
        echoed = await ask(one, "echo", value=value)
        assert json.dumps(echoed["value"]) == json.dumps(value)


@pytest.mark.asyncio
async def test_meta_is_sent_and_keeps_its_own_token_apart():
    async with session() as one:
        await one.call_tool("echo", {}, meta={"k": {"v": 1}})
        await one.call_tool("echo", {}, meta={"k": 1}, progress_callback=lambda *_: None)
        await one.call_tool("echo", {}, progress_callback=lambda *_: None)
        await one.call_tool("echo", {}, meta={})
        metas = [message["params"].get("_meta") for message in await sent(one)]
        assert metas[0] == {"k": {"v": 1}}
        assert metas[1].pop("progressToken") is not None
        assert metas[1] == {"k": 1}
        assert list(metas[2]) == ["progressToken"]
        assert metas[3] in (None, {})


# Time limits.


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [0.05, timedelta(milliseconds=50)])
@pytest.mark.parametrize("place", ["session", "call"])
async def test_a_call_without_an_answer_times_out(limit, place):
    options = {"read_timeout_seconds": limit} if place == "session" else {}
    async with session(initialize=False, **options) as one:
        call = one.call_tool("silent", read_timeout_seconds=limit if place == "call" else None)
        with pytest.raises(MCPTimeoutError, match=r"tools/call within 0\.05 s") as caught:
            await call
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, MCPError)
        assert caught.value.code == -32001


@pytest.mark.asyncio
async def test_the_limit_of_a_call_replaces_that_of_the_session():
    async with session(read_timeout_seconds=1e300) as one:
        with pytest.raises(MCPTimeoutError):
            await one.call_tool("silent", None, 0.01)
    async with session(read_timeout_seconds=0.05, initialize=False) as one:
        await one.call_tool("large", {"size": 3_000_000}, read_timeout_seconds=30)


# Wrong arguments.


def type_errors(one):
    five = {"found": "int"}
    return [
        ("name", lambda: one.call_tool(5), five),
        ("arguments", lambda: one.call_tool("x", 5), five),
        ("arguments", lambda: one.call_tool("x", "{}"), {"found": "str"}),
        ("read_timeout_seconds", lambda: one.call_tool("x", {}, "5"), {"found": "str"}),
        ("read_timeout_seconds", lambda: one.call_tool("x", {}, True), {"found": "bool"}),
        ("progress_callback", lambda: one.call_tool("x", progress_callback=5), five),
        ("meta", lambda: one.call_tool("x", meta=5), five),
        ("cursor", lambda: one.list_tools(5), five),
        ("params", lambda: one.list_tools(params=5), five),
        ("cursor", lambda: one.list_prompts(5), five),
        ("cursor", lambda: one.list_resources(5), five),
        ("cursor", lambda: one.list_resource_templates(5), five),
        ("name", lambda: one.get_prompt(5), five),
        ("arguments", lambda: one.get_prompt("x", 5), five),
        ("uri", lambda: one.read_resource(5), five),
        ("uri", lambda: one.read_resource(None), {"found": "NoneType"}),
        ("uri", lambda: one.subscribe_resource(5), five),
        ("uri", lambda: one.unsubscribe_resource(b"x"), {"found": "bytes"}),
        ("ref", lambda: one.complete(5, {}), five),
        ("argument", lambda: one.complete({}, 5), five),
        ("context_arguments", lambda: one.complete({}, {}, 5), five),
        ("level", lambda: one.set_logging_level(5), five),
        ("progress_token", lambda: one.send_progress_notification(None, 1), {"found": "NoneType"}),
        ("progress", lambda: one.send_progress_notification("t", "1"), {"found": "str"}),
        ("total", lambda: one.send_progress_notification("t", 1, "1"), {"found": "str"}),
        ("message", lambda: one.send_progress_notification("t", 1, 1, 5), five),
    ]


@pytest.mark.asyncio
async def test_a_wrong_type_names_the_argument_and_what_it_takes():
    async with session() as one:
        for name, call, expected in type_errors(one):
            with pytest.raises(TypeError, match=rf"^{name} takes .*; found {expected['found']}$"):
                await call()
        assert await sent(one) == []


@pytest.mark.asyncio
async def test_a_wrong_value_names_the_argument():
    async with session() as one:
        with pytest.raises(ValueError, match="give cursor or params, not both"):
            await one.list_tools("1", params=types.PaginatedRequestParams(cursor="1"))
        for limit in (0, -1, float("inf"), float("nan"), timedelta(0)):
            with pytest.raises(ValueError, match="read_timeout_seconds .* positive"):
                await one.call_tool("x", None, limit)
        with pytest.raises(TypeError, match=r"arguments\.a\[1\]: a value of type set"):
            await one.call_tool("x", {"a": [1, {2}]})
        with pytest.raises(ValueError, match=r"arguments\.a: NaN has no form in JSON"):
            await one.call_tool("x", {"a": float("nan")})
        with pytest.raises(TypeError, match=r"arguments: the key 1 is of type int"):
            await one.call_tool("x", {1: 2})
        assert await sent(one) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "name",
    [
        "sampling_callback",
        "elicitation_callback",
        "list_roots_callback",
        "logging_callback",
        "message_handler",
        "client_info",
        "sampling_capabilities",
        "read_timeout_seconds",
    ],
)
async def test_a_wrong_type_of_a_session_argument_is_named(name):
    with pytest.raises(TypeError, match=rf"^{name} takes .*; found str$"):
        async with session(**{name: "text"}):
            pass


def test_anything_but_our_streams_is_refused():
    with pytest.raises(TypeError, match="read_stream takes a stream .*stdio_client; found int"):
        ClientSession(5, 5)
    with pytest.raises(TypeError, match="read_stream takes"):
        ClientSession(asyncio.StreamReader, None)
