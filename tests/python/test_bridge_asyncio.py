"""What the public coroutines are to asyncio: awaitable by every means, on every loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import os
import sys
import threading

import pytest
import uvloop

from servers.sessions import ask, run_script, scripted, session
from toolbridge import MCPTimeoutError
from toolbridge.mcp import ClientSession, stdio_client

WAYS = {
    "await": lambda call: call(),
    "create_task": lambda call: asyncio.create_task(call()),
    "ensure_future": lambda call: asyncio.ensure_future(call()),
    "wait_for": lambda call: asyncio.wait_for(call(), 30),
    "shield": lambda call: asyncio.shield(call()),
    "gather": lambda call: gathered(call),
    "wait": lambda call: waited(call),
    "as_completed": lambda call: completed(call),
    "TaskGroup": lambda call: grouped(call),
    "timeout": lambda call: limited(call),
}


async def gathered(call):
    results = await asyncio.gather(*(call() for _ in range(3)))
    return results[0]


async def waited(call):
    done, _ = await asyncio.wait([asyncio.create_task(call())])
    return done.pop().result()


async def completed(call):
    results = [await one for one in asyncio.as_completed([call(), call()])]
    return results[0]


async def grouped(call):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call()) for _ in range(3)]
    return tasks[0].result()


async def limited(call):
    async with asyncio.timeout(30):
        return await call()


CALLS = {
    "initialize": lambda one: one.initialize(),
    "send_ping": lambda one: one.send_ping(),
    "list_tools": lambda one: one.list_tools(),
    "call_tool": lambda one: one.call_tool("echo", {"a": 1}),
    "list_prompts": lambda one: one.list_prompts(),
    "get_prompt": lambda one: one.get_prompt("prompt"),
    "list_resources": lambda one: one.list_resources(),
    "list_resource_templates": lambda one: one.list_resource_templates(),
    "read_resource": lambda one: one.read_resource("test://1"),
    "subscribe_resource": lambda one: one.subscribe_resource("test://1"),
    "unsubscribe_resource": lambda one: one.unsubscribe_resource("test://1"),
    "complete": lambda one: one.complete(
        {"type": "ref/prompt", "name": "p"}, {"name": "n", "value": ""}
    ),
    "set_logging_level": lambda one: one.set_logging_level("info"),
    "send_progress_notification": lambda one: one.send_progress_notification("t", 1),
    "send_roots_list_changed": lambda one: one.send_roots_list_changed(),
    "aclose": lambda one: one.aclose(),
}


WITHOUT_RESULT = {"aclose", "send_progress_notification", "send_roots_list_changed"}


# The scripted server of these tests speaks a revision that has them not.
NOT_IN_THE_HANDSHAKE = {"discover", "call_tool_as_task"}


def test_every_public_method_that_waits_is_a_coroutine_function():
    methods = {
        name
        for name, value in inspect.getmembers(ClientSession, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert methods == CALLS.keys() | NOT_IN_THE_HANDSHAKE
    assert inspect.iscoroutinefunction(ClientSession.__aenter__)
    assert inspect.iscoroutinefunction(ClientSession.__aexit__)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", WAYS)
async def test_every_call_can_be_awaited_by(way):
    async with session() as one:
        for name, call in CALLS.items():
            coroutine = call(one)
            assert inspect.iscoroutine(coroutine), name
            coroutine.close()
            result = await WAYS[way](lambda call=call: call(one))
            assert (result is None) == (name in WITHOUT_RESULT), name


def test_asyncio_run_works_many_times_in_a_row():
    async def main(number):
        async with session() as one:
            return await ask(one, "echo", a=number)

    assert [asyncio.run(main(number)) for number in range(5)] == [{"a": n} for n in range(5)]


def test_a_session_outlives_the_loop_that_made_it():
    async def enter():
        one = ClientSession(*await stdio_client(scripted(), None).__aenter__())
        await one.__aenter__()
        await one.initialize()
        return one

    async def use(one, number):
        return await ask(one, "echo", a=number)

    one = asyncio.run(enter())
    assert asyncio.run(use(one, 1)) == {"a": 1}
    assert asyncio.run(use(one, 2)) == {"a": 2}
    asyncio.run(one.aclose())


def in_threads(count, work):
    outcomes = {}

    def run(number):
        try:
            outcomes[number] = work(number)
        except BaseException as failure:  # noqa: BLE001 - shown by the assertion
            outcomes[number] = failure

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_loops_in_several_threads_have_a_session_each(new_loop):
    async def main(number):
        async with session() as one:
            answers = await asyncio.gather(*(ask(one, "echo", a=number) for _ in range(50)))
            return {answer["a"] for answer in answers}

    def work(number):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main(number))

    assert in_threads(4, work) == {number: {number} for number in range(4)}


@pytest.mark.asyncio
async def test_one_session_answers_calls_of_loops_in_other_threads():
    async with session() as one:

        async def main(number):
            answers = await asyncio.gather(*(ask(one, "echo", a=number) for _ in range(50)))
            return {answer["a"] for answer in answers}

        def work(number):
            return asyncio.run(main(number))

        here = asyncio.create_task(main(99))
        found = await asyncio.to_thread(in_threads, 3, work)
        assert found == {number: {number} for number in range(3)}
        assert await here == {99}


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["cancel", "wait_for", "timeout", "read_timeout_seconds"])
async def test_a_call_that_is_given_up_is_cancelled_at_the_server(way):
    async with session() as one:
        await one.send_ping()
        if way == "cancel":
            call = asyncio.create_task(one.call_tool("silent"))
            # The task begins, and then the answer to the ping says that its request has arrived.
            await asyncio.sleep(0)
            await one.send_ping()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        elif way == "wait_for":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.call_tool("silent"), 0.01)
        elif way == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await one.call_tool("silent")
        else:
            with pytest.raises(MCPTimeoutError):
                await one.call_tool("silent", read_timeout_seconds=0.01)
        cancelled = await ask(one, "wait_for", method="notifications/cancelled")
        received = await ask(one, "got")
        silent = [m["id"] for m in received if m.get("params", {}).get("name") == "silent"]
        assert [params["requestId"] for params in cancelled] == silent
        assert await ask(one, "echo", a=1) == {"a": 1}


@pytest.mark.asyncio
async def test_calls_leave_in_the_order_in_which_they_were_made():
    async with session() as one:
        await asyncio.gather(
            *(
                one.send_progress_notification("t", number)
                if number % 3 == 0
                else one.call_tool("echo", {"n": number})
                for number in range(600)
            )
        )
        received = [message["params"] for message in (await ask(one, "got"))[2:-1]]
        numbers = [
            params.get("progress", params.get("arguments", {}).get("n")) for params in received
        ]
        assert numbers == list(range(600))


@pytest.mark.asyncio
async def test_initialize_is_never_cancelled_at_the_server():
    async with session("--mute", "initialize", initialize=False) as one:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.initialize(), 0.01)
        await one.initialize()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.call_tool("silent"), 0.01)
        cancelled = await ask(one, "wait_for", method="notifications/cancelled")
        received = await ask(one, "got")
        silent = [m["id"] for m in received if m.get("params", {}).get("name") == "silent"]
        assert [params["requestId"] for params in cancelled] == silent


@pytest.mark.asyncio
async def test_an_answer_after_the_cancellation_is_ignored():
    async with session() as one:
        for _ in range(20):
            call = asyncio.create_task(one.call_tool("silent"))
            # The task begins, and then the answer to the ping says that its request has arrived.
            await asyncio.sleep(0)
            await one.send_ping()
            number = (await ask(one, "got"))[-2]["id"]
            late = asyncio.create_task(one.call_tool("answer_others", {"answer": number - 1}))
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await late


@pytest.mark.asyncio
async def test_a_coroutine_that_is_never_awaited_sends_nothing():
    async with session() as one:
        for name, call in CALLS.items():
            with pytest.warns(RuntimeWarning, match=f"{name}' was never awaited"):
                call(one)
                gc.collect()
        methods = [message["method"] for message in await ask(one, "got")]
        assert methods == ["initialize", "notifications/initialized", "tools/call"]


@pytest.mark.asyncio
async def test_calls_leave_nothing_behind():
    async with session() as one:

        async def burst():
            await asyncio.gather(*(one.call_tool("echo", {"a": 1}) for _ in range(500)))
            calls = [asyncio.create_task(one.call_tool("silent")) for _ in range(20)]
            # The task begins, and then the answer to the ping says that its request has arrived.
            await asyncio.sleep(0)
            await one.send_ping()
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await one.call_tool("report", {"count": 5}, progress_callback=lambda *_: None)
            del calls
            gc.collect()
            return len(gc.get_objects())

        await burst()
        before = await burst()
        after = [await burst() for _ in range(3)]
        assert max(after) - before < 100


def test_sessions_leave_no_descriptor_and_no_thread_behind():
    def counts():
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    async def main():
        async with session(errlog=sys.__stderr__) as one:
            await one.send_ping()
            return await asyncio.gather(*(opened_and_left() for _ in range(3)))

    async def opened_and_left():
        async with session():
            pass

    asyncio.run(main())
    gc.collect()
    descriptors, threads = counts()
    for _ in range(4):
        asyncio.run(main())
    gc.collect()
    after = counts()
    assert after[0] <= descriptors
    # The thread of a log may be about to end.
    assert after[1] <= threads + 1


@pytest.mark.asyncio
async def test_connections_that_are_only_collected_leave_no_descriptor_behind():
    async def start_and_drop():
        await stdio_client(scripted(), None).__aenter__()

    async with session() as one:
        await start_and_drop()
        await one.send_ping()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            await start_and_drop()
        gc.collect()
        await one.send_ping()
        # The standard errors of the last ones may be open for a moment more.
        assert len(os.listdir("/proc/self/fd")) < before + 20


@pytest.mark.asyncio
async def test_contextvars_are_kept_in_the_caller_and_in_the_callbacks():
    variable = contextvars.ContextVar("variable", default="unset")
    seen = {}

    def note(name):
        def callback(*_):
            seen.setdefault(name, set()).add(variable.get())

        return callback

    async def roots(_context):
        note("roots")()
        await one.send_ping()
        note("roots after a call")()
        return {"roots": []}

    # The first use of the loop is in another context than that of the session.
    async with session():
        pass
    variable.set("entry")
    async with session(
        logging_callback=note("log"),
        message_handler=note("message"),
        list_roots_callback=roots,
    ) as one:
        variable.set("call")
        await one.call_tool("report", {"count": 50}, progress_callback=note("progress"))
        assert variable.get() == "call"
        await ask(one, "ask", method="roots/list")

        async def in_a_task():
            variable.set("task")
            await one.call_tool("report", {"count": 1}, progress_callback=note("task progress"))
            return variable.get()

        assert await asyncio.create_task(in_a_task()) == "task"
        assert variable.get() == "call"
    assert seen == {
        "log": {"entry"},
        "message": {"entry"},
        "roots": {"entry"},
        "roots after a call": {"entry"},
        "progress": {"call"},
        "task progress": {"task"},
    }


def test_a_cpu_bound_thread_beside_the_loop_does_not_stop_it():
    ended = threading.Event()

    def spin():
        count = 0
        while not ended.is_set():
            count += 1

    async def main():
        async with session() as one:
            await asyncio.gather(*(ask(one, "echo", a=1) for _ in range(200)))
            for _ in range(10):
                await one.send_ping()

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        asyncio.run(asyncio.wait_for(main(), 30))
    finally:
        ended.set()
        thread.join()


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors, as the one of Windows."""

    def add_reader(self, *_):
        raise NotImplementedError


