"""Servers that say more than anybody can take: the session survives or ends with a clear error, what
is kept has a bound, and other sessions notice nothing."""

from __future__ import annotations

import asyncio
import logging
import queue
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servers.fault_proxy import Counts, peak_kilobytes, resident_kilobytes
from servers.http_scripted import PATIENCE
from toolbridge.exceptions import ConnectionClosedError
from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client

TESTS = Path(__file__).parent
COMMAND = ["-m", "servers.flooding"]
HANDLED_AT_ONCE = 256
TRANSPORTS = pytest.mark.parametrize("transport", ["stdio", "http", "sse"])


def started(transport):
    return subprocess.Popen(
        [sys.executable, *COMMAND, transport],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@asynccontextmanager
async def session(transport, **callbacks):
    """A session with a flooding server of its own."""
    process = None
    if transport == "stdio":
        client = stdio_client(StdioServerParameters(sys.executable, [*COMMAND, "stdio"], cwd=TESTS))
    else:
        process = started(transport)
        url = process.stdout.readline().strip()
        client = (sse_client if transport == "sse" else streamable_http_client)(url)
    try:
        options = {"read_timeout_seconds": 60, "validate_output": False, **callbacks}
        async with client as (read, write), ClientSession(read, write, **options) as one:
            await one.initialize()
            yield one
    finally:
        if process is not None:
            # Its threads may be in the middle of a flood.
            process.kill()
            process.communicate()


async def value_of(one, tool, **arguments):
    return (await one.call_tool(tool, arguments)).structuredContent["value"]


@pytest.mark.asyncio
@TRANSPORTS
async def test_a_flood_of_questions_is_refused_beyond_what_is_handled_at_once(transport):
    released = asyncio.Event()
    running = most = 0

    async def sample(_, params):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await released.wait()
        running -= 1
        return {"role": "assistant", "content": {"type": "text", "text": "?"}, "model": "none"}

    async with session(transport, sampling_callback=sample) as one, session(transport) as other:
        await one.call_tool("flood", {"kind": "sampling", "count": 3000})
        assert await value_of(other, "echo", n=1) == {"n": 1}
        released.set()
        counted = await value_of(one, "count")
        assert most == HANDLED_AT_ONCE
        assert 0 < counted["refused"] <= 3000 - HANDLED_AT_ONCE
        assert all("handles 256 requests at once" in text for text in counted["messages"])
        assert await value_of(one, "echo", n=2) == {"n": 2}


@pytest.mark.asyncio
@TRANSPORTS
async def test_a_server_that_asks_and_takes_no_answer_is_ended_and_others_go_on(transport):
    async with session(transport) as other:
        counts, kilobytes = Counts(), resident_kilobytes()
        peak_kilobytes()
        async with session(transport) as one:
            with pytest.raises(ConnectionClosedError, match="did not take the answers"):
                await one.call_tool("flood", {"kind": "ping", "count": 1_000_000, "deaf": True})
            if transport == "stdio":
                with pytest.raises(ConnectionClosedError, match="did not take the answers"):
                    await one.call_tool("echo")
            else:
                # Over the next connection.
                assert await value_of(one, "echo", n=1) == {"n": 1}
        assert peak_kilobytes(reset=False) - kilobytes < 60_000
        assert await value_of(other, "echo", n=1) == {"n": 1}
        left = Counts()
        assert len(left.descriptors) <= len(counts.descriptors)
        assert left.children == counts.children


@pytest.mark.asyncio
@TRANSPORTS
async def test_a_flood_of_notifications_waits_for_a_slow_handler_only_up_to_a_bound(transport):
    said = queue.SimpleQueue()
    handler = logging.Handler()
    handler.emit = lambda record: said.put(record.getMessage())
    logger = logging.getLogger("toolbridge.mcp")
    logger.addHandler(handler)
    heard = 0
    count = 150_000

    async def slow(_):
        nonlocal heard
        heard += 1
        if heard == 1:
            # The answer comes after the flood, and must get past what waits for this callback.
            await value_of(one, "count")

    try:
        kilobytes = resident_kilobytes()
        peak_kilobytes()
        async with session(transport, logging_callback=slow) as one, session(transport) as other:
            flood = asyncio.create_task(one.call_tool("flood", {"kind": "log", "count": count}))
            assert await value_of(other, "echo", n=2) == {"n": 2}
            await flood
            assert 10_000 <= heard < count
            assert peak_kilobytes(reset=False) - kilobytes < 100_000
            loop = asyncio.get_running_loop()
            first, last = [await loop.run_in_executor(None, said.get, True, PATIENCE) for _ in "12"]
            assert "notifications of an MCP server come faster than they are taken" in first
            assert last.startswith(f"{count - heard} notifications of an MCP server were left out")
            assert await value_of(one, "echo", n=3) == {"n": 3}
    finally:
        logger.removeHandler(handler)
