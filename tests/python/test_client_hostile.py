"""Servers that answer with what no server should."""

from __future__ import annotations

import asyncio
import json

import pytest

from servers.http_scripted import INITIALIZE, Server
from servers.modern import VERSION, modern, structured
from test_client_tasks import ASK, TEXT, Tasks, client, state
from toolbridge import MCPError, MCPTimeoutError, TransportError
from toolbridge.mcp import Client
from toolbridge.mcp.types import ElicitResult

# Stands for a value of ten thousand brackets, which no encoder writes.
DEEP = "deep"


@pytest.mark.asyncio
async def test_a_task_that_never_ends_is_given_up_and_cancelled():
    tasks = Tasks(state("working", statusMessage="stirring"))
    with modern(**tasks.script) as server:
        async with client(server) as one:
            with pytest.raises(MCPTimeoutError, match=r"task_timeout_seconds.*working: stirring"):
                await one.call_tool("slow", task_timeout_seconds=0.3)
            cancelled = await asyncio.to_thread(server.wait_for, "tasks/cancel")
    assert cancelled.message["params"]["taskId"] == "t-1"


@pytest.mark.asyncio
async def test_a_task_is_not_waited_for_when_its_server_no_longer_keeps_it():
    kept = state("working", ttlMs=200)
    with modern(**Tasks(kept, seed=kept).script) as server:
        async with client(server) as one:
            with pytest.raises(MCPTimeoutError, match=r"0\.2 s for which its server keeps it"):
                await one.call_tool("slow")
            await asyncio.to_thread(server.wait_for, "tasks/cancel")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({**state("completed", result=TEXT), "taskId": "t-2"}, "answered with the task .t-2."),
        (state("completed", result={"resultType": "task", **state("working")}), "another task"),
        (state("completed", result={"resultType": "input_required"}), "the type .input_required."),
        (state("completed", result={"resultType": 5}), "the resultType 5; it is a text"),
    ],
)
async def test_a_task_ends_in_the_result_of_its_call_alone(seen, words):
    with modern(**Tasks(seen).script) as server:
        async with client(server) as one:
            with pytest.raises(MCPError, match=words):
                await one.call_tool("slow")


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [5, None, ["complete"], "later", "x" * 10_000])
async def test_a_type_of_result_that_is_none_is_refused(kind):
    answer = {**structured({}), "resultType": kind}
    with modern(tools__call=lambda exchange: exchange.result(answer)) as server:
        async with Client(server.url, mode=VERSION) as one:
            with pytest.raises(MCPError, match="resultType|result of the type") as failure:
                await one.call_tool("a")
    assert len(str(failure.value)) < 400


@pytest.mark.asyncio
async def test_one_round_asks_for_a_few_inputs():
    asked = []
    many = 65

    def call(exchange):
        wishes = {str(at): ASK for at in range(many)}
        if "inputResponses" in exchange.request.message["params"]:
            exchange.result(structured({}))
        else:
            exchange.result({"resultType": "input_required", "inputRequests": wishes})

    async def elicit(context, params):
        asked.append(params.message)
        return ElicitResult(action="decline")

    with modern(tools__call=call) as server:
        async with Client(server.url, mode=VERSION, elicitation_callback=elicit) as one:
            with pytest.raises(
                MCPError, match="wants 65 inputs for tools/call at once; at most 64"
            ):
                await one.call_tool("a")
            assert asked == []
            many = 64
            await one.call_tool("a")
    assert len(asked) == 64


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"capabilities": 5}, MCPError, "its capabilities is 5, not an object"),
        ({"serverInfo": ["x"]}, MCPError, "its serverInfo is .* not an object"),
        ({"protocolVersion": "x" * 100_000}, MCPError, "the server speaks revision .x{100}…"),
        ({"instructions": DEEP}, TransportError, "the answer to the handshake cannot be read"),
    ],
)
async def test_an_answer_to_initialize_that_is_none_is_refused(answer, kind, words):
    text = json.dumps({**INITIALIZE, **answer}).replace(json.dumps(DEEP), "[" * 9_999 + "]" * 9_999)

    def initialize(exchange):
        exchange.respond(200, f'{{"jsonrpc":"2.0","id":0,"result":{text}}}', "application/json")

    with Server(initialize=initialize) as server, pytest.raises(kind, match=words) as failure:
        async with Client(server.url, mode="legacy"):
            pass
    assert len(str(failure.value)) < 400


@pytest.mark.asyncio
async def test_a_server_that_says_nothing_of_itself_is_a_server_all_the_same():
    told = {"protocolVersion": INITIALIZE["protocolVersion"]}
    with Server(initialize=lambda exchange: exchange.result(told)) as server:
        async with Client(server.url, mode="legacy") as one:
            assert one.server_info is None
            assert one.server_capabilities == {}


@pytest.mark.asyncio
async def test_a_state_of_a_request_that_is_no_text_is_not_sent_back():
    wish = {"resultType": "input_required", "requestState": {"a": 1}}
    with modern(tools__call=lambda exchange: exchange.result(wish)) as server:
        async with Client(server.url, mode=VERSION) as one:
            with pytest.raises(MCPError, match=r"requestState \{.a.: 1\}; it is a text"):
                await one.call_tool("a")
    assert server.names() == ["tools/call"]


@pytest.mark.asyncio
async def test_what_a_server_says_instead_of_an_error_is_shown_in_part():
    def call(exchange):
        number = exchange.request.message["id"]
        error = json.dumps(["x" * 100_000])
        text = f'{{"jsonrpc":"2.0","id":{number},"error":{error}}}'
        exchange.respond(200, text, "application/json")

    with modern(tools__call=call) as server:
        async with Client(server.url, mode=VERSION) as one:
            with pytest.raises(MCPError, match="with an error that is not one") as failure:
                await one.call_tool("a")
    assert len(str(failure.value)) < 1_000
