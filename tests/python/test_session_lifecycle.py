"""The beginning and the end of a session: any order, any task, thread or loop."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from servers.sessions import ask, pid_of, process_state, scripted, session
from toolbridge import ConnectionClosedError
from toolbridge.mcp import ClientSession, stdio_client
from toolbridge.mcp.client._streams import TransportStream


class Opened:
    """A client and a session that are left by hand."""

    async def enter(self, *options, **arguments):
        self.client = stdio_client(scripted(*options), None)
        self.streams = await self.client.__aenter__()
        self.session = ClientSession(*self.streams, **arguments)
        await self.session.__aenter__()
        await self.session.initialize()
        self.pid = await pid_of(self.session)
        return self

    async def leave_session(self):
        await self.session.__aexit__(None, None, None)

    async def leave_client(self):
        await self.client.__aexit__(None, None, None)


@pytest.mark.asyncio
@pytest.mark.parametrize("first", ["session", "client"])
async def test_session_and_transport_close_in_any_order(first):
    opened = await Opened().enter()
    waiting = asyncio.create_task(opened.session.call_tool("silent"))
    await opened.session.send_ping()
    ends = [opened.leave_session, opened.leave_client]
    for end in ends if first == "session" else reversed(ends):
        await end()
        assert process_state(opened.pid) is None
    with pytest.raises(ConnectionClosedError, match="was closed"):
        await waiting
    with pytest.raises(ConnectionClosedError, match="was closed"):
        await opened.session.list_tools()


@pytest.mark.asyncio
async def test_closing_twice_and_at_once_does_nothing_more():
    opened = await Opened().enter()
    await asyncio.gather(*(opened.session.aclose() for _ in range(5)), opened.leave_client())
    await opened.session.aclose()
    await opened.leave_client()
    await opened.leave_session()
    assert process_state(opened.pid) is None


@pytest.mark.asyncio
async def test_closing_in_another_task():
    opened = await Opened().enter()
    waiting = asyncio.create_task(opened.session.call_tool("silent"))
    await opened.session.send_ping()
    await asyncio.create_task(opened.leave_client())
    await asyncio.create_task(opened.leave_session())
    with pytest.raises(ConnectionClosedError):
        await waiting
    assert process_state(opened.pid) is None


@pytest.mark.asyncio
async def test_closing_in_another_thread_and_loop():
    opened = await Opened().enter()
    waiting = asyncio.create_task(opened.session.call_tool("silent"))
    await opened.session.send_ping()
    await asyncio.to_thread(asyncio.run, opened.leave_session())
    with pytest.raises(ConnectionClosedError):
        await waiting
    await asyncio.to_thread(asyncio.run, opened.leave_client())
    assert process_state(opened.pid) is None


def test_closing_after_the_loop_of_the_session_was_closed():
    async def ask_for_roots(_context):
        await asyncio.get_running_loop().create_future()

    async def main():
        opened = await Opened().enter(list_roots_callback=ask_for_roots)
        arguments = {"method": "roots/list"}
        asking = asyncio.create_task(opened.session.call_tool("ask", arguments))
        while not opened.session._requests:
            await opened.session.send_ping()
        (answering,) = opened.session._requests
        # Silences asyncio's complaint about the task that the closed loop leaves behind.
        answering._log_destroy_pending = False
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return opened

    loop = asyncio.new_event_loop()
    opened = loop.run_until_complete(main())
    assert opened.session._requests
    loop.close()
    asyncio.run(opened.leave_session())
    asyncio.run(opened.leave_client())
    assert process_state(opened.pid) is None


@pytest.mark.asyncio
async def test_the_context_managers_may_be_left_in_the_wrong_order_by_an_exit_stack():
    opened = [await Opened().enter() for _ in range(3)]
    for one in opened:
        await one.leave_client()
    for one in opened:
        await one.leave_session()
    assert [process_state(one.pid) for one in opened] == [None] * 3


@pytest.mark.asyncio
async def test_a_body_that_is_cancelled_closes_everything():
    pids = []
    inside = asyncio.Event()

    async def body():
        async with session() as one:
            pids.append(await pid_of(one))
            inside.set()
            await one.call_tool("silent")

    task = asyncio.create_task(body())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process_state(pids[0]) is None


@pytest.mark.asyncio
async def test_sessions_in_a_task_group_end_when_one_of_them_fails():
    pids = []
    everybody = asyncio.Barrier(3)

    async def body(fails):
        async with session() as one:
            pids.append(await pid_of(one))
            await everybody.wait()
            if fails:
                raise LookupError("from the body")
            await one.call_tool("silent")

    with pytest.raises(ExceptionGroup) as failure:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(body(number == 1))
    (only,) = failure.value.exceptions
    assert isinstance(only, LookupError)
    assert [process_state(pid) for pid in pids] == [None] * 3


@pytest.mark.asyncio
async def test_a_start_that_is_cancelled_leaves_no_server(tmp_path):
    for number in range(10):
        diary = tmp_path / f"diary{number}"
        client = stdio_client(scripted("--diary", str(diary)), None)
        entering = asyncio.create_task(client.__aenter__())
        for _ in range(number % 3):
            await asyncio.sleep(0)
        entering.cancel()
        outcome = await asyncio.gather(entering, return_exceptions=True)
        if not isinstance(outcome[0], BaseException):
            await client.__aexit__(None, None, None)
        del client, entering, outcome
    gc.collect()
    # Whoever was started and dropped was killed with its group: no child of ours lives on.
    async with session() as one:
        await one.send_ping()


@pytest.mark.asyncio
async def test_a_session_before_it_is_entered_says_how_to_enter_it():
    async with stdio_client(scripted(), None) as streams:
        one = ClientSession(*streams)
        for call in (one.initialize, one.list_tools, one.send_ping, one.send_roots_list_changed):
            with pytest.raises(RuntimeError, match="async with ClientSession"):
                await call()
        await one.aclose()
        async with one:
            await one.initialize()


@pytest.mark.asyncio
async def test_two_sessions_on_the_same_streams_are_refused():
    async with stdio_client(scripted(), None) as streams, ClientSession(*streams) as one:
        await one.initialize()
        with pytest.raises(RuntimeError, match="in use by another session"):
            async with ClientSession(*streams):
                pass
        with pytest.raises(RuntimeError, match="in use by another session"):
            await one.__aenter__()
        assert await ask(one, "echo", a=1) == {"a": 1}


@pytest.mark.asyncio
async def test_streams_of_different_connections_are_refused():
    async with stdio_client(scripted(), None) as first, stdio_client(scripted(), None) as second:
        with pytest.raises(ValueError, match="different connections"):
            ClientSession(first[0], second[1])


@pytest.mark.asyncio
async def test_streams_of_an_ended_connection_are_a_closed_connection():
    async with stdio_client(scripted(), None) as streams:
        pass
    async with ClientSession(*streams) as one:
        with pytest.raises(ConnectionClosedError):
            await one.initialize()


@pytest.mark.asyncio
async def test_a_session_that_nobody_keeps_is_collected():
    opened = await Opened().enter(message_handler=lambda _: None)
    await opened.session.call_tool("report", {"count": 1}, progress_callback=lambda *_: None)
    await opened.leave_session()
    await opened.leave_client()
    gone = weakref.ref(opened.session)
    opened.session = None
    gc.collect()
    assert gone() is None


def test_a_stream_has_no_methods_of_its_own():
    assert [name for name in vars(TransportStream) if not name.startswith("_")] == []
