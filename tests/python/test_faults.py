"""Faults on the way to a real server: each ends in a clear error or a completed call, and nothing stays."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
import traceback
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servers.fault_proxy import Counts, FaultProxy, forward, peak_kilobytes, reset
from servers.http_scripted import PATIENCE
from servers.sessions import session as stdio_session
from toolbridge.exceptions import (
    ConnectionClosedError,
    MCPTimeoutError,
    TransportError,
)
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client

pytest.importorskip("mcp.server.mcpserver", reason="needs the official SDK 2")

SERVER = Path(__file__).parent / "servers" / "official.py"
MEGABYTE = 1 << 20
# What a fault that never ends may cost its caller.
SOON = 0.5


@pytest.fixture(scope="module")
def behind():
    """The URLs of the servers behind the proxy."""
    processes, found = [], {}
    try:
        for mode in ("streamable", "sse"):
            command = [sys.executable, str(SERVER), mode]
            processes.append((mode, subprocess.Popen(command, stdout=subprocess.PIPE, text=True)))
        for mode, process in processes:
            port = int(process.stdout.readline())
            found[mode] = f"http://127.0.0.1:{port}/{'sse' if mode == 'sse' else 'mcp'}"
        yield found
    finally:
        for _, process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


@asynccontextmanager
async def session(client, url, **options):
    options.setdefault("maximum" if client is sse_client else "max_sse_event_size", MEGABYTE)
    if client is sse_client:
        options["maximum_message_bytes"] = options.pop("maximum")
    async with (
        client(url, **options) as (read, write),
        ClientSession(read, write, read_timeout_seconds=PATIENCE) as one,
    ):
        await one.initialize()
        yield one


async def fault(client, behind, spoil, outcome, words, **options):
    """Call a tool through a fault; then the session goes on, over another connection if need be."""
    # The first session of a process starts what stays: the threads of the engine.
    await through(client, FaultProxy(behind), None, "3", options)
    before = Counts()
    await through(client, FaultProxy(behind, tools__call=spoil), outcome, words, options)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await gone(before)


async def through(client, proxy, outcome, words, options):
    limit = SOON if outcome is MCPTimeoutError else None
    with proxy:
        async with session(client, proxy.url, **options) as one:
            call = one.call_tool("add", {"a": 1, "b": 2}, read_timeout_seconds=limit)
            if outcome is None:
                assert (await call).content[0].text == words
            else:
                with pytest.raises(outcome, match=words) as failure:
                    await call
                assert "hidden" not in str(failure.value)
            assert await one.send_ping() is not None
        # Every connection is ended by the client, none by the proxy.
        for thread in proxy.threads[1:]:
            await asyncio.to_thread(thread.join, PATIENCE)
            if thread.is_alive():
                place = traceback.format_stack(sys._current_frames()[thread.ident])
                pytest.fail(f"a connection stays open after {proxy.names()}: {place}")


async def gone(before):
    """Wait until nothing more is open than before."""
    deadline = time.monotonic() + PATIENCE
    while not (now := Counts()) <= before:
        assert time.monotonic() < deadline, (before, now)
        await asyncio.sleep(0)


def say(status, body="", kind="text/plain", *headers):
    return lambda exchange: exchange.respond(status, body, kind, *headers)


def result_of(exchange, text="3"):
    return exchange.answer(text)


def stream(*pieces, end=True):
    """Answer with an event stream of these pieces; functions are given the exchange."""

    def action(exchange):
        exchange.stream()
        for piece in pieces:
            exchange.write(piece(exchange) if callable(piece) else piece)
        if end:
            exchange.end()
        else:
            exchange.wait_until_closed()

    return action


def event(make):
    return lambda exchange: b"data: " + make(exchange) + b"\n\n"


def answer(exchange):
    return json.dumps(result_of(exchange)).encode()


def other(exchange):
    return json.dumps({**result_of(exchange, "no"), "id": 987654}).encode()


def endless(exchange):
    exchange.stream()
    note = {
        "jsonrpc": "2.0",
        "method": "notifications/message",
        "params": {"level": "info", "data": 1},
    }
    try:
        while True:
            exchange.event(note)
    except OSError:
        return


def huge(exchange):
    exchange.stream()
    exchange.write(
        f'data: {{"jsonrpc": "2.0", "id": {exchange.request.message["id"]}, "result": {{"x": "'
    )
    for _ in range(100):
        exchange.write(b"x" * MEGABYTE)
    exchange.write(b'"}}\n\n')
    exchange.end()


def half_json(exchange):
    text = answer(exchange)
    exchange.head(200, "Content-Type: application/json", f"Content-Length: {len(text)}")
    exchange.write(text[: len(text) // 2])
    exchange.end()


def loop(exchange):
    exchange.respond(308, "", "text/plain", "Location: /mcp?again=1")


ELSEWHERE = "Location: http://127.0.0.1:1/elsewhere?token=hidden"
STREAMABLE = {
    "reset": (reset, ConnectionClosedError, "outcome is unknown.*broke"),
    "half a message": (half_json, ConnectionClosedError, "outcome is unknown.*broke"),
    "half an answer": (
        lambda exchange: forward(exchange, part=0.5),
        ConnectionClosedError,
        "outcome is unknown.*without an answer",
    ),
    "half an event": (
        stream(lambda exchange: b"data: " + answer(exchange)[:20]),
        ConnectionClosedError,
        "outcome is unknown.*without an answer",
    ),
    "wrong content type": (say(200, "<p>hello", "text/html"), TransportError, "text/html.*hello"),
    "401": (say(401, "who"), TransportError, "401.*headers or auth"),
    "403": (say(403, "no"), TransportError, "403.*do not allow"),
    "404": (say(404), ConnectionClosedError, "no longer knows this session"),
    "429": (
        say(429, "slow down", "text/plain", "Retry-After: 7"),
        TransportError,
        "429.*asked again after 7.*slow down",
    ),
    "500": (say(500, "oops"), TransportError, "500.*oops"),
    "503": (say(503, "", "text/plain", "Retry-After: 1"), TransportError, "503.*after 1"),
    "redirect elsewhere": (
        say(307, "", "text/plain", ELSEWHERE),
        TransportError,
        "redirect to http://127.0.0.1:1 ",
    ),
    "redirect that drops the message": (
        say(302, "", "text/plain", "Location: /other"),
        TransportError,
        "302.*redirect to http://127.0.0.1:[0-9]+ is not followed",
    ),
    "redirect for ever": (loop, TransportError, "308.*redirect"),
    "endless stream": (endless, MCPTimeoutError, "0.5"),
    "huge event": (huge, TransportError, "10485[0-9]{4} bytes.*max"),
    "invalid utf-8 in JSON": (
        lambda exchange: (
            exchange.head(200, "Content-Type: application/json", "Content-Length: 4"),
            exchange.write(b'"\xff\xfe"'),
        ),
        TransportError,
        "does not answer it",
    ),
    "invalid utf-8 in an event": (
        stream(event(lambda exchange: answer(exchange).replace(b'"3"', b'"\xff"'))),
        TransportError,
        "not valid JSON.*invalid unicode",
    ),
    "unknown id": (stream(event(other), event(answer)), None, "3"),
    "duplicate answers": (stream(event(answer), event(answer), event(answer)), None, "3"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", STREAMABLE)
async def test_a_fault_of_streamable_http_ends_cleanly(case, behind):
    await fault(streamable_http_client, behind["streamable"], *STREAMABLE[case])


@pytest.mark.asyncio
@pytest.mark.parametrize("where", ["head", "body", "stream"])
async def test_a_stalled_answer_ends_after_the_read_timeout(where, behind):
    def stall(exchange):
        if where == "body":
            exchange.head(200, "Content-Type: application/json", "Content-Length: 100")
        elif where == "stream":
            exchange.stream()
        exchange.wait_until_closed()

    await fault(
        streamable_http_client,
        behind["streamable"],
        stall,
        ConnectionClosedError,
        "outcome is unknown.*sent nothing for 2 s",
        # It counts for the messages that open the session too.
        sse_read_timeout=2,
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("client", [streamable_http_client, sse_client])
async def test_an_answer_after_its_call_was_given_up_is_nobodys(client, behind):
    held, released = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(exchange):
        if exchange.request.message["params"]["arguments"]["a"] == 1:
            loop.call_soon_threadsafe(held.set)
            assert released.wait(PATIENCE)
        forward(exchange)

    url = behind["sse" if client is sse_client else "streamable"]
    with FaultProxy(url, tools__call=hold) as proxy:
        async with session(client, proxy.url) as one:
            call = asyncio.ensure_future(one.call_tool("add", {"a": 1, "b": 2}))
            await held.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            released.set()
            assert (await one.call_tool("add", {"a": 2, "b": 2})).content[0].text == "4"


@pytest.mark.asyncio
async def test_an_event_over_the_limit_is_never_held(behind):
    with FaultProxy(behind["streamable"], tools__call=huge) as proxy:
        async with session(streamable_http_client, proxy.url) as one:
            before = peak_kilobytes()
            with pytest.raises(TransportError, match="bytes"):
                await one.call_tool("add", {"a": 1, "b": 2})
            # 100 MB came by.
            assert peak_kilobytes(reset=False) - before < 32 << 10


def on_stream(*pieces):
    """Accept the message, and write to the event stream; what is no bytes ends or resets it."""

    def action(exchange):
        assert exchange.server.has_stream.wait(PATIENCE)
        stream = exchange.server.stream
        exchange.respond(202)
        for piece in pieces:
            if piece == "end":
                stream.end()
            else:
                stream.write(piece(exchange) if callable(piece) else piece)

    return action


def message(make):
    return lambda exchange: b"event: message\ndata: " + make(exchange) + b"\n\n"


def huge_message(exchange):
    number = exchange.request.message["id"]
    text = b"x" * (100 * MEGABYTE)
    return b'data: {"jsonrpc":"2.0","id":%d,"result":{"x":"%s"}}\n\n' % (number, text)


SSE = {
    "reset": (reset, ConnectionClosedError, "outcome is unknown.*broke"),
    "half a message": (
        on_stream(lambda exchange: b"data: " + answer(exchange)[:20], "end"),
        ConnectionClosedError,
        "outcome is unknown.*ended its event stream",
    ),
    "401": (say(401, "who"), TransportError, "401.*headers or auth"),
    "403": (say(403, "no"), TransportError, "403.*do not allow"),
    "404": (say(404), TransportError, "404"),
    "429": (say(429, "slow", "text/plain", "Retry-After: 7"), TransportError, "429.*after 7.*slow"),
    "500": (say(500, "oops"), TransportError, "500.*oops"),
    "503": (say(503), TransportError, "503"),
    "redirect elsewhere": (
        say(307, "", "text/plain", ELSEWHERE),
        TransportError,
        "redirect to http://127.0.0.1:1 ",
    ),
    "silence": (say(202), MCPTimeoutError, "0.5"),
    "huge event": (on_stream(huge_message), TransportError, "10485[0-9]{4} bytes.*max"),
    "invalid utf-8": (
        on_stream(message(lambda exchange: answer(exchange).replace(b'"3"', b'"\xff"'))),
        TransportError,
        "not valid JSON.*invalid unicode",
    ),
    "unknown id": (on_stream(message(other), message(answer)), None, "3"),
    "duplicate answers": (on_stream(message(answer), message(answer)), None, "3"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", SSE)
async def test_a_fault_of_http_with_sse_ends_cleanly(case, behind):
    await fault(sse_client, behind["sse"], *SSE[case])


def reply(text):
    return f'{{"jsonrpc":"2.0","id":<id>,"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}\n'


NUMBERED = reply("no").replace("<id>", "987654")
STDIO = {
    "half a message": ("half", {}, TransportError, "not valid JSON: EOF"),
    "silence": ("silent", {}, MCPTimeoutError, "0.5"),
    "invalid utf-8": (
        "raw",
        {"text": reply("\xff")},
        TransportError,
        "not valid JSON.*invalid unicode",
    ),
    "huge message": ("large", {"size": 100 * MEGABYTE}, TransportError, "10485[0-9]{4} bytes.*max"),
    "unknown id": ("raw", {"text": NUMBERED + reply("3")}, None, "3"),
    "duplicate answers": ("raw", {"text": reply("3") * 3}, None, "3"),
    "no line end": ("half", {"text": reply("3").strip()}, None, "3"),
    "endless stream": ("endless", {}, MCPTimeoutError, "0.5"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", STDIO)
async def test_a_fault_of_stdio_ends_cleanly(case):
    tool, arguments, outcome, words = STDIO[case]
    async with stdio_session():
        pass
    before = Counts()
    async with stdio_session(maximum_message_bytes=MEGABYTE) as one:
        limit = SOON if outcome is MCPTimeoutError else None
        call = one.call_tool(tool, arguments, read_timeout_seconds=limit)
        if outcome is None:
            assert (await call).content[0].text == words
        else:
            with pytest.raises(outcome, match=words):
                await call
        if tool in ("half", "endless"):
            # The server reads no more.
            await one.aclose()
        else:
            assert await one.send_ping() is not None
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await gone(before)
