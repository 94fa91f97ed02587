"""`toolbridge.Client` and servers of revision 2026-07-28: they tell of changes only if asked to."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from servers.http_scripted import PATIENCE, Server
from toolbridge import Client

OFFICIAL = Path(__file__).parent / "servers" / "official.py"
DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}, "prompts": {}},
    "ttlMs": 0,
    "cacheScope": "private",
}


class Modern:
    """The script of a server whose tools change."""

    def __init__(self):
        self.tools = ["one"]
        self.streams = []

    def serve(self, port=0, **script):
        return Server(
            None,
            port,
            **{
                "server__discover": lambda exchange: exchange.result(DISCOVERED),
                "tools__list": self.list,
                "subscriptions__listen": self.listen,
                **script,
            },
        )

    def list(self, exchange):
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in self.tools]
        exchange.result({"resultType": "complete", "tools": tools})

    def listen(self, exchange):
        exchange.stream()
        self.streams.append(exchange)
        self.tell("subscriptions/acknowledged", notifications={"toolsListChanged": True})
        exchange.wait_until_closed()

    def tell(self, name, **params):
        exchange = self.streams[-1]
        meta = {"io.modelcontextprotocol/subscriptionId": exchange.request.message["id"]}
        message = {"jsonrpc": "2.0", "method": f"notifications/{name}"}
        exchange.event({**message, "params": {**params, "_meta": meta}})


class Changes:
    """What `on_change` was called with, to wait for."""

    def __init__(self):
        self.news = asyncio.Queue()

    def __call__(self, server, what):
        self.news.put_nowait((server, what))

    async def until(self, what, holds=lambda: True):
        async with asyncio.timeout(PATIENCE):
            while (await self.news.get())[1] != what or not holds():
                pass


async def names(client):
    return [tool.name for tool in await client.list_tools()]


async def listened(client, server):
    """Wait until the list is kept, as it is once the server has agreed to tell of changes."""
    async with asyncio.timeout(PATIENCE):
        while True:
            before = server.names().count("tools/list")
            await client.list_tools()
            if server.names().count("tools/list") == before:
                return before


@pytest.mark.asyncio
async def test_a_server_is_asked_to_tell_of_changes_and_its_list_is_read_anew():
    modern, changes = Modern(), Changes()
    with modern.serve() as server:
        async with Client({"s": {"url": server.url}}, on_change=changes) as client:
            assert await names(client) == ["s-one"]
            asked = await listened(client, server)
            (listen,) = [one for one in server.seen if one.name == "subscriptions/listen"]
            assert listen.message["params"]["notifications"] == {"toolsListChanged": True}
            modern.tools = ["one", "two"]
            assert await names(client) == ["s-one"]
            modern.tell("tools/list_changed")
            await changes.until("tools")
            assert await names(client) == ["s-one", "s-two"]
            assert await names(client) == ["s-one", "s-two"]
            assert server.names().count("tools/list") == asked + 1


@pytest.mark.asyncio
async def test_a_stream_of_changes_that_breaks_is_opened_anew_and_what_it_missed_is_read():
    modern, changes = Modern(), Changes()
    with modern.serve() as server:
        async with Client({"s": {"url": server.url}}, on_change=changes) as client:
            await listened(client, server)
            modern.tools = ["two"]
            modern.streams[0].end()
            # Whoever keeps the list is told to read it again.
            await changes.until("tools")
            assert len(modern.streams) == 2
            assert await names(client) == ["s-two"]
            modern.tools = ["three"]
            modern.tell("tools/list_changed")
            await changes.until("tools")
            assert await names(client) == ["s-three"]
            assert client.servers["s"].status == "ready"


@pytest.mark.asyncio
async def test_a_server_that_was_restarted_is_asked_to_tell_of_changes_again():
    modern, changes = Modern(), Changes()
    with modern.serve() as server:
        port = server.listener.getsockname()[1]
        client = Client({"s": {"url": server.url}}, on_change=changes)
        await client.__aenter__()
        await listened(client, server)
    try:
        # Nobody called it: the end of the stream is what tells.
        await changes.until("status", lambda: client.servers["s"].status == "reconnecting")
        assert client.servers["s"].tools == []
        assert await client.list_tools() == []
        modern.tools = ["two"]
        with modern.serve(port) as server:
            # It counts as changed once it tells of changes again.
            await changes.until("tools")
            assert client.servers["s"].status == "ready"
            await listened(client, server)
            assert await names(client) == ["s-two"]
            modern.tools = ["three"]
            modern.tell("tools/list_changed")
            await changes.until("tools")
            assert await names(client) == ["s-three"]
    finally:
        await client.aclose()


@pytest.mark.asyncio
async def test_a_server_that_will_not_tell_of_changes_is_asked_once_and_listed_every_time():
    def refuse(exchange):
        error = {"code": -32601, "message": "none here"}
        body = {"jsonrpc": "2.0", "id": exchange.request.message["id"], "error": error}
        exchange.respond(404, json.dumps(body), "application/json")

    modern = Modern()
    with modern.serve(subscriptions__listen=refuse) as server:
        async with Client({"s": {"url": server.url}}) as client:
            await asyncio.to_thread(server.wait_for, "subscriptions/listen")
            assert await names(client) == ["s-one"]
            modern.tools = ["two"]
            assert await names(client) == ["s-two"]
        assert server.names().count("subscriptions/listen") == 1


@pytest.mark.asyncio
async def test_listening_does_not_keep_a_connection_from_being_idle():
    modern, changes = Modern(), Changes()
    with modern.serve() as server:
        servers = {"s": {"url": server.url}}
        async with Client(servers, on_change=changes, idle_close=0.3) as client:
            await changes.until("status", lambda: client.servers["s"].status == "idle")
            assert len(modern.streams) == 1
            assert (await client.call_tool("s-one")).content[0].text == "done"
            await changes.until("status", lambda: client.servers["s"].status == "idle")


@pytest.fixture(params=["stdio", "streamable"])
def official(request):
    """The official server, as a configuration describes it."""
    pytest.importorskip("mcp.server.mcpserver", reason="needs the official SDK 2")
    command = [sys.executable, str(OFFICIAL), request.param]
    if request.param == "stdio":
        yield {"command": command[0], "args": command[1:]}
        return
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield {"url": f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["auto", "2026-07-28"])
async def test_the_official_server_tells_of_changes(official, mode):
    changes = Changes()
    async with Client({"s": official}, mode=mode, on_change=changes) as client:
        assert "s-announce" in await names(client)
        told = asyncio.ensure_future(changes.until("tools"))
        # It says nothing of when it begins to tell.
        while not told.done():
            result = await client.call_tool("s-announce")
            assert result.content[0].text == "announced"
        await told
        assert "s-announce" in await names(client)
