"""A session over HTTP outlives its connection: what is lost is made anew, in time or with its cause."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from contextlib import asynccontextmanager, contextmanager

import pytest

import toolbridge.mcp
from servers.fault_proxy import Counts
from servers.http_scripted import INITIALIZE, PATIENCE, Server
from servers.modern import VERSION, modern
from toolbridge.exceptions import ConnectionClosedError, MCPTimeoutError, TransportError
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.streamable_http import streamablehttp_client


class Forgetful(Server):
    """Knows one session at a time; `forget` makes it another."""

    def __init__(self, **script):
        super().__init__("session-1", initialize=self.initialize, **script)
        self.count = 0

    def forget(self):
        self.session = None

    def initialize(self, exchange):
        self.count += 1
        self.session = f"session-{self.count}"
        described = {**INITIALIZE, "serverInfo": {"name": "scripted", "version": str(self.count)}}
        exchange.result(described, f"Mcp-Session-Id: {self.session}")

    def admits(self, exchange):
        name, said = exchange.request.name, exchange.request.headers.get("mcp-session-id")
        if name in {"initialize", "server/discover"} or said == self.session:
            return True
        exchange.respond(404)
        return False

    def of(self, session):
        """What came in a session and was answered, without the handshake."""
        asked = [one.message for one in self.seen if one.headers.get("mcp-session-id") == session]
        return [(one["method"], one.get("params")) for one in asked if "id" in one]


@asynccontextmanager
async def session(server, **arguments):
    async with (
        streamablehttp_client(server.url) as (read, write, session_id),
        ClientSession(read, write, **arguments) as one,
    ):
        await one.initialize()
        one.get_session_id = session_id
        yield one


@contextmanager
def said(words):
    """Give an event that is set when the engine logs these words."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    class Listener(logging.Handler):
        def emit(self, record):
            if words in record.getMessage():
                loop.call_soon_threadsafe(event.set)

    listener, logger = Listener(), logging.getLogger("toolbridge.mcp")
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        yield event
    finally:
        logger.setLevel(level)
        logger.removeHandler(listener)


async def lose():
    """Open a session and let its server go; returns it with its context, a ping that waits, and the port.

    The loss is known by then. A ping learns of it, for what only reads is sent again wherever the loss
    meets it; a call is not.
    """
    with said("connecting failed") as failed:
        with Server() as server:
            port = server.listener.getsockname()[1]
            stack = session(server)
            one = await stack.__aenter__()
        ping = asyncio.ensure_future(one.send_ping())
        await asyncio.wait_for(failed.wait(), PATIENCE)
    return one, stack, ping, port


@pytest.mark.asyncio
async def test_a_new_session_is_told_what_the_forgotten_one_was():
    with Forgetful() as server:
        async with session(server) as one:
            await one.set_logging_level("warning")
            await one.subscribe_resource("file:///kept")
            await one.subscribe_resource("file:///dropped")
            await one.unsubscribe_resource("file:///dropped")
            assert one.get_session_id() == "session-1"
            server.forget()
            assert (await one.call_tool("any")).content[0].text == "done"
            assert server.of("session-2") == [
                ("logging/setLevel", {"level": "warning"}),
                ("resources/subscribe", {"uri": "file:///kept"}),
                ("tools/call", {"name": "any"}),
            ]
            assert one.get_session_id() == "session-2"
            assert one.server_info.version == "2"
            assert one.initialize_result.server_info.version == "2"
            assert one.protocol_version == "2025-06-18"
        assert one.server_info.version == "2"
        assert server.wait_for("DELETE").headers["mcp-session-id"] == "session-2"


@pytest.mark.asyncio
async def test_several_calls_share_one_renewal():
    with Forgetful() as server:
        async with session(server) as one:
            server.forget()
            await asyncio.gather(*(one.send_ping() for _ in range(20)))
            assert server.count == 2


@pytest.mark.asyncio
async def test_a_call_waits_for_a_server_that_comes_back():
    one, stack, ping, port = await lose()
    try:
        call = asyncio.ensure_future(one.call_tool("any", read_timeout_seconds=PATIENCE))
        with Server(port=port) as server:
            assert (await call).content[0].text == "done"
            await ping
            assert server.names()[0] == "initialize"
            assert server.names().count("tools/call") == 1
            await stack.__aexit__(None, None, None)
    finally:
        await one.aclose()


