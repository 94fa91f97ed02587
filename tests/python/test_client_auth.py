"""`toolbridge.Client` and authorization: a provider for each server, and one that fails alone."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from servers.authorization import REFRESH, TOKEN, Answer, Authorization, Call, Person, Protected
from servers.http_scripted import Exchange, Server
from toolbridge import Client
from toolbridge.exceptions import ConfigurationError
from toolbridge.mcp.client.auth import OAuthClientProvider, OAuthFlowError
from toolbridge.mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
)
from toolbridge.mcp.client.auth.storage import MemoryTokenStorage
from toolbridge.mcp.shared.auth import OAuthClientMetadata

METADATA = OAuthClientMetadata(client_name="tests", redirect_uris=["http://127.0.0.1:1/callback"])
TOOLS = {"tools": [{"name": "pay", "inputSchema": {"type": "object"}}]}


def lists(exchange: Exchange) -> None:
    exchange.result(TOOLS)


def provider_for(server: Protected, person: Person, **options: Any) -> OAuthClientProvider:
    return OAuthClientProvider(
        server.url, METADATA, None, person.redirect, person.callback, **options
    )


def legacy(server: Server, **more: Any) -> dict[str, Any]:
    return {"url": server.url, "mode": "legacy", **more}


def protected(stack: ExitStack, **script: Any) -> tuple[Authorization, Protected]:
    """A server and an authorization server of its own."""
    authorization = stack.enter_context(Authorization())
    script.setdefault("tools__list", lists)
    return authorization, stack.enter_context(Protected(authorization, **script))


@pytest.mark.asyncio
async def test_a_provider_authorizes_the_client_with_its_server() -> None:
    with ExitStack() as stack:
        authorization, server = protected(stack)
        person = Person()
        async with Client(server.url, auth=provider_for(server, person), mode="legacy") as client:
            (only,) = client
            assert only.status == "ready"
            assert only.last_error is None
            assert (await client.call_tool("pay")).content[0].text == "done"
        assert len(person.urls) == 1
        assert authorization.asked["resource"] == server.url
        assert set(server.tokens_seen()) == {f"Bearer {TOKEN}1"}


@pytest.mark.asyncio
@pytest.mark.parametrize("section", ["mcpServers", None])
async def test_two_servers_have_two_providers_and_see_only_their_own_tokens(
    section: str | None,
) -> None:
    with ExitStack() as stack:
        first, a = protected(stack)
        second, b = protected(stack)
        person = Person()
        second.issued = 100
        machine = ClientCredentialsOAuthProvider(
            b.url, MemoryTokenStorage(), client_id="machine", client_secret="hidden"
        )
        servers: dict[str, Any] = {
            "a": legacy(a, auth=provider_for(a, person)),
            "b": legacy(b, auth=machine, headers={"X-Of": "b"}),
        }
        async with Client({section: servers} if section else servers) as client:
            names = [tool.name for tool in await client.list_tools()]
            assert names == ["a-pay", "b-pay"]
            for name in names:
                assert (await client.call_tool(name)).content[0].text == "done"
        assert set(a.tokens_seen()) == {f"Bearer {TOKEN}1"}
        assert set(b.tokens_seen()) == {f"Bearer {TOKEN}101"}
        assert {one.headers.get("x-of") for one in b.seen if one.method == "POST"} == {"b"}
        assert all("x-of" not in one.headers for one in a.seen)
        assert first.forms("client_credentials") == []
        assert second.forms("authorization_code") == []


@pytest.mark.asyncio
async def test_a_server_that_is_added_later_brings_its_own_provider() -> None:
    with ExitStack() as stack:
        _, server = protected(stack)
        person = Person()
        async with Client() as client:
            added = await client.add_server("s", legacy(server, auth=provider_for(server, person)))
            assert added.status == "ready"
            assert (await client.call_tool("s-pay")).content[0].text == "done"
        assert len(person.urls) == 1


@pytest.mark.asyncio
async def test_a_token_that_ends_during_a_call_is_refreshed_without_a_person() -> None:
    with ExitStack() as stack:
        calls: list[str] = []

        def pay(exchange: Exchange) -> None:
            calls.append(exchange.request.headers["authorization"])
            exchange.result("paid")

        authorization, server = protected(stack, tools__call=pay)
        person = Person()
        provider = provider_for(server, person)
        async with Client({"s": legacy(server, auth=provider)}) as client:
            # What it holds is worth nothing from now on, as if its time had passed on the way.
            server.revoked.add(f"{TOKEN}1")
            result = await client.call_tool("s-pay")
            assert result.content[0].text == "paid"
            assert client.servers["s"].status == "ready"
            assert client.servers["s"].last_error is None
        (form,) = authorization.forms("refresh_token")
        assert form["refresh_token"] == f"{REFRESH}1"
        # The refused request reached no tool, so that sending it again pays once.
        assert calls == [f"Bearer {TOKEN}2"]
        assert len(person.urls) == 1


@pytest.mark.asyncio
async def test_a_token_that_is_about_to_end_is_refreshed_once_for_all_calls() -> None:
    with ExitStack() as stack:
        authorization, server = protected(stack)
        authorization.lifetime = 5
        person = Person()
        async with Client({"s": legacy(server, auth=provider_for(server, person))}) as client:
            authorization.calls.clear()
            authorization.lifetime = 3600
            await asyncio.gather(*(client.call_tool("s-pay") for _ in range(10)))
            assert len(authorization.forms("refresh_token")) == 1
        assert len(person.urls) == 1


@pytest.mark.asyncio
async def test_a_flow_that_fails_takes_no_other_server_with_it() -> None:
    def refuse(_: Call) -> Answer:
        return Answer(400, {"error": "invalid_client", "error_description": "go away"})

    with ExitStack() as stack:
        _, good = protected(stack)
        broken, bad = protected(stack)
        broken.script["/token"] = refuse
        _, strange = protected(stack)
        nobody = Person(code=None, error="access_denied")
        servers = {
            "good": legacy(good, auth=provider_for(good, Person())),
            "bad": legacy(bad, auth=provider_for(bad, Person())),
            "denied": legacy(strange, auth=provider_for(strange, nobody)),
        }
        async with Client(servers) as client:
            status = {name: server.status for name, server in client.servers.items()}
            assert status == {"good": "ready", "bad": "failed", "denied": "failed"}
            failure = client.servers["bad"].last_error
            assert isinstance(failure, OAuthFlowError)
            assert "invalid_client" in str(failure)
            assert bad.origin in str(failure) or broken.issuer in str(failure)
            assert "access_denied" in str(client.servers["denied"].last_error)
            assert [tool.name for tool in await client.list_tools()] == ["good-pay"]
            assert (await client.call_tool("pay")).content[0].text == "done"
            with pytest.raises(OAuthFlowError, match="invalid_client"):
                await client.call_tool("bad-pay")
            del broken.script["/token"]
            await client.servers["bad"].reconnect()
            assert (await client.call_tool("bad-pay")).content[0].text == "done"


@pytest.mark.asyncio
async def test_one_provider_for_two_servers_is_refused_where_it_does_not_belong() -> None:
    with ExitStack() as stack:
        _, mine = protected(stack)
        _, other = protected(stack)
        servers = {"mine": legacy(mine), "other": legacy(other)}
        async with Client(servers, auth=provider_for(mine, Person())) as client:
            assert client.servers["mine"].status == "ready"
            assert client.servers["other"].status == "failed"
            said = str(client.servers["other"].last_error)
            assert f"auth is for the MCP server at {mine.origin}" in said
            assert other.origin in said
        assert other.tokens_seen() == []


@pytest.mark.asyncio
async def test_what_an_entry_says_itself_comes_before_what_the_client_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEY_OF_THE_TEST", "expanded")
    with ExitStack() as stack:
        _, mine = protected(stack)
        other = stack.enter_context(Server(tools__list=lists))
        plain = stack.enter_context(Server(tools__list=lists))
        entries = {
            "mine": {
                "serverUrl": mine.url,
                "mode": "legacy",
                "headers": {"x-key": "${KEY_OF_THE_TEST}"},
                "auth": provider_for(mine, Person()),
            },
            "other": legacy(other, headers={"authorization": "Bearer own"}),
        }
        file = tmp_path / "mcp.json"
        file.write_text(json.dumps({"mcpServers": {"plain": legacy(plain)}}))
        everywhere = {"X-Key": "client", "X-All": "1"}
        async with Client([entries, file], headers=everywhere, auth="of-the-client") as client:
            assert [server.status for server in client] == ["ready"] * 3
        for server, key, credentials in (
            (mine, "expanded", f"Bearer {TOKEN}1"),
            (other, "client", "Bearer own"),
            (plain, "client", "Bearer of-the-client"),
        ):
            last = server.seen[-1].headers
            assert (last["x-key"], last["x-all"]) == (key, "1")
            assert last["authorization"] == credentials


def test_credentials_for_a_child_process_are_refused() -> None:
    entry = {"command": "no-such-command", "auth": ("user", "password")}
    with pytest.raises(ConfigurationError, match="'s' has an auth, which is for a server behind a"):
        Client({"s": entry})


@pytest.mark.asyncio
async def test_a_person_may_take_longer_than_an_attempt_to_connect() -> None:
    class Slow(Person):
        async def redirect(self, url: str) -> None:
            await super().redirect(url)
            # Agrees once the other server has given up, whose time is the same.
            async with asyncio.timeout(20):
                await late.wait()

    late = asyncio.Event()

    def changed(name: str, _: str) -> None:
        if name == "hangs" and client.servers["hangs"].last_error is not None:
            late.set()

    def hang(exchange: Exchange) -> None:
        exchange.wait_until_closed()

    with ExitStack() as stack:
        _, server = protected(stack)
        silent = stack.enter_context(Server(initialize=hang))
        person = Slow()
        servers = {
            "slow": legacy(server, auth=provider_for(server, person)),
            "hangs": legacy(silent),
        }
        client = Client(servers, connect_timeout=1, on_change=changed)
        async with client:
            assert client.servers["slow"].status == "ready"
            assert (await client.call_tool("slow-pay")).content[0].text == "done"
        assert len(person.urls) == 1
