"""The sockets under the HTTP transports: acknowledgements, proxies, Unix sockets, how many there are."""

from __future__ import annotations

import asyncio
import base64
import socket
import statistics
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from servers.http_scripted import PATIENCE, Server
from servers.sessions import run_script
from toolbridge.exceptions import ConfigurationError, TransportError
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client, streamablehttp_client

# What Linux holds an acknowledgement back for, at least.
DELAYED_ACKNOWLEDGEMENT = 0.040


async def call_over(client, count=1):
    """Open a session, call a tool `count` times, give how long each call took."""
    took = []
    async with (
        client as streams,
        ClientSession(*streams[:2], read_timeout_seconds=PATIENCE) as session,
    ):
        await session.initialize()
        for _ in range(count):
            start = time.perf_counter()
            result = await session.call_tool("any")
            took.append(time.perf_counter() - start)
            assert result.content[0].text == "done"
    return took


class SlowSocket(Server):
    """A server that leaves Nagle's algorithm on; its answers are two writes, headers and body."""

    no_delay = False


@pytest.mark.asyncio
async def test_a_server_without_tcp_nodelay_costs_no_delayed_acknowledgement():
    with SlowSocket() as server:
        took = await call_over(streamable_http_client(server.url), 60)
        # One connection carried them: a new one acknowledges at once.
        assert len(server.threads) <= 4
    # Held back, every call takes longer than this; one that is not takes a fiftieth of it.
    assert statistics.median(took[20:]) < DELAYED_ACKNOWLEDGEMENT


class UnixServer(Server):
    """The same on a Unix socket."""

    def __init__(self, path, **script):
        super().__init__(**script)
        self.listener.close()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()

    no_delay = None


@pytest.mark.asyncio
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no Unix sockets")
async def test_a_unix_socket_is_named_by_an_argument_or_by_the_url():
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "server.sock")
        encoded = path.replace("/", "%2F")
        with UnixServer(path) as server:
            for url, uds in (
                ("http://any.example/mcp?one=1", path),
                (f"http+unix://{encoded}/mcp?one=1", None),
            ):
                await call_over(streamable_http_client(url, uds=uds))
            hosts = {request.headers["host"] for request in server.seen}
            assert hosts == {"any.example", "localhost"}
            assert {request.path for request in server.seen} == {"/mcp?one=1"}
        with pytest.raises(TransportError, match=r"unix:.*server\.sock.*refused"):
            await call_over(streamable_http_client("http://any.example/mcp", uds=path))


def test_a_url_without_a_socket_says_how_to_name_one():
    async def enter():
        async with streamable_http_client("http+unix:///mcp"):
            """Never entered."""

    with pytest.raises(ConfigurationError, match="%2Frun%2Fserver.sock"):
        asyncio.run(enter())


class Proxy(Server):
    """A proxy that forwards nothing: it answers in the server's place, or refuses a tunnel."""

    def __init__(self):
        super().__init__(CONNECT=lambda exchange: exchange.respond(407))


@pytest.mark.asyncio
@pytest.mark.parametrize("client", [sse_client, streamablehttp_client, streamable_http_client])
async def test_a_proxy_that_is_no_proxy_is_refused(client):
    with pytest.raises(ConfigurationError, match="http and https are accepted"):
        await call_over(client("http://127.0.0.1/mcp", proxy="ftp://127.0.0.1"))
    with pytest.raises(TypeError, match="proxy"):
        client("http://127.0.0.1/mcp", proxy=1)


@pytest.mark.asyncio
async def test_an_explicit_proxy_is_asked_and_told_its_own_credentials():
    expected = "Basic " + base64.b64encode(b"me:hidden").decode()
    with Proxy() as proxy:
        through = proxy.origin.replace("://", "://me:hidden@")
        await call_over(streamable_http_client("http://server.example/mcp", proxy=through))
        assert {request.path for request in proxy.seen} == {"http://server.example/mcp"}
        assert {one.headers["proxy-authorization"] for one in proxy.seen} == {expected}
        proxy.seen.clear()
        with pytest.raises(TransportError, match="proxy at 127.0.0.1.*authorization") as refused:
            url, headers = "https://server.example/mcp", {"X-Key": "1"}
            await call_over(streamable_http_client(url, headers=headers, proxy=through))
        assert "hidden" not in str(refused.value)
        assert proxy.seen[0].path == "server.example:443"
        assert proxy.seen[0].headers["proxy-authorization"] == expected
        assert "x-key" not in proxy.seen[0].headers


def test_proxies_of_the_environment_count():
    code = """
        import asyncio, os, sys
        from toolbridge.mcp import ClientSession
        from toolbridge.mcp.client.streamable_http import streamable_http_client

        async def main(url):
            async with streamable_http_client(url) as streams, ClientSession(*streams) as session:
                await session.initialize()

        asyncio.run(main("http://server.example/mcp"))
        os.environ["NO_PROXY"] = "127.0.0.1"
        asyncio.run(main(os.environ["SERVER"]))
    """
    with Proxy() as proxy, Server() as server:
        done = run_script(code, HTTP_PROXY=proxy.origin, SERVER=server.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert {request.path for request in proxy.seen} == {"http://server.example/mcp"}
        assert server.names().count("initialize") == 1


def test_a_forked_child_uses_no_socket_of_its_parent():
    code = """
        import asyncio, os
        from toolbridge.exceptions import ToolbridgeError
        from toolbridge.mcp import ClientSession
        from toolbridge.mcp.client.streamable_http import streamable_http_client

        async def call(session):
            return (await session.call_tool("any")).content[0].text

        async def child(session):
            try:
                await call(session)
            except ToolbridgeError as failure:
                assert "forked child" in str(failure), failure
            async with streamable_http_client(os.environ["SERVER"]) as streams:
                async with ClientSession(*streams) as own:
                    await own.initialize()
                    assert await call(own) == "done"

        async def main():
            async with streamable_http_client(os.environ["SERVER"]) as streams:
                async with ClientSession(*streams) as session:
                    await session.initialize()
                    assert await call(session) == "done"
                    number = os.fork()
                    if number == 0:
                        status = 1
                        try:
                            # A loop of its own, as a child that is forked inside one needs.
                            asyncio.events._set_running_loop(None)
                            asyncio.run(child(session))
                            status = 0
                        finally:
                            os._exit(status)
                    _, status = await asyncio.to_thread(os.waitpid, number, 0)
                    assert status == 0, status
                    assert await call(session) == "done"

        asyncio.run(main())
    """
    with Server() as server:
        done = run_script(code, SERVER=server.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.names().count("initialize") == 2
        assert server.names().count("DELETE") == 2


@pytest.mark.asyncio
async def test_more_calls_than_places_are_all_answered_with_few_sockets():
    gate, waiting = threading.Event(), threading.Semaphore(0)

    def hold(exchange):
        waiting.release()
        assert gate.wait(PATIENCE)
        exchange.result("done")

    with Server(tools__call=hold) as server:
        async with (
            streamable_http_client(server.url) as streams,
            ClientSession(*streams, read_timeout_seconds=PATIENCE) as session,
        ):
            await session.initialize()
            calls = [asyncio.ensure_future(session.call_tool("any")) for _ in range(300)]
            for _ in range(256):
                assert await asyncio.to_thread(waiting.acquire, timeout=PATIENCE)
            # A notification waits for none of them.
            await session.send_roots_list_changed()
            assert server.names().count("tools/call") == 256
            gate.set()
            for result in await asyncio.gather(*calls):
                assert result.content[0].text == "done"