def notifier_threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as comm:
            names.append(comm.read().strip())
    return sum(name.startswith("toolbridge-noti") for name in names)


@pytest.mark.filterwarnings("ignore:unclosed")
def test_a_loop_without_add_reader_is_woken_by_a_thread_that_ends_with_it():
    async def main():
        async with session() as one:
            answers = await asyncio.gather(*(ask(one, "echo", a=n) for n in range(100)))
            assert [answer["a"] for answer in answers] == list(range(100))
            assert notifier_threads() >= 1

    for _ in range(10):
        with asyncio.Runner(loop_factory=LoopWithoutReaders) as runner:
            runner.run(main())
        del runner
        gc.collect()
    # The last thread may be about to end.
    assert notifier_threads() <= 1


ON_A_LOOP = """
import asyncio, sys
from servers.sessions import ask, session

async def main():
    async with session() as one:
        answers = await asyncio.gather(*(ask(one, "echo", a=n) for n in range(300)))
        assert [answer["a"] for answer in answers] == list(range(300))
        call = asyncio.create_task(one.call_tool("silent"))
        # The task begins, and then the answer to the ping says that its request has arrived.
        await asyncio.sleep(0)
        await one.send_ping()
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            pass
        for number in range(20):
            await one.send_ping()
"""


@pytest.mark.parametrize(
    "run",
    [
        "asyncio.run(main(), debug=True)",
        "import uvloop; uvloop.run(main())",
        "import uvloop; uvloop.run(main(), debug=True)",
    ],
)
def test_a_program_is_silent_with_warnings_as_errors_on(run):
    done = run_script(ON_A_LOOP + run, "-X", "dev")
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_work():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with session() as one:
            answers = await asyncio.gather(*(ask(one, "echo", a=n) for n in range(50)))
            assert [answer["a"] for answer in answers] == list(range(50))

    asyncio.run(main())


def test_an_interrupt_inside_a_delivery_reaches_whoever_runs_the_loop():
    class Interrupted:
        def write(self, text):
            raise KeyboardInterrupt(text)

    async def main():
        async with session(errlog=Interrupted()) as one:
            await one.call_tool("say", {"text": "a line"})
            await asyncio.get_running_loop().create_future()

    with pytest.raises(KeyboardInterrupt, match="a line"):
        asyncio.run(main())
