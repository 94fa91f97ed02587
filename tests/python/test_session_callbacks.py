"""What a server says unasked: progress, log lines, notifications and requests of its own."""

from __future__ import annotations

import asyncio
import logging

import pytest

from servers.sessions import ask, session
from toolbridge import ConnectionClosedError
from toolbridge.mcp import types


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_progress_and_log_lines_come_in_wire_order_and_before_the_result(kind):
    events = []

    def progress(*report):
        events.append(("progress", *report))

    def log(line):
        events.append(("log", line.data["step"], line.level, line.logger))

    async def progress_later(*report):
        await asyncio.sleep(0)
        progress(*report)

    async def log_later(line):
        await asyncio.sleep(0)
        log(line)

    is_async = kind == "async"
    async with session(logging_callback=log_later if is_async else log) as one:
        for _ in range(5):
            events.clear()
            callback = progress_later if is_async else progress
            await one.call_tool("report", {"count": 200}, progress_callback=callback)
            assert len(events) == 400
            reports = [event for event in events if event[0] == "progress"]
            assert reports[0] == ("progress", 0, 200, "first")
            assert reports[1:] == [("progress", n, 200, None) for n in range(1, 200)]
            lines = [event for event in events if event[0] == "log"]
            assert lines == [("log", n, "info", "test") for n in range(200)]
            # The order between the two kinds is kept, too.
            assert events == [one for pair in zip(reports, lines, strict=True) for one in pair]


@pytest.mark.asyncio
async def test_without_a_callback_no_progress_is_asked_for():
    heard = []
    async with session(message_handler=heard.append) as one:
        assert await ask(one, "report", count=3) == {}
        assert [message.method for message in heard] == ["notifications/message"] * 3


@pytest.mark.asyncio
async def test_an_answer_waits_for_the_log_lines_before_it():
    heard = []

    async def log(line):
        for _ in range(3):
            await asyncio.sleep(0)
        heard.append(line.data["step"])

    async with session(logging_callback=log) as one:
        await one.call_tool("report", {"count": 50})
        assert heard == list(range(50))


@pytest.mark.asyncio
async def test_progress_goes_to_the_call_that_it_belongs_to():
    async with session() as one:
        seen = {number: [] for number in range(10)}
        await asyncio.gather(
            *(
                one.call_tool(
                    "report",
                    {"count": number},
                    progress_callback=lambda step, *_, number=number: seen[number].append(step),
                )
                for number in seen
            )
        )
        assert seen == {number: list(range(number)) for number in range(10)}


@pytest.mark.asyncio
async def test_late_and_foreign_progress_reaches_the_message_handler_alone():
    heard, reported = [], []
    async with session(message_handler=heard.append) as one:
        await one.call_tool("report", {"count": 1}, progress_callback=reported.append)
        for token in (0, "0", 10**30, None, {"a": 1}):
            params = {"progressToken": token, "progress": 1}
            await ask(one, "notify", method="notifications/progress", params=params)
        tokens = [m.params["progressToken"] for m in heard if m.method == "notifications/progress"]
        assert tokens == [0, "0", 10**30, None, {"a": 1}]


@pytest.mark.asyncio
async def test_the_message_handler_hears_every_notification_in_order():
    heard = []
    async with session(message_handler=heard.append) as one:
        methods = [
            "notifications/tools/list_changed",
            "notifications/resources/updated",
            "notifications/unknown",
            "anything",
        ]
        for number, method in enumerate(methods):
            await ask(
                one, "notify", method=method, params={"n": number, "x": None} if number else None
            )
        assert [message.method for message in heard] == methods
        assert heard[0].params == {}
        assert heard[1].params == {"n": 1, "x": None}


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [ValueError("mine"), asyncio.CancelledError("mine")])
async def test_a_callback_that_raises_costs_nothing_but_a_log_line(failure, caplog):
    calls = []

    def broken(*arguments):
        calls.append(arguments)
        raise failure

    async with session(logging_callback=broken, message_handler=broken) as one:
        result = await one.call_tool("report", {"count": 2}, progress_callback=broken)
        assert result.content[0].text == "done"
        await one.send_ping()
    assert len(calls) == 6
    records = [record for record in caplog.records if record.name == "toolbridge.mcp"]
    assert len(records) == 6
    assert {record.levelname for record in records} == {"ERROR"}
    assert all("mine" in str(record.exc_info[1]) for record in records)
    assert {record.getMessage() for record in records} == {
        "the progress callback failed",
        "the logging callback failed",
        "the message handler failed",
    }


@pytest.mark.asyncio
async def test_a_callback_may_call_the_session():
    answers = []

    async def progress(step, *_):
        answers.append(await ask(one, "echo", step=step))

    async def log(line):
        answers.append(await ask(one, "echo", line=line.data["step"]))

    async with session(logging_callback=log) as one:
        await asyncio.wait_for(
            one.call_tool("report", {"count": 3}, progress_callback=progress), 20
        )
    expected = [{"step": 0}, {"step": 1}, {"step": 2}, {"line": 0}, {"line": 1}, {"line": 2}]
    assert sorted(answers, key=str) == sorted(expected, key=str)


@pytest.mark.asyncio
async def test_a_callback_may_close_the_session():
    async with session(message_handler=lambda _: one.aclose()) as one:
        call = asyncio.create_task(one.call_tool("report", {"count": 1}))
        (outcome,) = await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 20)
        # The answer and the end may cross.
        assert isinstance(outcome, (types.CallToolResult, ConnectionClosedError))
        with pytest.raises(ConnectionClosedError, match="session was closed"):
            await one.send_ping()


