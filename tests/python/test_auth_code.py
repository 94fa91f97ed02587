"""Authorization by a person: from the refusal of a request to the token on the next one."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from servers.authorization import (
    CLIENT_SECRET,
    REFRESH,
    TOKEN,
    Answer,
    Authorization,
    Person,
    Protected,
    claims_of,
    part_of,
)
from servers.http_scripted import PATIENCE
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.auth import (
    OAuthClientProvider,
    OAuthFlowError,
    OAuthRegistrationError,
    loopback_redirect,
    visit,
)
from toolbridge.mcp.client.auth.storage import MemoryTokenStorage
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client, streamablehttp_client
from toolbridge.mcp.shared.auth import OAuthClientMetadata, OAuthToken

REDIRECT = "http://127.0.0.1:1/callback"
METADATA = OAuthClientMetadata(client_name="tests", redirect_uris=[REDIRECT])


def provider_for(server, person=None, storage=None, **options):
    person = person or Person()
    return OAuthClientProvider(
        server.url, METADATA, storage, person.redirect, person.callback, **options
    )


@asynccontextmanager
async def session(server, auth, **options):
    async with (
        streamable_http_client(server.url, auth=auth) as (read, write),
        ClientSession(read, write, **{"read_timeout_seconds": PATIENCE, **options}) as one,
    ):
        await one.initialize()
        yield one


async def arrival(server, name):
    return await asyncio.to_thread(server.wait_for, name)


@pytest.mark.asyncio
async def test_a_refused_session_goes_on_with_a_token_of_the_discovered_server():
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        async with session(server, provider_for(server, person)) as one:
            result = await one.call_tool("any")
        assert result.content[0].text == "done"
        assert authorization.paths() == [
            "/.well-known/oauth-authorization-server",
            "/register",
            "/authorize",
            "/token",
        ]
        asked = authorization.asked
        assert asked["resource"] == server.url
        assert asked["code_challenge_method"] == "S256"
        assert "scope" not in asked
        (form,) = authorization.forms()
        assert form["resource"] == server.url
        assert form["redirect_uri"] == REDIRECT
        assert form["client_id"] == "registered"
        registered = authorization.of("/register")[0].json
        assert registered["application_type"] == "native"
        assert registered["client_name"] == "tests"
        assert registered["grant_types"] == ["authorization_code", "refresh_token"]
        # The first request alone went out without it: the body was sent again, the end too.
        assert server.seen[0].headers.get("authorization") is None
        assert set(server.tokens_seen()) == {f"Bearer {TOKEN}1"}
        assert server.names().count("initialize") == 2
        assert server.seen[-1].headers["authorization"] == f"Bearer {TOKEN}1"


@pytest.mark.asyncio
async def test_the_stream_of_notifications_and_http_sse_are_authorized_too():
    with Authorization() as authorization:

        def open_stream(exchange):
            exchange.stream()
            exchange.event("/messages", "event: endpoint")
            exchange.wait_until_closed()

        with Protected(authorization, GET=open_stream) as server:
            person = Person()
            async with sse_client(server.url, auth=provider_for(server, person)):
                pass
            assert len(person.urls) == 1
            assert server.tokens_seen() == [f"Bearer {TOKEN}1"]
    with Authorization() as authorization, Protected(authorization) as server:
        async with session(server, provider_for(server)):
            listening = await arrival(server, "GET")
            while listening.path != "/mcp":
                listening = await arrival(server, "GET")
        assert listening.headers["authorization"] == f"Bearer {TOKEN}1"


@pytest.mark.asyncio
async def test_requests_that_wait_at_once_lead_to_one_flow():
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        async with session(server, provider_for(server, person)) as one:
            authorization.scopes.clear()
            authorization.gives_refresh = False
            authorization.script["/token"] = refuse_refresh(authorization)
            await asyncio.gather(*(one.call_tool("any") for _ in range(10)))
        assert len(person.urls) == 2
        assert len(authorization.forms("authorization_code")) == 2
        assert len(authorization.forms("refresh_token")) == 1


def refuse_refresh(authorization):
    def token(call):
        if call.form["grant_type"] == "refresh_token":
            return Answer(400, {"error": "invalid_grant"})
        return None

    return token


@pytest.mark.asyncio
async def test_concurrent_calls_refresh_an_expired_token_once():
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        authorization.lifetime = 5
        storage = MemoryTokenStorage()
        async with session(server, provider_for(server, person, storage)) as one:
            # The stream that the session opens beside its calls needs a fresh token too.
            while (await arrival(server, "GET")).path != "/mcp":
                pass
            authorization.calls.clear()
            authorization.lifetime = 3600
            await asyncio.gather(*(one.call_tool("any") for _ in range(10)))
            (form,) = authorization.forms()
        assert form["grant_type"] == "refresh_token"
        assert form["refresh_token"].startswith(REFRESH)
        assert form["resource"] == server.url
        assert len(person.urls) == 1
        kept = await storage.get_tokens()
        assert server.tokens_seen()[-1] == f"Bearer {kept.access_token}"


@pytest.mark.asyncio
async def test_a_token_that_is_refused_is_refreshed_before_anybody_is_asked():
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        authorization.gives_refresh = True
        async with session(server, provider_for(server, person)) as one:
            # The stream that the session opens beside its calls has a token too.
            while (await arrival(server, "GET")).path != "/mcp":
                pass
            server.revoked.add(f"{TOKEN}1")
            authorization.gives_refresh = False
            await one.call_tool("any")
            # The old refresh token stays where the answer names no new one.
            server.revoked.add(f"{TOKEN}2")
            await one.call_tool("any")
        assert [form["refresh_token"] for form in authorization.forms("refresh_token")] == [
            f"{REFRESH}1"
        ] * 2
        assert len(person.urls) == 1


@pytest.mark.asyncio
async def test_stored_tokens_and_clients_of_either_kind_are_used():
    class Stored(MemoryTokenStorage):
        async def get_tokens(self):
            return {"access_token": f"{TOKEN}0", "token_type": "Bearer"}

        async def get_client_info(self):
            return Model(client_id="mine", client_secret=CLIENT_SECRET, redirect_uris=None)

    class Model:
        """Stands for a model of the official SDK."""

        def __init__(self, **fields):
            self.fields = fields

        def model_dump(self, *, mode, exclude_none):
            assert (mode, exclude_none) == ("json", True)
            return {name: value for name, value in self.fields.items() if value is not None}

    with Authorization() as authorization, Protected(authorization) as server:
        authorization.scopes[f"{TOKEN}0"] = ""
        metadata = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
        authorization.metadata = {**metadata, "registration_endpoint": None}
        person = Person()
        async with session(server, provider_for(server, person, Stored())) as one:
            assert authorization.paths() == []
            server.revoked.add(f"{TOKEN}0")
            await one.call_tool("any")
        assert "/register" not in authorization.paths()
        (call,) = authorization.of("/token")
        pair = base64.b64encode(f"mine:{CLIENT_SECRET}".encode()).decode()
        assert call.headers["authorization"] == f"Basic {pair}"
        assert "client_secret" not in call.form


@pytest.mark.asyncio
async def test_a_wider_scope_is_asked_for_beside_the_granted_one():
    with Authorization() as authorization, Protected(authorization) as server:
        server.scope = "read"
        server.needs["tools/call"] = "write"
        person = Person()
        async with session(server, provider_for(server, person)) as one:
            assert authorization.asked["scope"] == "read"
            await one.call_tool("any")
            assert authorization.asked["scope"] == "read write"
            await one.call_tool("any")
        assert len(person.urls) == 2


@pytest.mark.asyncio
async def test_a_scope_that_is_not_granted_is_asked_for_once():
    with Authorization() as authorization, Protected(authorization) as server:
        server.needs["tools/call"] = "admin"
        authorization.script["/token"] = lambda call: Answer(body=authorization.tokens("read"))
        person = Person()
        async with session(server, provider_for(server, person)) as one:
            for _ in range(2):
                with pytest.raises(OAuthFlowError, match="does not grant"):
                    await one.call_tool("any")
            await one.list_tools()
        assert len(person.urls) == 2


@pytest.mark.asyncio
async def test_a_wider_scope_without_a_name_cannot_be_asked_for():
    with Authorization() as authorization:

        def refuse(exchange):
            wanted = 'WWW-Authenticate: Bearer error="insufficient_scope"'
            exchange.respond(403, "", "text/plain", wanted)

        with Protected(authorization, tools__call=refuse) as server:
            person = Person()
            async with session(server, provider_for(server, person)) as one:
                with pytest.raises(OAuthFlowError, match="does not say which"):
                    await one.call_tool("any")
        assert len(person.urls) == 1


@pytest.mark.asyncio
async def test_a_factory_of_httpx_clients_and_a_provider_go_together():
    httpx2 = pytest.importorskip("httpx2")

    given = []

    def factory(headers, timeout, auth):
        given.append(auth)
        return httpx2.AsyncClient(headers={**headers, "X-Mine": "1"}, timeout=timeout, auth=auth)

    with Authorization() as authorization, Protected(authorization) as server:
        transport = streamablehttp_client(
            server.url, httpx_client_factory=factory, auth=provider_for(server)
        )
        async with transport as (read, write, _), ClientSession(read, write) as one:
            await one.initialize()
        assert given == [None]
        assert server.seen[-1].headers["x-mine"] == "1"
        assert server.seen[-1].headers["authorization"] == f"Bearer {TOKEN}1"


def test_a_provider_that_nobody_uses_any_more_is_collected():
    import gc
    import weakref

    with Authorization() as authorization, Protected(authorization) as server:

        async def use():
            auth = provider_for(server)
            async with session(server, auth):
                pass
            return weakref.ref(auth)

        gone = asyncio.run(use())
        gc.collect()
        assert gone() is None


@pytest.mark.asyncio
async def test_clients_of_another_authorization_server_are_not_shown_to_a_new_one():
    with (
        Authorization() as first,
        Authorization() as second,
        Protected(first) as server,
    ):
        first.script["/register"] = lambda _: Answer(201, {"client_id": "of-the-first"})
        person = Person()
        async with session(server, provider_for(server, person)) as one:
            server.resource["authorization_servers"] = [second.issuer]
            server.authorization = second
            await one.call_tool("any")
        assert "of-the-first" not in str([(call.query, call.body) for call in second.calls])
        assert second.forms("refresh_token") == []
        assert second.asked["client_id"] == "registered"


@pytest.mark.asyncio
async def test_a_client_is_its_document_where_the_server_reads_it():
    url = "https://example.com/client.json"
    with Authorization(client_id_metadata_document_supported=True) as authorization:
        with Protected(authorization) as server:
            auth = provider_for(server, client_metadata_url=url)
            async with session(server, auth):
                pass
        assert "/register" not in authorization.paths()
        assert authorization.asked["client_id"] == url


@pytest.mark.asyncio
async def test_the_origin_stands_for_the_server():
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        auth = OAuthClientProvider(server.origin, METADATA, None, person.redirect, person.callback)
        async with session(server, auth):
            pass
        assert authorization.asked["resource"] == server.url


@pytest.mark.asyncio
async def test_a_server_without_metadata_has_the_endpoints_of_2025_03_26():
    with Authorization() as authorization, Protected(authorization) as server:
        server.resource = None
        server.challenge = "Bearer"
        with pytest.raises(OAuthRegistrationError, match="did not register"):
            async with session(server, provider_for(server)):
                pass
        assert [(one.method, one.path) for one in server.seen][-1] == ("POST", "/register")


@pytest.mark.asyncio
async def test_tokens_are_bound_to_a_key_where_the_server_asks_for_it():
    with Authorization() as authorization, Protected(authorization) as server:
        server.scheme = "DPoP"
        server.challenge = f'DPoP resource_metadata="{server.origin}/metadata"'
        nonces = []

        def token(call):
            proof = claims_of(call.headers["dpop"])
            nonces.append(proof.get("nonce"))
            if proof.get("nonce") != "n-1":
                return Answer(400, {"error": "use_dpop_nonce"}, {"DPoP-Nonce": "n-1"})
            return Answer(body=authorization.tokens(kind="DPoP"))

        authorization.script["/token"] = token
        async with session(server, provider_for(server)) as one:
            await one.call_tool("any")
        assert nonces == [None, "n-1"]
        proofs = [one.headers["dpop"] for one in server.seen if "dpop" in one.headers]
        claims = [claims_of(proof) for proof in proofs]
        assert len(proofs) >= 4
        assert len({one["jti"] for one in claims}) == len(claims)
        assert {one["htu"] for one in claims} == {server.url}
        assert {one["htm"] for one in claims} <= {"POST", "GET", "DELETE"}
        assert all("ath" in one for one in claims)
        assert part_of(proofs[0], 0)["typ"] == "dpop+jwt"
        key = part_of(authorization.of("/token")[0].headers["dpop"], 0)["jwk"]
        assert {part_of(proof, 0)["jwk"]["x"] for proof in proofs} == {key["x"]}


@pytest.mark.asyncio
async def test_a_nonce_of_the_server_is_taken_up():
    with Authorization() as authorization, Protected(authorization) as server:
        server.scheme = "DPoP"
        authorization.script["/token"] = lambda _: Answer(body=authorization.tokens(kind="DPoP"))
        nonces = []

        def call(exchange):
            nonce = claims_of(exchange.request.headers["dpop"]).get("nonce")
            nonces.append(nonce)
            if nonce == "n-2":
                exchange.result("done")
                return
            wanted = 'DPoP error="use_dpop_nonce"'
            exchange.respond(
                401, "", "text/plain", f"WWW-Authenticate: {wanted}", "DPoP-Nonce: n-2"
            )

        server.script["tools/call"] = call
        async with session(server, provider_for(server, dpop=True)) as one:
            await one.call_tool("any")
        assert nonces == [None, "n-2"]


@pytest.mark.asyncio
async def test_the_browser_comes_back_to_a_port_that_listens_for_a_moment():
    def visit(url):
        from urllib.request import urlopen

        with urlopen(url, timeout=PATIENCE) as page:
            assert b"Authorized" in page.read()

    with Authorization() as authorization, Protected(authorization) as server:
        redirect = loopback_redirect(open_url=visit)
        auth = OAuthClientProvider(
            server.url,
            {"redirect_uris": [redirect.redirect_uri]},
            None,
            redirect.redirect_handler,
            redirect.callback_handler,
        )
        async with session(server, auth) as one:
            authorization.script["/token"] = refuse_refresh(authorization)
            server.revoked.add(f"{TOKEN}1")
            # A second flow comes back to the same port.
            await one.call_tool("any")
        assert len(authorization.of("/authorize")) == 2
        assert authorization.asked["redirect_uri"] == redirect.redirect_uri
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", redirect._port)
        with pytest.raises(OAuthFlowError, match="is taken"):
            loopback_redirect(redirect._port)


@pytest.mark.asyncio
async def test_an_authorization_server_that_asks_nobody_is_visited_without_a_browser():
    with Authorization() as authorization, Protected(authorization) as server:
        redirect = loopback_redirect(open_url=visit)
        auth = OAuthClientProvider(
            server.url,
            {"redirect_uris": [redirect.redirect_uri]},
            None,
            redirect.redirect_handler,
            redirect.callback_handler,
        )
        async with session(server, auth) as one:
            await one.call_tool("any")
    with pytest.raises(ValueError, match="http or https"):
        visit("file:///etc/hostname")


@pytest.mark.asyncio
async def test_a_connection_that_a_browser_keeps_in_reserve_does_not_delay_the_flow():
    import socket
    from urllib.parse import urlsplit

    redirect = loopback_redirect(path="/back", open_url=lambda _: True)
    await redirect.redirect_handler("https://as.example/authorize?state=s")
    address = ("127.0.0.1", urlsplit(redirect.redirect_uri).port)
    with socket.create_connection(address, PATIENCE) as reserve:

        def come_back():
            from urllib.request import urlopen

            with urlopen(f"{redirect.redirect_uri}?code=c&state=s", timeout=PATIENCE) as page:
                return page.read()

        page, came = await asyncio.gather(asyncio.to_thread(come_back), redirect.callback_handler())
        assert b"Authorized" in page
        assert came.code == "c"
        # From Python 3.12 on the end of the server waits for this connection.
        assert await asyncio.to_thread(reserve.recv, 1) == b""


@pytest.mark.asyncio
async def test_what_else_asks_at_the_port_does_not_end_the_waiting():
    answers = []

    def visit(url):
        from urllib.error import HTTPError
        from urllib.parse import parse_qs, urlsplit
        from urllib.request import urlopen

        query = parse_qs(urlsplit(url).query)
        back, state = query["redirect_uri"][0], query["state"][0]
        for wrong in (f"{back}?code=x&state=other", f"{back}x?state={state}", back):
            with pytest.raises(HTTPError) as refused:
                urlopen(wrong, timeout=PATIENCE)
            with refused.value as answer:
                answers.append(answer.status)
        urlopen(f"{back}?error=access_denied&state={state}", timeout=PATIENCE).close()

    with Authorization() as authorization, Protected(authorization) as server:
        redirect = loopback_redirect(path="/back", open_url=visit)
        auth = OAuthClientProvider(
            server.url,
            {"redirect_uris": [redirect.redirect_uri]},
            None,
            redirect.redirect_handler,
            redirect.callback_handler,
        )
        with pytest.raises(OAuthFlowError, match="refused: access_denied"):
            async with session(server, auth):
                pass
    assert answers == [404, 404, 404]


@pytest.mark.asyncio
async def test_a_caller_who_gives_up_ends_the_flow_that_nobody_else_waits_for():
    with Authorization() as authorization, Protected(authorization) as server:
        asked, ended = asyncio.Event(), asyncio.Event()

        async def wait_for_ever():
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        person = Person()
        person.callback = wait_for_ever
        async with (
            streamable_http_client(server.url, auth=provider_for(server, person)) as streams,
            ClientSession(*streams) as one,
        ):
            opening = asyncio.ensure_future(one.initialize())
            await asyncio.wait_for(asked.wait(), PATIENCE)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        await asyncio.wait_for(ended.wait(), PATIENCE)
        assert authorization.forms() == []


@pytest.mark.asyncio
async def test_the_whole_of_it_has_a_time_limit():
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        ended = asyncio.Event()

        async def wait_for_ever():
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        person.callback = wait_for_ever
        auth = provider_for(server, person, timeout=timedelta(seconds=0.2))
        with pytest.raises(OAuthFlowError, match="did not end within 0.2 s"):
            async with session(server, auth):
                pass
        await asyncio.wait_for(ended.wait(), PATIENCE)


@pytest.mark.asyncio
async def test_expired_tokens_of_the_storage_are_refreshed_before_they_are_used():
    class Stored(MemoryTokenStorage):
        async def get_client_info(self):
            return {"client_id": "mine"}

    with Authorization() as authorization, Protected(authorization) as server:
        storage = Stored()
        old = OAuthToken(access_token="old", refresh_token=f"{REFRESH}0", expires_at=1)
        await storage.set_tokens(old)
        person = Person()
        async with session(server, provider_for(server, person, storage)):
            pass
        assert person.urls == []
        assert "Bearer old" not in server.tokens_seen()
        assert authorization.forms()[0]["refresh_token"] == f"{REFRESH}0"
