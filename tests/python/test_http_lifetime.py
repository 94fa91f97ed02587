"""The end of HTTP sessions that nobody closes, and of those that are closed in the middle."""

from __future__ import annotations

import asyncio
import gc

import pytest

from servers.http_scripted import PATIENCE, Server
from servers.sessions import run_script
from toolbridge.exceptions import ConnectionClosedError
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.streamable_http import streamable_http_client


async def leave_open(server):
    read, write = await streamable_http_client(server.url).__aenter__()
    session = await ClientSession(read, write, read_timeout_seconds=PATIENCE).__aenter__()
    await session.initialize()


@pytest.mark.asyncio
async def test_a_session_that_is_forgotten_is_ended_at_the_server():
    with Server() as server:
        await leave_open(server)
        gc.collect()
        await asyncio.to_thread(server.wait_for, "DELETE")


@pytest.mark.asyncio
async def test_closing_fails_the_calls_in_flight_and_ends_every_socket():
    with Server(tools__call=lambda exchange: exchange.wait_until_closed()) as server:
        async with (
            streamable_http_client(server.url) as (read, write),
            ClientSession(read, write, read_timeout_seconds=PATIENCE) as session,
        ):
            await session.initialize()
            calls = [asyncio.ensure_future(session.call_tool("any")) for _ in range(3)]
            for _ in calls:
                await asyncio.to_thread(server.wait_for, "tools/call")
            await session.aclose()
            for call in calls:
                with pytest.raises(ConnectionClosedError, match="the MCP session was closed"):
                    await call
            with pytest.raises(ConnectionClosedError):
                await session.send_ping()
        for thread in server.threads[1:]:
            await asyncio.to_thread(thread.join, PATIENCE)
            assert not thread.is_alive()
    assert server.names().count("DELETE") == 1


def test_a_process_ends_with_its_sessions_open_and_a_call_in_flight():
    code = """
        import asyncio, sys
        from toolbridge.mcp import ClientSession
        from toolbridge.mcp.client.streamable_http import streamable_http_client

        async def main():
            read, write = await streamable_http_client(sys.argv[1]).__aenter__()
            session = await ClientSession(read, write).__aenter__()
            await session.initialize()
            call = asyncio.ensure_future(session.call_tool("any"))
            await session.send_ping()
            print("open")

        asyncio.run(main())
    """
    with Server(tools__call=lambda exchange: exchange.wait_until_closed()) as server:
        done = run_script(code.replace("sys.argv[1]", repr(server.url)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "open\n", "")
