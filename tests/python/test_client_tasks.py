"""Calls that a server runs as tasks: SEP-2663 of 2026-07-28, and the tasks of 2025-11-25."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import asynccontextmanager

import pytest

from servers.http_scripted import INITIALIZE, PATIENCE, Server
from servers.modern import VERSION, listing, modern, refuse, structured, told, tool
from toolbridge import MCPError, ToolOutputError
from toolbridge.mcp import Client
from toolbridge.mcp.types import ElicitResult

EXTENSION = "io.modelcontextprotocol/tasks"
TEXT = {"content": [{"type": "text", "text": "done"}]}
ASK = {
    "method": "elicitation/create",
    "params": {"message": "who?", "requestedSchema": {"type": "object", "properties": {}}},
}


def state(status, **more):
    return {"taskId": "t-1", "status": status, "pollIntervalMs": 1, "ttlMs": None, **more}


class Tasks:
    """A server that runs every call as one task, whose states are given."""

    def __init__(self, *states, seed=None):
        self.states = list(states)
        self.seed = seed or state("working")
        self.updates = []
        self.script = {
            "tools__call": self.call,
            "tasks__get": self.get,
            "tasks__update": self.update,
            "tasks__cancel": lambda exchange: exchange.result({"resultType": "complete"}),
        }

    def call(self, exchange):
        exchange.result({"resultType": "task", **self.seed})

    def get(self, exchange):
        assert exchange.request.headers["mcp-name"] == "t-1"
        current = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        exchange.result({"resultType": "complete", **current})

    def update(self, exchange):
        self.updates.append(exchange.request.message["params"])
        exchange.result({"resultType": "complete"})


@asynccontextmanager
async def client(server, **options):
    async with Client(server.url, mode=VERSION, read_timeout_seconds=30, **options) as one:
        yield one


@pytest.mark.asyncio
async def test_a_call_that_became_a_task_gives_its_result():
    tasks = Tasks(state("working"), state("completed", result=TEXT))
    with modern(**tasks.script) as server:
        async with client(server) as one:
            result = await one.call_tool("slow")
    assert result.content[0].text == "done"
    assert server.names() == ["tools/call", "tasks/get", "tasks/get"]
    meta = server.seen[0].message["params"]["_meta"]
    capabilities = meta["io.modelcontextprotocol/clientCapabilities"]
    assert capabilities["extensions"] == {EXTENSION: {}}


@pytest.mark.asyncio
async def test_the_input_that_a_task_wants_is_given_once():
    wants = state("input_required", inputRequests={"a": ASK})
    more = state("input_required", inputRequests={"a": ASK, "b": ASK})
    tasks = Tasks(wants, more, more, state("completed", result=TEXT))
    asked = []

    async def elicit(context, params):
        asked.append(params.message)
        return ElicitResult(action="accept", content={"name": "me"})

    with modern(**tasks.script) as server:
        async with client(server, elicitation_callback=elicit) as one:
            await one.call_tool("slow")
    assert asked == ["who?", "who?"]
    answer = {"action": "accept", "content": {"name": "me"}}
    assert [update["inputResponses"] for update in tasks.updates] == [{"a": answer}, {"b": answer}]
    assert {update["taskId"] for update in tasks.updates} == {"t-1"}


@pytest.mark.asyncio
async def test_a_task_that_fails_is_the_error_that_it_failed_with():
    error = {"code": -32050, "message": "out of paper", "data": [1]}
    for states, words, code in [
        ([state("failed", error=error)], "out of paper", -32050),
        (
            [state("cancelled", statusMessage="too late")],
            "cancelled the task 't-1': too late",
            -32603,
        ),
        ([state("completed")], "without its result", -32603),
        ([state("lost")], "'t-1' is 'lost'", -32603),
    ]:
        with modern(**Tasks(*states).script) as server:
            async with client(server) as one:
                with pytest.raises(MCPError, match=words.replace("'", "[\"']")) as failure:
                    await one.call_tool("slow")
        assert failure.value.code == code
        # It has ended by itself.
        assert "tasks/cancel" not in server.names()


@pytest.mark.asyncio
async def test_a_call_that_is_cancelled_cancels_its_task():
    with modern(**Tasks(state("working")).script) as server:
        async with client(server) as one:
            call = asyncio.ensure_future(one.call_tool("slow"))
            await asyncio.to_thread(server.wait_for, "tasks/get")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            cancelled = await asyncio.to_thread(server.wait_for, "tasks/cancel")
    assert cancelled.message["params"]["taskId"] == "t-1"
    assert cancelled.headers["mcp-name"] == "t-1"


@pytest.mark.asyncio
async def test_the_result_of_a_task_is_checked_as_any_other():
    schema = {"type": "object", "required": ["a"]}
    tasks = Tasks(state("completed", result=structured({})))
    script = {**tasks.script, "tools__list": listing([tool("slow", outputSchema=schema)])}
    with modern(**script) as server:
        async with client(server) as one:
            await one.list_tools()
            with pytest.raises(ToolOutputError):
                await one.call_tool("slow")
            handle = await one.call_tool_as_task("slow")
            with pytest.raises(ToolOutputError):
                await handle.result()


@pytest.mark.asyncio
async def test_a_task_can_be_handed_out():
    tasks = Tasks(
        state("working", statusMessage="half"),
        state("working", statusMessage="nearly"),
        state("completed", result=TEXT),
    )
    with modern(**tasks.script) as server:
        async with client(server) as one:
            task = await one.call_tool_as_task("slow")
            assert server.names() == ["tools/call"]
            assert (task.task_id, task.status, task.done()) == ("t-1", "working", False)
            assert "t-1" in repr(task)
            assert await task.refresh() == "working"
            assert task.status_message == "half"
            assert task.state.poll_interval_ms == 1
            heard = []
            result = await task.result(
                lambda task: heard.append(task.status_message or task.status)
            )
            assert result.content[0].text == "done"
            assert heard == ["half", "nearly", "completed"]
            assert task.done()
            assert await task.result() == result
            await task.cancel()
    assert server.names()[-1] == "tasks/cancel"


@pytest.mark.asyncio
async def test_to_stop_waiting_for_a_task_that_was_handed_out_leaves_it_alone():
    tasks = Tasks(state("working"))
    with modern(**tasks.script) as server:
        async with client(server) as one:
            task = await one.call_tool_as_task("slow")
            waiting = asyncio.ensure_future(task.result())
            await asyncio.to_thread(server.wait_for, "tasks/get")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            # Whatever was sent, was sent before this.
            await task.refresh()
            tasks.states = [state("completed", result=TEXT)]
            again = one.task("t-1", "slow")
            assert (await again.result()).content[0].text == "done"
    assert "tasks/cancel" not in server.names()


@pytest.mark.asyncio
async def test_a_call_that_ends_at_once_is_a_task_that_has_ended():
    with modern() as server:
        async with client(server) as one:
            task = await one.call_tool_as_task("quick")
            assert (task.task_id, task.status, task.state) == (None, "completed", None)
            assert (await task.result()).content[0].text == "done"
            assert await task.refresh() == "completed"
            await task.cancel()
    assert server.names() == ["tools/call"]


@pytest.mark.asyncio
async def test_a_task_that_the_server_does_not_know_is_its_error():
    def get(exchange):
        refuse(exchange, -32602, "no such task")

    with modern(tasks__get=get) as server:
        async with client(server) as one:
            with pytest.raises(MCPError, match="no such task") as failure:
                await one.task("gone").result()
            assert failure.value.code == -32602


class Telling(Tasks):
    """Asks to be polled once in a minute, and tells of the task to those who subscribe."""

    def __init__(self, *states, honors=True):
        patient = {"pollIntervalMs": 60_000}
        super().__init__(*({**one, **patient} for one in states), seed=state("working", **patient))
        self.honors = honors
        self.gets = queue.Queue()
        self.closed = threading.Event()
        self.script["subscriptions__listen"] = self.listen

    def get(self, exchange):
        super().get(exchange)
        self.gets.put(exchange)

    def listen(self, exchange):
        exchange.stream()
        wanted = exchange.request.message["params"]["notifications"]
        honored = wanted if self.honors else {}
        told(exchange, "subscriptions/acknowledged", notifications=honored)
        if self.honors:
            # What happened before the subscription is asked for once.
            self.gets.get(timeout=PATIENCE)
            told(exchange, "tasks", **{**state("working"), "taskId": "another"})
            told(exchange, "tasks", **state("completed", result=TEXT))
        exchange.wait_until_closed()
        self.closed.set()


@pytest.mark.asyncio
async def test_a_task_that_the_server_tells_of_is_not_waited_for_until_the_next_poll():
    tasks = Telling(state("working"), state("completed", result=TEXT))
    heard = []
    with modern(**tasks.script) as server:
        async with client(server, message_handler=heard.append) as one, asyncio.timeout(PATIENCE):
            assert (await one.call_tool("slow")).content[0].text == "done"
            # Nobody waits for it any more.
            assert await asyncio.to_thread(tasks.closed.wait, PATIENCE)
    assert server.names().count("tasks/get") == 2
    (listen,) = [one for one in server.seen if one.name == "subscriptions/listen"]
    assert listen.message["params"]["notifications"] == {"taskIds": ["t-1"]}
    assert "tasks/cancel" not in server.names()


@pytest.mark.asyncio
async def test_a_server_that_does_not_tell_of_tasks_is_polled_and_asked_once():
    def no(exchange):
        refuse(exchange, -32601, "none here", 404)
        refused.set()

    refused = threading.Event()
    half = state("working", pollIntervalMs=500)
    tasks = Tasks(half, state("completed", result=TEXT), seed=half)
    with modern(**tasks.script, subscriptions__listen=no) as server:
        async with client(server) as one:
            assert (await one.call_tool("slow")).content[0].text == "done"
            tasks.states = [state("completed", result=TEXT)]
            assert (await one.call_tool("slow")).content[0].text == "done"
    assert refused.is_set()
    assert server.names().count("subscriptions/listen") == 1


@pytest.mark.asyncio
async def test_a_subscription_without_the_task_is_left_again():
    tasks = Telling(state("completed", result=TEXT), honors=False)
    with modern(**tasks.script) as server:
        async with client(server) as one:
            waiting = asyncio.ensure_future(one.call_tool("slow"))
            assert await asyncio.to_thread(tasks.closed.wait, PATIENCE)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.to_thread(server.wait_for, "tasks/cancel")


LEGACY = {
    **INITIALIZE,
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}, "tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}}},
}


def legacy_state(status):
    return {"taskId": "t-2", "status": status, "ttl": 1000, "pollInterval": 1}


def legacy(*statuses, support, result=TEXT):
    left = list(statuses)

    def call(exchange):
        if "task" in exchange.request.message["params"]:
            exchange.result({"task": legacy_state("working")})
        else:
            exchange.result("plain")

    def get(exchange):
        exchange.result(legacy_state(left.pop(0) if len(left) > 1 else left[0]))

    return Server(
        initialize=lambda exchange: exchange.result(LEGACY),
        tools__list=listing([tool("slow", execution={"taskSupport": support})]),
        tools__call=call,
        tasks__get=get,
        tasks__result=lambda exchange: exchange.result(result),
        tasks__cancel=lambda exchange: exchange.result(legacy_state("cancelled")),
    )


@asynccontextmanager
async def legacy_client(server):
    async with Client(server.url, mode="legacy", read_timeout_seconds=30) as one:
        await one.list_tools()
        yield one


@pytest.mark.asyncio
@pytest.mark.parametrize("last", ["completed", "failed", "input_required"])
async def test_a_tool_of_2025_11_25_that_must_be_a_task_is_one(last):
    with legacy("working", last, support="required") as server:
        async with legacy_client(server) as one:
            assert (await one.call_tool("slow")).content[0].text == "done"
    asked = [name for name in server.names() if name.startswith("tasks/")]
    assert asked == ["tasks/get", "tasks/get", "tasks/result"]


@pytest.mark.asyncio
async def test_a_tool_of_2025_11_25_that_may_be_a_task_is_one_when_it_is_handed_out():
    with legacy("working", "completed", support="optional") as server:
        async with legacy_client(server) as one:
            assert (await one.call_tool("slow")).content[0].text == "plain"
            task = await one.call_tool_as_task("slow")
            assert (task.task_id, task.status) == ("t-2", "working")
            assert (await task.result()).content[0].text == "done"
            await task.cancel()
            assert task.status == "cancelled"
    with legacy("completed", support="forbidden") as server:
        async with legacy_client(server) as one:
            task = await one.call_tool_as_task("slow")
            assert (await task.result()).content[0].text == "plain"


@pytest.mark.asyncio
async def test_a_task_of_2025_11_25_is_looked_at_when_the_server_tells_of_it():
    server = legacy("working", "completed", support="required")
    asked, has_ended = threading.Event(), threading.Event()
    patient = {**legacy_state("working"), "pollInterval": 60_000}

    def listen(exchange):
        exchange.stream()
        assert asked.wait(PATIENCE)
        # It may come before the answer of the call has been read.
        has_ended.set()
        message = {"method": "notifications/tasks/status", "params": legacy_state("completed")}
        exchange.event({"jsonrpc": "2.0", **message})
        exchange.wait_until_closed()

    def call(exchange):
        exchange.result({"task": patient})
        asked.set()

    def get(exchange):
        exchange.result(legacy_state("completed") if has_ended.is_set() else patient)

    server.script.update({"tools/call": call, "GET": listen, "tasks/get": get})
    with server:
        async with legacy_client(server) as one, asyncio.timeout(PATIENCE):
            assert (await one.call_tool("slow")).content[0].text == "done"


@pytest.mark.asyncio
async def test_progress_goes_on_while_a_call_is_a_task():
    reports = []
    server = legacy("working", "completed", support="required")

    def get(exchange):
        # As an event before the answer, with the token of the call.
        call = next(one for one in server.seen if one.name == "tools/call")
        token = call.message["params"]["_meta"]["progressToken"]
        progress = {"progressToken": token, "progress": 1, "message": "half"}
        exchange.stream()
        exchange.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
        exchange.event(exchange.answer(legacy_state("completed")))
        exchange.end()

    server.script["tasks/get"] = get
    with server:
        async with legacy_client(server) as one:

            def report(progress, total, message):
                reports.append((progress, message))

            await one.call_tool("slow", progress_callback=report)
    assert reports == [(1, "half")]