@pytest.mark.asyncio
async def test_a_server_that_stays_down_ends_its_calls_with_the_cause_and_leaves_nothing():
    with Server() as server:
        async with session(server):
            pass
    before = Counts()
    one, stack, ping, _ = await lose()
    with pytest.raises(MCPTimeoutError, match="reconnecting for the 0.5 s .*: cannot connect"):
        await one.call_tool("any", read_timeout_seconds=0.5)
    begun = time.monotonic()
    with pytest.raises(TransportError, match="cannot connect to the MCP server at http") as failure:
        await one.call_tool("any")
    assert time.monotonic() - begun < PATIENCE
    assert "outcome" not in str(failure.value)
    with pytest.raises(TransportError, match="cannot connect to the MCP server at http"):
        await ping
    await stack.__aexit__(None, None, None)
    deadline = time.monotonic() + PATIENCE
    while not (now := Counts()) <= before:
        assert time.monotonic() < deadline, (before, now)
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_first_connection_is_tried_once():
    with Server() as server:
        pass
    with said("connecting failed") as failed:
        async with (
            streamablehttp_client(server.url) as (read, write, _),
            ClientSession(read, write) as one,
        ):
            with pytest.raises(TransportError, match="cannot connect"):
                await one.initialize()
        with pytest.raises(TransportError, match="cannot connect"):
            async with toolbridge.mcp.Client(server.url):
                pass
        assert not failed.is_set()


DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": [VERSION],
    "capabilities": {"tools": {}},
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "1"}},
}


def cut_once():
    """Drop the first call and answer the others."""
    calls = []

    def call(exchange):
        calls.append(exchange)
        if len(calls) == 1:
            exchange.end()
        else:
            exchange.result("done")

    return call


@pytest.mark.asyncio
@pytest.mark.parametrize("hint", ["readOnlyHint", "idempotentHint", None])
async def test_a_call_that_is_cut_off_is_repeated_if_the_tool_says_that_it_may_be(hint):
    tool = {"name": "any", "inputSchema": {"type": "object"}}
    if hint is not None:
        tool["annotations"] = {hint: True}
    script = {
        "tools__list": lambda exchange: exchange.result({"tools": [tool]}),
        "tools__call": cut_once(),
    }
    with Server(**script) as server:
        async with session(server) as one:
            await one.list_tools()
            if hint is None:
                with pytest.raises(ConnectionClosedError, match="outcome is unknown") as lost:
                    await one.call_tool("any")
                assert lost.value.outcome_unknown
            else:
                assert (await one.call_tool("any")).content[0].text == "done"
        assert server.names().count("tools/call") == (1 if hint is None else 2)


@pytest.mark.asyncio
async def test_closing_ends_a_call_that_waits_for_its_server():
    one, stack, ping, _ = await lose()
    call = asyncio.ensure_future(one.call_tool("any"))
    await asyncio.sleep(0)
    await stack.__aexit__(None, None, None)
    with pytest.raises(ConnectionClosedError, match="was closed, so tools/call was not sent"):
        await call
    with pytest.raises(ConnectionClosedError):
        await ping
    with pytest.raises(ConnectionClosedError):
        await one.send_ping()


@pytest.mark.asyncio
async def test_a_session_whose_connection_was_replaced_ends_with_its_transport():
    with Forgetful() as server:
        transport = streamablehttp_client(server.url)
        read, write, session_id = await transport.__aenter__()
        async with ClientSession(read, write) as one:
            await one.initialize()
            server.forget()
            await one.send_ping()
            await transport.__aexit__(None, None, None)
            assert server.wait_for("DELETE").headers["mcp-session-id"] == "session-2"
            with pytest.raises(ConnectionClosedError):
                await one.send_ping()
            assert session_id() == "session-2"
        assert server.count == 2


@pytest.mark.asyncio
async def test_a_session_that_nobody_holds_ends_after_a_renewal_too():
    with Forgetful() as server:
        transport = streamablehttp_client(server.url)
        read, write, _ = await transport.__aenter__()
        one = ClientSession(read, write)
        await one.__aenter__()
        await one.initialize()
        server.forget()
        await one.send_ping()
        del one, read, write, transport, _
        gc.collect()
        await asyncio.to_thread(server.wait_for, "DELETE")


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["discover", "adopt", "client", "prior_discover"])
async def test_a_server_without_sessions_is_reached_again(way):
    with modern(server__discover=lambda exchange: exchange.result(DISCOVERED)) as server:
        port = server.listener.getsockname()[1]
        described = toolbridge.mcp.types.DiscoverResult.model_validate(DISCOVERED)
        if way in {"client", "prior_discover"}:
            known = {"prior_discover": described} if way == "prior_discover" else {}
            stack = toolbridge.mcp.Client(server.url, mode=VERSION, **known)
            one = await stack.__aenter__()
        else:
            transport = streamablehttp_client(server.url)
            read, write, _ = await transport.__aenter__()
            one = stack = ClientSession(read, write)
            await one.__aenter__()
            if way == "discover":
                await one.discover()
            else:
                one.adopt(described)
        await one.list_tools()
    with said("connection lost") as lost:
        call = asyncio.ensure_future(one.list_tools())
        await asyncio.wait_for(lost.wait(), PATIENCE)
        with Server(None, port, server__discover=lambda exchange: exchange.result(DISCOVERED)):
            await call
            assert one.protocol_version == VERSION
            if way != "client":
                assert one.server_info is not None
            await stack.__aexit__(None, None, None)
            if way not in {"client", "prior_discover"}:
                await transport.__aexit__(None, None, None)
