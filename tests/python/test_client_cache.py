"""Results that a server allows to be kept (MCP 2026-07-28)."""

from __future__ import annotations

import pytest

from servers.modern import VERSION, listing, modern, refuse, tool
from toolbridge import ConfigurationError
from toolbridge.exceptions import TransportError
from toolbridge.mcp import Client
from toolbridge.mcp.client.caching import CacheConfig, InMemoryResponseCacheStore

MINUTE = 60_000


def client(server, **options):
    return Client(server.url, mode=VERSION, read_timeout_seconds=30, **options)


def keeping(**more):
    return modern(tools__list=listing([tool("a")], ttlMs=MINUTE, **more))


@pytest.mark.asyncio
async def test_a_listing_is_fetched_once_while_it_is_fresh():
    with keeping() as server:
        async with client(server) as one:
            first = await one.list_tools()
            second = await one.list_tools()
            assert first == second
            assert first is not second
            assert server.names() == ["tools/list"]
            await one.list_tools(cache_mode="refresh")
            await one.list_tools(cache_mode="bypass")
            await one.list_tools(meta={"k": 1})
            await one.list_tools()
            assert server.names() == ["tools/list"] * 4
            await one.list_tools(cursor="2")
            assert server.names() == ["tools/list"] * 5


@pytest.mark.asyncio
async def test_nothing_is_kept_that_may_not_be_or_if_nothing_shall():
    with modern(tools__list=listing([tool("a")])) as server:
        async with client(server) as one:
            await one.list_tools()
            await one.list_tools()
    assert server.names() == ["tools/list"] * 2
    with keeping() as server:
        async with client(server, cache=None) as one:
            await one.list_tools()
            await one.list_tools()
    assert server.names() == ["tools/list"] * 2


@pytest.mark.asyncio
async def test_a_resource_is_kept_by_its_uri():
    def read(exchange):
        uri = exchange.request.message["params"]["uri"]
        contents = [{"uri": uri, "text": uri}]
        exchange.result({"resultType": "complete", "ttlMs": MINUTE, "contents": contents})

    with modern(resources__read=read) as server:
        async with client(server) as one:
            for uri in ("test://a", "test://b", "test://a"):
                assert (await one.read_resource(uri)).contents[0].text == uri
    assert server.names() == ["resources/read"] * 2


@pytest.mark.asyncio
async def test_a_cursor_that_is_no_longer_known_makes_the_listing_stale():
    def lists(exchange):
        if exchange.request.message["params"].get("cursor") == "old":
            refuse(exchange, -32602, "invalid cursor")
        else:
            listing([tool("a")], ttlMs=MINUTE)(exchange)

    with modern(tools__list=lists) as server:
        async with client(server) as one:
            await one.list_tools()
            with pytest.raises(Exception, match="invalid cursor"):
                await one.list_tools(cursor="old")
            await one.list_tools()
    assert server.names() == ["tools/list"] * 3


@pytest.mark.asyncio
async def test_a_server_that_is_gone_lists_nothing():
    with keeping() as server:
        async with client(server) as one:
            await one.list_tools()
            kept = one.session
        with pytest.raises(Exception, match="closed"):
            await kept.list_tools()
    with pytest.raises(TransportError):
        async with client(server) as one:
            await one.list_tools()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scope", "share_public", "fetched"),
    [("private", True, 2), ("public", True, 1), ("public", False, 2)],
)
async def test_callers_share_what_is_public_if_they_shall(scope, share_public, fetched):
    store = InMemoryResponseCacheStore()
    with keeping(cacheScope=scope) as server:
        for partition in ("alice", "bob", "alice"):
            config = CacheConfig(store, partition, share_public=share_public)
            async with client(server, cache=config) as one:
                await one.list_tools()
    assert server.names() == ["tools/list"] * fetched
    assert len(store) == fetched
    store.clear()
    assert len(store) == 0


@pytest.mark.asyncio
async def test_a_store_holds_as_many_results_as_it_shall():
    store = InMemoryResponseCacheStore(max_entries=1)
    with keeping() as server:
        async with client(server, cache=CacheConfig(store, "me")) as one:
            for cursor in (None, "2", None):
                await one.list_tools(cursor=cursor)
    assert server.names() == ["tools/list"] * 3
    assert len(store) == 1


def test_settings_that_cannot_be_used_are_refused_with_their_names():
    with pytest.raises(ConfigurationError, match="partition must say"):
        CacheConfig(InMemoryResponseCacheStore())
    with pytest.raises(ConfigurationError, match="target_id is empty"):
        CacheConfig(target_id="")
    with pytest.raises(ConfigurationError, match="default_ttl_ms is -1"):
        CacheConfig(default_ttl_ms=-1)
    with pytest.raises(TypeError, match="store takes an InMemoryResponseCacheStore"):
        CacheConfig(store={})
    with pytest.raises(ValueError, match="max_bytes is -1"):
        InMemoryResponseCacheStore(max_bytes=-1)
    with pytest.raises(TypeError, match="cache takes a CacheConfig"):
        Client("http://127.0.0.1:1/mcp", cache="yes")


@pytest.mark.asyncio
async def test_an_unknown_mode_is_refused_before_anything_is_sent():
    with keeping() as server:
        async with client(server) as one:
            with pytest.raises(ConfigurationError, match="cache_mode is 'always'"):
                await one.list_tools(cache_mode="always")
    assert server.names() == []
