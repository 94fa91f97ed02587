"""A client of one server finds out what the server speaks, and speaks it."""

from __future__ import annotations

import asyncio
import gc

import pytest

import toolbridge
from servers.http_scripted import PATIENCE, Server
from servers.sessions import ask, scripted, session
from toolbridge import MCPError, TransportError
from toolbridge.exceptions import ConfigurationError, ConnectionClosedError
from toolbridge.experimental_mcp_client import call_openai_tool, load_mcp_tools
from toolbridge.mcp import Client, ClientSession, stdio_client, types

META = "io.modelcontextprotocol/"
DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "ttlMs": 0,
    "cacheScope": "private",
}


def client(*arguments, **options):
    """A client of the scripted server."""
    options.setdefault("read_timeout_seconds", 30)
    return Client(stdio_client(scripted(*arguments), None), **options)


def modern_server(**script):
    """A server behind HTTP that speaks 2026-07-28."""
    script.setdefault("server__discover", lambda exchange: exchange.result(DISCOVERED))
    return Server(None, **script)


async def methods(one):
    return [message["method"] for message in await ask(one, "got")]


@pytest.mark.asyncio
async def test_a_modern_server_gets_no_handshake_and_every_request_says_who_asks():
    async with client("--modern", list_roots_callback=list) as one:
        assert one.protocol_version == "2026-07-28"
        assert one.server_info.name == "scripted"
        assert one.instructions == "Call a tool."
        assert one.server_capabilities.tools is not None
        assert one.session.discover_result.supported_versions == ["2026-07-28"]
        assert one.session.initialize_result is None
        await one.list_tools()
        await one.send_roots_list_changed()
        assert (await one.send_ping()).model_dump() == {}
        received = await ask(one, "got")
    names = [message["method"] for message in received]
    assert names == ["server/discover", "tools/list", "server/discover", "tools/call"]
    for message in received:
        meta = message["params"]["_meta"]
        assert meta[META + "protocolVersion"] == "2026-07-28"
        assert meta[META + "clientInfo"]["name"] == "toolbridge"
        assert meta[META + "clientCapabilities"]["roots"] == {}


@pytest.mark.asyncio
async def test_a_field_of_the_caller_stays_and_the_log_level_goes_with_each_request():
    async with client("--modern", log_level="warning") as one:
        await one.call_tool("echo", {}, meta={META + "logLevel": "debug", "own": 1})
        await one.set_logging_level("error")
        received = await ask(one, "got")
    calls = [message["params"] for message in received if message["method"] == "tools/call"]
    metas = [call["_meta"] for call in calls]
    assert metas[0]["own"] == 1
    assert [meta[META + "logLevel"] for meta in metas] == ["debug", "error"]


@pytest.mark.asyncio
async def test_a_call_that_is_given_up_is_cancelled_on_stdio():
    async with client("--modern") as one:
        held = asyncio.ensure_future(one.call_tool("silent"))
        # The task begins, and then the answer to the echo says that its request has arrived.
        await asyncio.sleep(0)
        await one.call_tool("echo")
        held.cancel()
        (cancelled,) = await ask(one, "wait_for", method="notifications/cancelled")
        received = await ask(one, "got")
        silent = next(one for one in received if one["params"].get("name") == "silent")
        assert cancelled["requestId"] == silent["id"]


@pytest.mark.asyncio
async def test_a_server_that_ignores_the_question_gets_the_handshake_and_is_remembered():
    # The argument makes this a server that no other test has met.
    arguments = ("--mute", "server/discover", "--remembered")
    async with client(*arguments, discover_timeout_seconds=0.05) as one:
        assert one.protocol_version == "2025-11-25"
        assert one.session.discover_result is None
        assert (await methods(one))[:3] == [
            "server/discover",
            "initialize",
            "notifications/initialized",
        ]
    async with client(*arguments) as one:
        assert (await methods(one))[:2] == ["initialize", "notifications/initialized"]


@pytest.mark.asyncio
async def test_a_server_that_only_was_slow_is_asked_again_when_it_refuses_the_handshake():
    arguments = ("--modern", "--mute", "server/discover")
    async with client(*arguments, discover_timeout_seconds=0.05) as one:
        assert one.protocol_version == "2026-07-28"
        assert await methods(one) == [
            "server/discover",
            "initialize",
            "server/discover",
            "tools/call",
        ]


@pytest.mark.asyncio
async def test_a_server_that_answers_anything_with_nothing_gets_the_handshake():
    async with client() as one:
        assert one.protocol_version == "2025-11-25"
        assert one.server_info.name == "scripted"


@pytest.mark.asyncio
async def test_a_server_that_ends_at_the_question_is_started_again():
    parameters = scripted("--end-at", "server/discover")
    async with Client(parameters, read_timeout_seconds=30) as one:
        assert one.protocol_version == "2025-11-25"
        assert await methods(one) == ["initialize", "notifications/initialized", "tools/call"]
    with pytest.raises(ConnectionClosedError, match="ended with exit status: 3"):
        async with client("--end-at", "initialize"):
            pass


@pytest.mark.asyncio
async def test_a_pinned_revision_is_spoken_without_a_question():
    async with client(mode="2026-07-28") as one:
        assert one.protocol_version == "2026-07-28"
        assert one.server_info is None
        assert await methods(one) == ["tools/call"]
    prior = types.DiscoverResult(
        supported_versions=["2026-07-28"], capabilities={"logging": {}}, instructions="As before."
    )
    async with client(mode="2026-07-28", prior_discover=prior) as one:
        assert one.instructions == "As before."
        assert one.server_capabilities.logging is not None


