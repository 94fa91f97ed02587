"""Wishes for input, and subscriptions: what revision 2026-07-28 has instead of requests of the server."""

from __future__ import annotations

import asyncio
import json
import select
import time

import pytest

from servers.http_scripted import PATIENCE, Server
from servers.modern import told
from servers.sessions import ask, session
from toolbridge import MCPError, MCPTimeoutError
from toolbridge.mcp import Client, ClientSession, InputRequiredRoundsExceededError, types
from toolbridge.mcp.client.streamable_http import streamable_http_client
from toolbridge.mcp.client.subscriptions import (
    ListenNotSupportedError,
    PromptsListChanged,
    ResourcesListChanged,
    SubscriptionLost,
    ToolsListChanged,
)

DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "ttlMs": 0,
    "cacheScope": "private",
}
SAMPLE = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}
ROOTS = {"method": "roots/list"}


def serving(**script):
    script.setdefault("server__discover", lambda exchange: exchange.result(DISCOVERED))
    return Server(None, **script)


def connect(server, **options):
    options.setdefault("read_timeout_seconds", PATIENCE)
    return Client(server.url, **options)


def wishing(*results):
    """Answers with each of the results in turn, the last one again and again."""
    waiting = list(results)

    def answer(exchange):
        exchange.result(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return answer


def wish(state=None, **requests):
    result = {"resultType": "input_required"}
    if requests:
        result["inputRequests"] = requests
    if state is not None:
        result["requestState"] = state
    return result


@pytest.mark.asyncio
async def test_a_call_is_repeated_with_the_answers_of_the_callbacks_asked_at_once():
    state = 'a "quoted" é\\n'
    both = asyncio.Barrier(2)

    async def on_sampling(context, params):
        await both.wait()
        return {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"}

    async def on_roots(context):
        await both.wait()
        return types.ListRootsResult(roots=[])

    script = wishing(wish(state, s=SAMPLE, r=ROOTS), wish("again"), "done")
    with serving(tools__call=script) as server:
        async with connect(
            server, sampling_callback=on_sampling, list_roots_callback=on_roots
        ) as client:
            result = await client.call_tool("t", {"n": 1}, meta={"own": 1})
            assert result.content[0].text == "done"
        first, second, third = (one.message for one in server.seen if one.name == "tools/call")
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert second["params"]["requestState"] == state
    assert second["params"]["inputResponses"] == {
        "s": {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"},
        "r": {"roots": []},
    }
    assert third["params"]["requestState"] == "again"
    assert "inputResponses" not in third["params"]
    for one in (first, second, third):
        assert one["params"]["arguments"] == {"n": 1}
        assert one["params"]["_meta"]["own"] == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("verb", "method", "result"),
    [
        ("get_prompt", "prompts/get", {"messages": []}),
        ("read_resource", "resources/read", {"contents": []}),
    ],
)
async def test_prompts_and_resources_may_want_input_too(verb, method, result):
    def on_roots(context):
        return {"roots": [{"uri": "file:///a"}]}

    script = {method.replace("/", "__"): wishing(wish(r=ROOTS), result)}
    with serving(**script) as server:
        async with connect(server, list_roots_callback=on_roots) as client:
            assert (await getattr(client, verb)("test://a")).model_dump() == result
        again = server.seen[-1].message["params"]
    assert again["inputResponses"] == {"r": {"roots": [{"uri": "file:///a"}]}}
    assert "requestState" not in again


@pytest.mark.asyncio
async def test_a_callback_that_refuses_or_fails_ends_the_call_with_its_error():
    def refusing(context, params):
        return types.ErrorData(code=-1, message="not today", data={"why": 1})

    def failing(context, params):
        raise KeyError("lost")

    with serving(tools__call=wishing(wish(s=SAMPLE))) as server:
        async with connect(server, sampling_callback=refusing) as client:
            with pytest.raises(MCPError, match="not today") as refused:
                await client.call_tool("t")
            assert (refused.value.code, refused.value.data) == (-1, {"why": 1})
        async with connect(server, sampling_callback=failing) as client:
            with pytest.raises(MCPError, match="KeyError: 'lost'"):
                await client.call_tool("t")
        async with connect(server) as client:
            with pytest.raises(MCPError, match="does not handle sampling/createMessage"):
                await client.call_tool("t")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("result", "said"),
    [
        (wish("again"), "wanted input for tools/call more than 2 times"),
        ({"resultType": "input_required"}, "does not say which"),
        ({"resultType": "input_required", "inputRequests": 5}, "does not say which"),
        ({"resultType": "novel"}, 'of the type "novel"'),
    ],
)
async def test_an_answer_that_cannot_be_followed_is_an_error(result, said):
    with serving(tools__call=wishing(result), tools__list=wishing(wish("state"))) as server:
        async with connect(server, input_required_max_rounds=2) as client:
            with pytest.raises(MCPError, match=said) as failure:
                await client.call_tool("t")
            is_endless = isinstance(failure.value, InputRequiredRoundsExceededError)
            assert is_endless == said.startswith("wanted")
            assert not is_endless or failure.value.max_rounds == 2
            with pytest.raises(MCPError, match="tools/list with a wish for input"):
                await client.list_tools()


@pytest.mark.asyncio
async def test_an_error_whose_data_is_too_deep_is_the_error_that_it_is():
    def refuse(exchange):
        data = "[" * 2000 + "]" * 2000
        number = json.dumps(exchange.request.message["id"])
        error = f'{{"code": 7, "message": "no", "data": {data}}}'
        text = f'{{"jsonrpc": "2.0", "id": {number}, "error": {error}}}'
        exchange.respond(200, text, "application/json")

    with serving(tools__call=refuse) as server:
        async with connect(server) as client:
            with pytest.raises(MCPError, match="no") as failure:
                await client.call_tool("t")
    assert failure.value.code == 7
    assert failure.value.data.startswith("[[[")


def acknowledged(exchange, **notifications):
    exchange.stream()
    told(exchange, "subscriptions/acknowledged", notifications=notifications)


@pytest.mark.asyncio
async def test_a_subscription_tells_changes_once_and_ends_when_the_server_ends_it():
    def listen(exchange):
        acknowledged(exchange, toolsListChanged=True)
        for name in ("tools", "tools", "prompts", "resources"):
            told(exchange, f"{name}/list_changed")
        exchange.event(exchange.answer({"resultType": "complete"}))
        exchange.end()

    with serving(subscriptions__listen=listen) as server:
        async with (
            connect(server) as client,
            client.listen(tools_list_changed=True, resource_subscriptions=["a:b"]) as changes,
        ):
            assert changes.honored.model_dump() == {"toolsListChanged": True}
            # All of it has come once the server's word has.
            heard = [change async for change in changes]
        assert server.seen[1].message["params"]["notifications"] == {
            "toolsListChanged": True,
            "resourceSubscriptions": ["a:b"],
        }
        assert server.seen[1].headers["mcp-method"] == "subscriptions/listen"
    assert set(heard) == {ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()}


@pytest.mark.asyncio
async def test_a_subscription_that_breaks_is_lost_and_one_that_is_left_is_closed():
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    breaks = [True, False]

    def listen(exchange):
        acknowledged(exchange)
        if breaks.pop(0):
            exchange.end()
            return
        exchange.wait_until_closed()
        loop.call_soon_threadsafe(closed.set)

    with serving(subscriptions__listen=listen) as server:
        async with connect(server) as client:
            async with client.listen(tools_list_changed=True) as changes:
                with pytest.raises(SubscriptionLost, match="subscribe again"):
                    await anext(changes)
            async with client.listen(tools_list_changed=True) as changes:
                waiting = asyncio.ensure_future(anext(changes, None))
                await asyncio.sleep(0)
            await asyncio.wait_for(closed.wait(), PATIENCE)
            assert await waiting is None
        assert server.names().count("notifications/cancelled") == 0


@pytest.mark.asyncio
async def test_comments_hold_a_subscription_open_for_longer_than_silence_would():
    silence, signs = 0.5, []

    def listen(exchange):
        acknowledged(exchange)
        if signs:
            exchange.wait_until_closed()
            return
        begun = time.monotonic()
        while time.monotonic() - begun < 3 * silence:
            exchange.write(": still here\n\n")
            signs.append(time.monotonic() - begun)
            # The client would close it.
            assert select.select([exchange.connection], [], [], silence / 10)[0] == []
        told(exchange, "tools/list_changed")
        exchange.wait_until_closed()

    with serving(subscriptions__listen=listen) as server:
        transport = streamable_http_client(server.url, sse_read_timeout=silence)
        async with (
            transport as (read, write),
            ClientSession(read, write, read_timeout_seconds=PATIENCE) as one,
        ):
            await one.discover()
            async with one.listen(tools_list_changed=True) as changes:
                assert await anext(changes) == ToolsListChanged()
                assert signs[-1] > 2 * silence
            async with one.listen(tools_list_changed=True) as changes:
                with pytest.raises(SubscriptionLost, match=r"sent nothing for 0\.5 s"):
                    await anext(changes)


@pytest.mark.asyncio
async def test_a_subscription_that_is_refused_or_not_acknowledged_says_so():
    def refuse(exchange):
        error = {"code": -32601, "message": "none here"}
        body = {"jsonrpc": "2.0", "id": exchange.request.message["id"], "error": error}
        exchange.respond(404, json.dumps(body), "application/json")

    def ignore(exchange):
        exchange.stream()
        exchange.wait_until_closed()

    with serving(subscriptions__listen=refuse) as server:
        async with connect(server) as client:
            with pytest.raises(MCPError, match="none here"):
                async with client.listen(tools_list_changed=True):
                    pass
            with pytest.raises(TypeError, match="resource_subscriptions takes a list of str"):
                client.listen(resource_subscriptions="test://one")
    with serving(subscriptions__listen=ignore) as server:
        async with connect(server, read_timeout_seconds=0.2) as client:
            with pytest.raises(MCPTimeoutError, match="did not acknowledge"):
                async with client.listen(tools_list_changed=True):
                    pass
    async with session() as one:
        with pytest.raises(ListenNotSupportedError, match="2025-11-25"):
            async with one.listen(tools_list_changed=True):
                pass


@pytest.mark.asyncio
async def test_on_stdio_subscriptions_share_the_pipe_and_either_side_ends_one():
    async with session("--modern", initialize=False) as one:
        await one.discover()
        async with (
            one.listen(tools_list_changed=True) as first,
            one.listen(prompts_list_changed=True) as second,
        ):
            await ask(one, "change", index=1, kind="prompts")
            number = await ask(one, "change", index=0, kind="tools")
            assert await anext(first) == ToolsListChanged()
            assert await anext(second) == PromptsListChanged()
            await ask(one, "take_back", index=1)
            with pytest.raises(SubscriptionLost, match="without saying why"):
                await anext(second)
        cancelled = []
        # That of the other one may come first.
        while number not in cancelled:
            told = await ask(one, "wait_for", method="notifications/cancelled")
            cancelled = [params["requestId"] for params in told]
