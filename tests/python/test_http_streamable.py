"""Streamable HTTP against a scripted server: what goes out, and what may come back."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager

import pytest

from servers.http_scripted import PATIENCE, SESSION, Server
from toolbridge.exceptions import (
    ConfigurationError,
    ConnectionClosedError,
    MCPError,
    TransportError,
)
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.streamable_http import streamable_http_client


@asynccontextmanager
async def session(server, callbacks=None, **options):
    async with (
        streamable_http_client(server.url, **options) as (read, write),
        ClientSession(
            read, write, **{"read_timeout_seconds": PATIENCE, **(callbacks or {})}
        ) as one,
    ):
        await one.initialize()
        yield one


async def arrival(server, name):
    return await asyncio.get_running_loop().run_in_executor(None, server.wait_for, name)


@pytest.mark.asyncio
async def test_every_message_carries_the_headers_of_its_session():
    with Server() as server:
        async with session(server, headers={"X-Mine": "1"}, auth="secret") as one:
            await one.call_tool("any")
        first, initialized, *_ = server.seen
        call = next(one for one in server.seen if one.name == "tools/call")
        farewell = server.seen[-1]
        for request in server.seen:
            assert request.headers["x-mine"] == "1"
            assert request.headers["authorization"] == "Bearer secret"
        assert first.headers["accept"] == "application/json, text/event-stream"
        assert first.headers["content-type"] == "application/json"
        assert "mcp-session-id" not in first.headers
        assert "mcp-protocol-version" not in first.headers
        assert farewell.method == "DELETE"
        for request in (initialized, call, farewell):
            assert request.headers["mcp-session-id"] == SESSION
            assert request.headers["mcp-protocol-version"] == "2025-06-18"


@pytest.mark.asyncio
async def test_a_session_that_may_go_on_is_not_ended_at_the_server():
    with Server() as server:
        async with session(server, terminate_on_close=False):
            pass
        assert "DELETE" not in server.names()
    with Server(session=None) as server:
        async with session(server):
            pass
        assert "DELETE" not in server.names()
        assert all("mcp-session-id" not in one.headers for one in server.seen)


@pytest.mark.asyncio
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
async def test_an_event_stream_is_read_however_it_is_cut(newline):
    def call(exchange):
        log = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "é"}}
        pretty = json.dumps(exchange.answer("whole"), indent=1).replace("\n", "\ndata: ")
        body = (
            f": comment\n\nevent: message\ndata: {json.dumps(log)}\n\nevent: ping\n\ndata: {pretty}"
            "\n\n"
        )
        exchange.stream()
        for byte in body.replace("\n", newline).encode():
            exchange.write(bytes([byte]))
        exchange.end()

    lines = []
    with Server(tools__call=call) as server:
        callbacks = {"logging_callback": lambda params: lines.append(params["data"])}
        async with session(server, callbacks) as one:
            result = await one.call_tool("any")
            assert result.content[0].text == "whole"
            assert lines == ["é"]


@pytest.mark.asyncio
async def test_a_stream_that_breaks_after_an_event_id_is_taken_up_again():
    calls = []

    def call(exchange):
        calls.append(exchange)
        exchange.stream()
        exchange.event("", "id: e-1", "retry: 1")
        exchange.end()

    def listen(exchange):
        last_id = exchange.request.headers.get("last-event-id")
        if last_id is None:
            exchange.respond(405)
            return
        exchange.stream()
        if last_id == "e-1":
            log = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": 1}}
            exchange.event(log, "id: e-2")
        else:
            exchange.event(calls[0].answer("resumed"), "id: e-3")
        exchange.end()

    with Server(tools__call=call, GET=listen) as server:
        async with session(server) as one:
            result = await one.call_tool("any")
            assert result.content[0].text == "resumed"
        resumed = [one.headers.get("last-event-id") for one in server.seen if one.method == "GET"]
        assert [one for one in resumed if one] == ["e-1", "e-2"]
        assert len(calls) == 1


@pytest.mark.asyncio
async def test_a_server_may_end_its_stream_as_often_as_it_wants_to_be_polled():
    calls = []

    def call(exchange):
        calls.append(exchange)
        exchange.stream()
        exchange.event("", "id: 0", "retry: 1")
        exchange.end()

    def listen(exchange):
        last_id = exchange.request.headers.get("last-event-id")
        if last_id is None:
            exchange.respond(405)
            return
        exchange.stream()
        if last_id == "9":
            exchange.event(calls[0].answer("polled"))
        else:
            exchange.event("", f"id: {int(last_id) + 1}")
        exchange.end()

    with Server(tools__call=call, GET=listen) as server:
        async with session(server) as one:
            assert (await one.call_tool("any")).content[0].text == "polled"


@pytest.mark.asyncio
async def test_a_server_that_only_wants_to_be_polled_is_silent_after_the_read_timeout():
    def prime(exchange):
        number = int(exchange.request.headers.get("last-event-id") or 0)
        exchange.stream()
        exchange.event("", f"id: {number + 1}", "retry: 50")
        exchange.end()

    with Server(tools__call=prime, GET=prime) as server:
        async with session(server, sse_read_timeout=2) as one:
            with pytest.raises(ConnectionClosedError, match="sent nothing for 2 s"):
                await one.call_tool("any")


@pytest.mark.asyncio
async def test_a_broken_stream_is_not_taken_up_for_ever():
    def broken(exchange):
        exchange.stream()
        exchange.event("", "id: e-1", "retry: 1")
        exchange.end()

    with Server(tools__call=broken, GET=lambda exchange: exchange.respond(503)) as server:
        async with session(server) as one:
            with pytest.raises(ConnectionClosedError, match="ended the stream of tools") as lost:
                await one.call_tool("any")
            assert lost.value.outcome_unknown
            assert await one.send_ping() is not None


@pytest.mark.asyncio
async def test_the_outcome_of_a_call_whose_session_ends_before_it_is_resumed_is_unknown():
    def begin(exchange):
        exchange.stream()
        exchange.event("", "id: e-1", "retry: 1")
        exchange.end()

    def listen(exchange):
        exchange.respond(404 if "last-event-id" in exchange.request.headers else 405)

    with Server(tools__call=begin, GET=listen) as server:
        async with session(server) as one:
            with pytest.raises(ConnectionClosedError, match="no longer knows this session") as gone:
                await one.call_tool("any")
            assert gone.value.outcome_unknown


def say(status, body, kind="text/plain", *headers):
    return lambda exchange: exchange.respond(status, body, kind, *headers)


def stream_nothing(exchange):
    exchange.stream()
    exchange.end()


def drop(exchange):
    exchange.end()


REFUSALS = {
    "unauthorized": (say(401, "who?"), 401, "401 Unauthorized; it wants credentials.*who"),
    "forbidden": (say(403, ""), 403, "403 Forbidden"),
    "broken server": (say(500, "<h1>oops</h1>", "text/html"), 500, "500 .*oops"),
    "page": (say(200, "<html>hi", "text/html"), 200, "text/html, neither JSON nor.*<html>hi"),
    "not json": (say(200, "nonsense", "application/json"), None, "nonsense"),
    "other answer": (
        say(200, '{"jsonrpc":"2.0","id":"other","result":{}}', "application/json"),
        None,
        "does not answer it",
    ),
    "elsewhere": (
        say(307, "", "text/plain", "Location: http://127.0.0.1:1/elsewhere?token=hidden"),
        307,
        "a redirect to http://127.0.0.1:1 is not followed",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", REFUSALS)
async def test_what_is_no_answer_is_an_error_of_its_caller_alone(case):
    action, status, words = REFUSALS[case]
    with Server(tools__call=action) as server:
        server.url += "?key=hidden"
        async with session(server, headers={"X-Key": "hidden"}) as one:
            with pytest.raises(TransportError, match=words) as failure:
                await one.call_tool("any")
            assert server.origin in str(failure.value)
            assert "hidden" not in str(failure.value)
            assert (failure.value.data or {}).get("status") == status
            assert failure.value.status_code == status
            await one.send_ping()


LOST = {
    "accepted": (say(202, ""), "status 202.*did not answer"),
    "empty stream": (stream_nothing, "ended the stream of tools/call without an answer"),
    "dropped": (drop, "the connection .* broke"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", LOST)
async def test_a_call_that_is_cut_off_has_an_unknown_outcome_and_the_session_goes_on(case):
    action, words = LOST[case]
    with Server(tools__call=action) as server:
        server.url += "?key=hidden"
        async with session(server, headers={"X-Key": "hidden"}) as one:
            with pytest.raises(ConnectionClosedError, match=words) as failure:
                await one.call_tool("any")
            assert failure.value.outcome_unknown
            assert server.origin in str(failure.value)
            assert "hidden" not in str(failure.value)
            await one.send_ping()
        assert server.names().count("tools/call") == 1
        assert server.names().count("initialize") == 1


@pytest.mark.asyncio
async def test_a_refusal_that_holds_the_answer_is_the_error_of_the_server():
    def call(exchange):
        error = {"code": -32602, "message": "no such tool", "data": [1]}
        text = json.dumps({"jsonrpc": "2.0", "id": exchange.request.message["id"], "error": error})
        exchange.respond(400, text, "application/json")

    with Server(tools__call=call) as server:
        async with session(server) as one:
            with pytest.raises(MCPError, match="no such tool") as failure:
                await one.call_tool("any")
            assert type(failure.value) is MCPError
            assert failure.value.code == -32602


@pytest.mark.asyncio
@pytest.mark.parametrize("form", ["json", "events"])
async def test_an_answer_over_the_limit_is_an_error_of_its_caller_alone(form):
    def large(exchange):
        if form == "json":
            exchange.result("x" * 5000)
        else:
            exchange.stream()
            exchange.event(exchange.answer("x" * 5000))
            exchange.end()

    with Server(tools__call=large) as server:
        async with session(server, max_sse_event_size=2000) as one:
            with pytest.raises(TransportError, match="2000"):
                await one.call_tool("any")
            await one.send_ping()


@pytest.mark.asyncio
async def test_a_refused_connection_names_the_origin_and_nothing_else():
    with Server() as server:
        pass
    url = f"{server.origin}/secret-path?token=hidden"
    async with (
        streamable_http_client(url) as (read, write),
        ClientSession(read, write, read_timeout_seconds=PATIENCE) as one,
    ):
        with pytest.raises(TransportError, match="cannot connect to the MCP server") as failure:
            await one.initialize()
        assert server.origin in str(failure.value)
        assert "secret-path" not in str(failure.value)
        assert "hidden" not in str(failure.value)


@pytest.mark.asyncio
async def test_a_forgotten_session_fails_what_it_was_doing_and_is_not_ended_again():
    def call(exchange):
        if exchange.request.message["params"]["name"] == "hold":
            exchange.wait_until_closed()
        elif exchange.request.headers["mcp-session-id"] == "forgotten":
            server.session = "new"
            exchange.respond(404)
        else:
            exchange.result("done")

    with Server("forgotten", tools__call=call) as server:
        async with session(server) as one:
            held = asyncio.ensure_future(one.call_tool("hold"))
            await arrival(server, "tools/call")
            assert (await one.call_tool("any")).content[0].text == "done"
            with pytest.raises(ConnectionClosedError, match="no longer knows this session") as lost:
                await held
            assert lost.value.outcome_unknown
        ended = [one.headers["mcp-session-id"] for one in server.seen if one.name == "DELETE"]
        assert ended == ["new"]


@pytest.mark.asyncio
async def test_a_call_that_is_given_up_drops_its_request():
    dropped = threading.Event()

    def hold(exchange):
        exchange.wait_until_closed()
        dropped.set()

    with Server(tools__call=hold) as server:
        async with session(server) as one:
            call = asyncio.ensure_future(one.call_tool("any"))
            asked = await arrival(server, "tools/call")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            told = await arrival(server, "notifications/cancelled")
            assert told.message["params"]["requestId"] == asked.message["id"]
            assert await asyncio.to_thread(dropped.wait, PATIENCE)


@pytest.mark.asyncio
async def test_a_silent_answer_ends_after_the_read_timeout():
    with Server(tools__call=lambda exchange: exchange.wait_until_closed()) as server:
        async with session(server, sse_read_timeout=0.2) as one:
            with pytest.raises(ConnectionClosedError, match=r"sent nothing for 0.2 s"):
                await one.call_tool("any")
            await one.send_ping()


@pytest.mark.asyncio
async def test_the_sender_of_a_notification_hears_that_it_was_refused():
    with Server(notifications__initialized=lambda exchange: exchange.respond(403)) as server:
        async with (
            streamable_http_client(server.url) as (read, write),
            ClientSession(read, write, read_timeout_seconds=PATIENCE) as one,
        ):
            with pytest.raises(TransportError, match="notifications/initialized with status 403"):
                await one.initialize()


@pytest.mark.asyncio
async def test_nothing_overtakes_a_notification():
    came = threading.Event()
    overtaken = []

    def hold(exchange):
        overtaken.append(came.wait(0.3))
        exchange.respond(202)

    def call(exchange):
        came.set()
        exchange.result("done")

    script = {"notifications__roots__list_changed": hold, "tools__call": call}
    with Server(**script) as server:
        async with session(server) as one:
            await asyncio.gather(one.send_roots_list_changed(), one.call_tool("any"))
    assert overtaken == [False]


@pytest.mark.asyncio
async def test_the_get_stream_carries_what_the_server_says_unasked():
    opened = []

    def listen(exchange):
        opened.append(exchange.request.headers.get("last-event-id"))
        exchange.stream()
        if len(opened) == 1:
            log = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "one"}}
            exchange.event(log, "id: g-1", "retry: 1")
            exchange.end()
        else:
            exchange.event({"jsonrpc": "2.0", "id": "ask", "method": "roots/list"}, "id: g-2")
            exchange.wait_until_closed()

    lines = []
    callbacks = {
        "logging_callback": lambda params: lines.append(params["data"]),
        "list_roots_callback": lambda context: {"roots": [{"uri": "file:///x"}]},
    }
    with Server(GET=listen) as server:
        async with session(server, callbacks):
            answer = await arrival(server, "answer")
            assert answer.message["id"] == "ask"
            assert answer.message["result"] == {"roots": [{"uri": "file:///x"}]}
            assert answer.headers["mcp-session-id"] == SESSION
        assert lines == ["one"]
        assert opened == [None, "g-1"]
        streams = [one for one in server.seen if one.method == "GET"]
        assert {one.headers["accept"] for one in streams} == {"text/event-stream"}
        assert streams[0].headers["mcp-protocol-version"] == "2025-06-18"


@pytest.mark.asyncio
async def test_a_redirect_to_the_same_origin_keeps_the_message():
    def move(exchange):
        if exchange.request.path == "/mcp":
            exchange.respond(307, "", "text/plain", "Location: /mcp/")
        else:
            exchange.result("moved")

    with Server(tools__call=move) as server:
        async with session(server) as one:
            assert (await one.call_tool("any")).content[0].text == "moved"


@pytest.mark.asyncio
async def test_connections_are_used_again_and_end_with_the_session():
    with Server() as server:
        async with session(server) as one:
            for _ in range(20):
                await one.call_tool("any")
            assert len(server.threads) <= 4
        # Each thread ends when the client closes its connection.
        for thread in server.threads[1:]:
            await asyncio.to_thread(thread.join, PATIENCE)
            assert not thread.is_alive()


@pytest.mark.asyncio
@pytest.mark.parametrize("url", ["", "localhost/mcp", "ftp://127.0.0.1/mcp", "http://"])
async def test_a_url_that_is_none_is_refused_at_once(url):
    with pytest.raises(ConfigurationError, match="url"):
        async with streamable_http_client(url):
            pass