@pytest.mark.asyncio
async def test_a_session_discovers_and_adopts():
    async with session("--modern", initialize=False) as one:
        found = await one.discover()
        assert found.server_info.name == "scripted"
        assert await one.discover() is found
        assert one.protocol_version == "2026-07-28"
        with pytest.raises(MCPError, match="resources/subscribe does not exist"):
            await one.subscribe_resource("test://1")
    async with session(initialize=False) as one:
        with pytest.raises(MCPError, match="names no revision"):
            await one.discover()
        one.adopt(found)
        assert one.discover_result == found
        with pytest.raises(MCPError, match="revisions 2099-01-01 of MCP"):
            one.adopt(types.DiscoverResult(supported_versions=["2099-01-01"], capabilities={}))


@pytest.mark.asyncio
async def test_over_http_there_is_no_session_and_a_call_that_is_given_up_closes_its_stream():
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(exchange):
        exchange.stream()
        exchange.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
        exchange.wait_until_closed()
        loop.call_soon_threadsafe(closed.set)

    began = asyncio.Event()
    with modern_server(tools__call=hold) as server:
        async with Client(
            server.url,
            read_timeout_seconds=PATIENCE,
            message_handler=lambda message: began.set(),
            headers={"X-Mine": "1"},
        ) as one:
            held = asyncio.ensure_future(one.call_tool("hold é"))
            await asyncio.wait_for(began.wait(), PATIENCE)
            held.cancel()
            await asyncio.wait_for(closed.wait(), PATIENCE)
        assert server.names() == ["server/discover", "tools/call"]
        call = server.seen[1].headers
        assert call["mcp-protocol-version"] == "2026-07-28"
        assert call["mcp-method"] == "tools/call"
        assert call["mcp-name"] == "=?base64?aG9sZCDDqQ==?="
        assert call["x-mine"] == "1"
        assert "mcp-session-id" not in call


@pytest.mark.asyncio
async def test_an_unknown_method_is_an_error_and_not_a_lost_session():
    def unknown(exchange):
        error = {"code": -32601, "message": "no such method"}
        text = types.ErrorData(**error).model_dump_json()
        body = f'{{"jsonrpc":"2.0","id":{exchange.request.message["id"]},"error":{text}}}'
        exchange.respond(404, body, "application/json")

    with modern_server(prompts__list=unknown) as server:
        async with Client(server.url, read_timeout_seconds=PATIENCE) as one:
            with pytest.raises(MCPError) as refused:
                await one.list_prompts()
            assert refused.value.code == -32601
            assert (await one.call_tool("any")).content[0].text == "done"


@pytest.mark.asyncio
async def test_a_server_that_cannot_be_reached_is_an_error_and_leaves_nothing_open():
    with Server() as server:
        url = server.url
    with pytest.raises(TransportError, match="cannot connect"):
        async with Client(url, read_timeout_seconds=PATIENCE):
            pass
    gc.collect()


@pytest.mark.asyncio
async def test_tools_are_loaded_from_a_client():
    async with client("--modern") as one:
        tools = await load_mcp_tools(one, format="openai")
        assert [tool["function"]["name"] for tool in tools] == ["echo0", "echo1", "echo2"]
        call = {"id": "1", "function": {"name": "echo", "arguments": '{"a": 1}'}}
        result = await call_openai_tool(one, call)
        assert result.structuredContent == {"value": {"a": 1}}


@pytest.mark.asyncio
async def test_a_request_that_the_server_takes_back_ends_its_callback():
    started, ended = asyncio.Event(), asyncio.Event()

    async def on_sampling(context, params):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with session(sampling_callback=on_sampling) as one:
        asked = asyncio.ensure_future(ask(one, "ask", method="sampling/createMessage", params={}))
        await asyncio.wait_for(started.wait(), 30)
        await ask(one, "notify", method="notifications/cancelled", params={"requestId": "s-1"})
        await asyncio.wait_for(ended.wait(), 30)
        asked.cancel()


@pytest.mark.asyncio
async def test_what_cannot_be_used_is_named():
    with pytest.raises(ConfigurationError, match="mode is '2025-11-25'.*mode 'legacy'"):
        Client("http://localhost:9", mode="2025-11-25")
    with pytest.raises(TypeError, match="mode takes a str"):
        Client("http://localhost:9", mode=None)
    with pytest.raises(ValueError, match="headers is for a server behind a URL"):
        Client(scripted(), headers={"a": "b"})
    with pytest.raises(TypeError, match="server takes a URL, a StdioServerParameters"):
        Client(5)
    for name in ("terminate_on_close", "validate_output"):
        with pytest.raises(TypeError, match=f"{name} takes True or False; found str"):
            Client("http://localhost:9", **{name: "no"})
    with pytest.raises(TypeError, match="read_stream takes .*; found Client"):
        await Client(toolbridge.Client()).__aenter__()
    with pytest.raises(TransportError):
        await Client("http://127.0.0.1:1", max_sse_event_size=10**30).__aenter__()
    with pytest.raises(ValueError, match="input_required_max_rounds is -1"):
        Client("http://localhost:9", input_required_max_rounds=-1)
    with pytest.raises(RuntimeError, match="not connected"):
        await Client("http://localhost:9").list_tools()
    async with client() as one:
        with pytest.raises(RuntimeError, match="entered before"):
            await one.__aenter__()
    with pytest.raises(RuntimeError, match="not connected"):
        _ = one.session
    assert isinstance(one._made, ClientSession)
