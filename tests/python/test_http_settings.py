"""What the arguments of the HTTP transports take: timeouts, credentials, clients of httpx, TLS."""

from __future__ import annotations

import base64
import ssl
import threading
from datetime import timedelta

import pytest

from servers.http_scripted import PATIENCE, Server
from toolbridge.exceptions import ConfigurationError, TransportError
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client, streamablehttp_client

CLIENTS = (sse_client, streamablehttp_client, streamable_http_client)
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


async def headers_of(client, server):
    """What the first request over a transport carries."""
    async with (
        client as streams,
        ClientSession(*streams[:2], read_timeout_seconds=PATIENCE) as one,
    ):
        await one.initialize()
    return server.seen[0].headers


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("auth", "header"),
    [("token", "Bearer token"), (("me", "secret"), BASIC), (None, None)],
)
async def test_simple_credentials_become_their_header(auth, header):
    with Server() as server:
        found = await headers_of(streamablehttp_client(server.url, auth=auth), server)
        assert found.get("authorization") == header


@pytest.mark.asyncio
async def test_credentials_in_the_url_become_their_header():
    with Server() as server:
        url = server.url.replace("://", "://me:secret@")
        found = await headers_of(streamablehttp_client(url), server)
        assert found["authorization"] == BASIC
        assert server.seen[0].path == "/mcp"


@pytest.mark.asyncio
async def test_the_settings_of_an_httpx_client_are_used():
    httpx2 = pytest.importorskip("httpx2")
    async with httpx2.AsyncClient(
        headers={"X-Mine": "1", "User-Agent": "mine"}, auth=("me", "secret"), timeout=0.3
    ) as client:
        with Server() as server:
            opened = streamable_http_client(server.url, http_client=client)
            found = await headers_of(opened, server)
            assert found["x-mine"] == "1"
            assert found["user-agent"] == "mine"
            assert found["authorization"] == BASIC
            assert "accept-encoding" not in found
        silent = {"initialize": lambda exchange: exchange.wait_until_closed()}
        with Server(**silent) as server:
            opened = streamable_http_client(server.url, http_client=client)
            with pytest.raises(TransportError, match=r"0.3 s"):
                await headers_of(opened, server)


@pytest.mark.asyncio
async def test_the_client_of_a_factory_is_read_and_closed():
    httpx2 = pytest.importorskip("httpx2")
    made = []

    def factory(headers=None, timeout=None, auth=None):
        made.append(httpx2.AsyncClient(headers={**headers, "X-Factory": "1"}, auth=auth))
        return made[0]

    with Server() as server:
        client = streamablehttp_client(
            server.url, {"X-Mine": "1"}, httpx_client_factory=factory, auth=("me", "secret")
        )
        found = await headers_of(client, server)
    assert (found["x-mine"], found["x-factory"]) == ("1", "1")
    assert found["authorization"] == BASIC
    assert made[0].is_closed


@pytest.mark.asyncio
async def test_the_timeouts_of_a_factory_are_those_that_count():
    httpx2 = pytest.importorskip("httpx2")
    asked = []

    def factory(headers=None, timeout=None, auth=None):
        asked.append(httpx2.Timeout(timeout))
        return httpx2.AsyncClient(timeout=asked[0] if len(asked) == 1 else 0.3)

    silent = {"initialize": lambda exchange: exchange.wait_until_closed()}
    for words in (r"0\.2 s", r"0\.3 s"):
        with Server(**silent) as server:
            client = streamablehttp_client(server.url, None, 7, 0.2, httpx_client_factory=factory)
            with pytest.raises(TransportError, match=words):
                await headers_of(client, server)
    limits = asked[0]
    assert (limits.connect, limits.read, limits.write, limits.pool) == (7, 0.2, 7, 7)