@pytest.mark.asyncio
async def test_a_waiting_call_survives_the_cancellation_of_another_that_waits_for_callbacks():
    release = asyncio.Event()
    started = asyncio.Event()

    async def slow(_line):
        started.set()
        await release.wait()

    async with session(logging_callback=slow) as one:
        first = asyncio.create_task(one.call_tool("report", {"count": 1}))
        await started.wait()
        second = asyncio.create_task(one.send_ping())
        third = asyncio.create_task(one.send_ping())
        await ask_without_waiting(one)
        second.cancel()
        release.set()
        await asyncio.wait_for(asyncio.gather(first, third), 20)
        assert second.cancelled()


async def ask_without_waiting(one):
    """A round trip that does not wait for callbacks: the raw request."""
    await one._session.request("ping", None, None, None, None)


# Requests of the server.

SAMPLING = {
    "messages": [{"role": "user", "content": {"type": "text", "text": "?"}}],
    "maxTokens": 5,
    "x-unknown": [1],
    "_meta": {"k": 1},
}


def answer_of(message):
    return {key: message[key] for key in ("result", "error") if key in message}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_requests_of_the_server_are_answered_by_the_callbacks(kind):
    seen = {}

    def sampling(context, params):
        assert context.session is one
        seen["sampling"] = params, context.meta
        content = types.TextContent(type="text", text="an answer")
        return types.CreateMessageResult(role="assistant", content=content, model="m")

    def elicitation(_context, params):
        seen["elicitation"] = params
        return {"action": "accept", "content": {"b": 1, "a": None}}

    def roots(context):
        seen["roots"] = context.meta
        return types.ListRootsResult(roots=[types.Root(uri="file:///tmp", name="tmp")])

    def maybe_async(callback):
        async def later(*arguments):
            await one.send_ping()
            return callback(*arguments)

        return later if kind == "async" else callback

    async with session(
        sampling_callback=maybe_async(sampling),
        elicitation_callback=maybe_async(elicitation),
        list_roots_callback=maybe_async(roots),
    ) as one:
        answer = await ask(one, "ask", method="sampling/createMessage", params=SAMPLING)
        assert answer_of(answer) == {
            "result": {
                "role": "assistant",
                "content": {"type": "text", "text": "an answer"},
                "model": "m",
            }
        }
        params, meta = seen["sampling"]
        assert isinstance(params, types.CreateMessageRequestParams)
        assert params.maxTokens == params.max_tokens == 5
        assert params.messages[0].content.text == "?"
        assert params["x-unknown"] == [1]
        assert meta == {"k": 1}

        schema = {"message": "m", "requestedSchema": {"type": "object", "x": {"y": 1}}}
        answer = await ask(one, "ask", method="elicitation/create", params=schema)
        assert answer_of(answer) == {"result": {"action": "accept", "content": {"b": 1, "a": None}}}
        assert seen["elicitation"].requestedSchema == schema["requestedSchema"]

        answer = await ask(one, "ask", method="roots/list")
        assert answer_of(answer) == {"result": {"roots": [{"uri": "file:///tmp", "name": "tmp"}]}}
        assert seen["roots"] is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "method", ["sampling/createMessage", "elicitation/create", "roots/list", "x/unknown", ""]
)
async def test_a_request_that_nobody_handles_is_refused(method):
    async with session() as one:
        error = (await ask(one, "ask", method=method, params={}))["error"]
        assert error["code"] == -32601
        assert method in error["message"]


@pytest.mark.asyncio
async def test_a_callback_may_refuse():
    def sampling(_context, _params):
        return types.ErrorData(code=-1, message="no model here", data={"why": [1]})

    async with session(sampling_callback=sampling) as one:
        answer = await ask(one, "ask", method="sampling/createMessage", params=SAMPLING)
        assert answer["error"] == {"code": -1, "message": "no model here", "data": {"why": [1]}}


@pytest.mark.asyncio
@pytest.mark.parametrize("result", ["raises", "cannot be written", "cancelled"])
async def test_a_callback_that_fails_is_an_error_for_the_server(result, caplog):
    def sampling(_context, _params):
        if result == "raises":
            raise LookupError("no model")
        if result == "cancelled":
            raise asyncio.CancelledError
        return {"content": {1, 2}}

    async with session(sampling_callback=sampling) as one:
        with caplog.at_level(logging.ERROR, "toolbridge.mcp"):
            answer = await ask(one, "ask", method="sampling/createMessage", params=SAMPLING)
        assert answer["error"]["code"] == -32603
        await one.send_ping()
    if result == "raises":
        assert answer["error"]["message"] == "LookupError: no model"
    if result != "cancelled":
        assert "the callback for sampling/createMessage failed" in caplog.text


@pytest.mark.asyncio
async def test_requests_of_the_server_run_side_by_side():
    arrived = []
    everybody = asyncio.Event()

    async def sampling(_context, params):
        arrived.append(params.maxTokens)
        if len(arrived) == 5:
            everybody.set()
        await everybody.wait()
        return {"n": params.maxTokens}

    async with session(sampling_callback=sampling) as one:
        answers = await asyncio.wait_for(
            asyncio.gather(
                *(
                    ask(one, "ask", method="sampling/createMessage", params={"maxTokens": n}, key=n)
                    for n in range(5)
                )
            ),
            20,
        )
    assert [answer["result"]["n"] for answer in answers] == list(range(5))


@pytest.mark.asyncio
async def test_a_session_that_closes_does_not_wait_for_its_callbacks():
    started = asyncio.Event()
    ended = []

    async def sampling(_context, _params):
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    async with asyncio.timeout(1.9):
        async with session(sampling_callback=sampling) as one:
            call = asyncio.create_task(one.call_tool("ask", {"method": "sampling/createMessage"}))
            await started.wait()
    assert isinstance(await asyncio.gather(call, return_exceptions=True), list)
    await asyncio.sleep(0)
    assert ended == [True]
