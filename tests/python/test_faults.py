"""Faults on the way to a real server: each ends in a clear error or a completed call, and nothing stays."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import traceback
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servers import faults
from servers.fault_proxy import Counts, FaultProxy, forward, peak_kilobytes
from servers.faults import MEGABYTE
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


STREAMABLE = {
    "reset": (ConnectionClosedError, "outcome is unknown.*broke"),
    "half a message": (ConnectionClosedError, "outcome is unknown.*broke"),
    "half an answer": (ConnectionClosedError, "outcome is unknown.*without an answer"),
    "half an event": (ConnectionClosedError, "outcome is unknown.*without an answer"),
    "wrong content type": (TransportError, "text/html.*hello"),
    "401": (TransportError, "401.*headers or auth"),
    "403": (TransportError, "403.*do not allow"),
    "404": (ConnectionClosedError, "no longer knows this session"),
    "429": (TransportError, "429.*asked again after 7.*slow down"),
    "500": (TransportError, "500.*oops"),
    "503": (TransportError, "503.*after 1"),
    "redirect elsewhere": (TransportError, "redirect to http://127.0.0.1:1 "),
    "redirect that drops the message": (
        TransportError,
        "302.*redirect to http://127.0.0.1:[0-9]+ is not followed",
    ),
    "redirect for ever": (TransportError, "308.*redirect"),
    "endless stream": (MCPTimeoutError, "0.5"),
    "huge event": (TransportError, "10485[0-9]{4} bytes.*max"),
    "invalid utf-8 in JSON": (TransportError, "does not answer it"),
    "invalid utf-8 in an event": (TransportError, "not valid JSON.*invalid unicode"),
    "unknown id": (None, "3"),
    "duplicate answers": (None, "3"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", faults.STREAMABLE)
async def test_a_fault_of_streamable_http_ends_cleanly(case, behind):
    spoil = faults.STREAMABLE[case]
    await fault(streamable_http_client, behind["streamable"], spoil, *STREAMABLE[case])


@pytest.mark.asyncio
@pytest.mark.parametrize("where", faults.STALLS)
async def test_a_stalled_answer_ends_after_the_read_timeout(where, behind):
    await fault(
        streamable_http_client,
        behind["streamable"],
        faults.STALLS[where],
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
    with FaultProxy(behind["streamable"], tools__call=faults.STREAMABLE["huge event"]) as proxy:
        async with session(streamable_http_client, proxy.url) as one:
            before = peak_kilobytes()
            with pytest.raises(TransportError, match="bytes"):
                await one.call_tool("add", {"a": 1, "b": 2})
            # 100 MB came by.
            assert peak_kilobytes(reset=False) - before < 32 << 10


SSE = {
    "reset": (ConnectionClosedError, "outcome is unknown.*broke"),
    "half a message": (ConnectionClosedError, "outcome is unknown.*ended its event stream"),
    "401": (TransportError, "401.*headers or auth"),
    "403": (TransportError, "403.*do not allow"),
    "404": (TransportError, "404"),
    "429": (TransportError, "429.*after 7.*slow"),
    "500": (TransportError, "500.*oops"),
    "503": (TransportError, "503"),
    "redirect elsewhere": (TransportError, "redirect to http://127.0.0.1:1 "),
    "silence": (MCPTimeoutError, "0.5"),
    "huge event": (TransportError, "10485[0-9]{4} bytes.*max"),
    "invalid utf-8": (TransportError, "not valid JSON.*invalid unicode"),
    "unknown id": (None, "3"),
    "duplicate answers": (None, "3"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", faults.SSE)
async def test_a_fault_of_http_with_sse_ends_cleanly(case, behind):
    await fault(sse_client, behind["sse"], faults.SSE[case], *SSE[case])


STDIO = {
    "half a message": (TransportError, "not valid JSON: EOF"),
    "silence": (MCPTimeoutError, "0.5"),
    "invalid utf-8": (TransportError, "not valid JSON.*invalid unicode"),
    "huge message": (TransportError, "10485[0-9]{4} bytes.*max"),
    "unknown id": (None, "3"),
    "duplicate answers": (None, "3"),
    "no line end": (None, "3"),
    "endless stream": (MCPTimeoutError, "0.5"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", faults.STDIO)
async def test_a_fault_of_stdio_ends_cleanly(case):
    tool, arguments = faults.STDIO[case]
    outcome, words = STDIO[case]
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