@pytest.mark.asyncio
async def test_a_client_whose_settings_would_be_lost_is_refused():
    httpx2 = pytest.importorskip("httpx2")

    async def hook(request):
        """Never called."""

    cases = {
        "event hooks": {"event_hooks": {"request": [hook]}},
        "cookies": {"cookies": {"a": "b"}},
        "MockTransport": {"transport": httpx2.MockTransport(print)},
        "proxy": {"proxy": "http://127.0.0.1:1"},
    }
    for words, settings in cases.items():
        async with httpx2.AsyncClient(**settings) as client:
            with pytest.raises(ValueError, match=words):
                streamable_http_client("http://127.0.0.1/mcp", http_client=client)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", b"http://127.0.0.1"),
        ("headers", ["a"]),
        ("headers", {"a": 1}),
        ("timeout", "5"),
        ("sse_read_timeout", True),
        ("auth", object()),
        ("verify", 1),
        ("cert", 1),
    ],
)
def test_a_wrong_type_names_its_argument(client, name, value):
    arguments = {"url": "http://127.0.0.1/mcp", name: value}
    with pytest.raises(TypeError, match=name):
        client(**arguments)


def test_a_client_that_is_none_of_httpx_names_what_replaces_it():
    with pytest.raises(TypeError, match="headers, auth and timeout"):
        streamable_http_client("http://127.0.0.1/mcp", http_client=object())
    with pytest.raises(TypeError, match="headers="):
        sse_client("http://127.0.0.1/sse", auth=print)
    with pytest.raises(TypeError, match="httpx_client_factory"):
        sse_client("http://127.0.0.1/sse", httpx_client_factory=1)


def test_time_limits_are_seconds_timedeltas_or_none():
    for limit in (1, 2.5, timedelta(seconds=3), None):
        for client in CLIENTS:
            client("http://127.0.0.1/mcp", timeout=limit, sse_read_timeout=limit)
    with pytest.raises(ValueError, match="sse_read_timeout"):
        streamablehttp_client("http://127.0.0.1/mcp", sse_read_timeout=0)


class SecureServer(Server):
    """The same behind TLS."""

    def __init__(self, context, **script):
        super().__init__(**script)
        self.context = context
        self.origin = self.origin.replace("http://127.0.0.1", "https://localhost")
        self.url = f"{self.origin}/mcp"
        self.handshakes = threading.Lock()

    def serve(self, connection):
        try:
            secure = self.context.wrap_socket(connection, server_side=True)
        except (ssl.SSLError, OSError):
            connection.close()
            self.open.discard(connection)
            return
        super().serve(secure)
        self.open.discard(connection)


@pytest.mark.asyncio
async def test_certificates_are_checked_unless_told_otherwise(tmp_path):
    import trustme

    authority = trustme.CA()
    bundle, identity = tmp_path / "ca.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(bundle)
    authority.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with SecureServer(context) as server:
        with pytest.raises(TransportError, match="cannot connect.*certificate"):
            await headers_of(streamable_http_client(server.url), server)
        for verify in (False, str(bundle)):
            await headers_of(streamable_http_client(server.url, verify=verify), server)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with SecureServer(context) as server:
        opened = streamable_http_client(server.url, verify=str(bundle), cert=str(identity))
        await headers_of(opened, server)
        with pytest.raises(TransportError):
            await headers_of(streamable_http_client(server.url, verify=str(bundle)), server)
    with pytest.raises(ConfigurationError, match="no PEM certificates"):
        empty = tmp_path / "empty.pem"
        empty.touch()
        async with streamable_http_client("https://localhost/mcp", verify=str(empty)):
            pass


@pytest.mark.asyncio
async def test_the_certificates_of_an_httpx_client_are_those_that_count():
    httpx2 = pytest.importorskip("httpx2")
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for verify in (trusting, False):
        async with httpx2.AsyncClient(verify=verify) as client:
            with SecureServer(context) as server:
                await headers_of(streamable_http_client(server.url, http_client=client), server)
