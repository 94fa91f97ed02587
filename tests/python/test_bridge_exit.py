"""The end of the interpreter, of a loop and of a task while calls are in flight."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from servers.sessions import process_state, run_script, script_environment, wait_until_ended

# Enters a session without leaving it and prints the server's process id.
OPEN = """
import asyncio, gc, os, sys
from toolbridge import ConnectionClosedError
from toolbridge.mcp import ClientSession, stdio_client
from servers.sessions import ask, pid_of, scripted, session

async def never_answered(one):
    try:
        await one.call_tool("silent")
    except ConnectionClosedError:
        pass

async def opened():
    client = stdio_client(scripted(), None)
    one = ClientSession(*await client.__aenter__())
    await one.__aenter__()
    await one.initialize()
    print(await pid_of(one), flush=True)
    return one
"""


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run_script(OPEN + textwrap.dedent(code), *options)


def assert_clean(done: subprocess.CompletedProcess[str], status: int = 0) -> None:
    assert done.stderr == ""
    assert done.returncode == status
    assert_gone(done.stdout)


def assert_gone(output: str) -> None:
    pids = [int(word) for word in output.split() if word.isdigit()]
    assert pids
    server, *started_by_it = pids
    assert process_state(server) is None
    # Reaped by init, which may take its time.
    for pid in started_by_it:
        wait_until_ended(pid)


IN_FLIGHT = """
loop = asyncio.new_event_loop()
one = loop.run_until_complete(opened())
tasks = [loop.create_task(one.call_tool("silent")) for _ in range(100)]
loop.run_until_complete(ask(one, "echo"))
# Silences asyncio's own complaint about tasks that nobody waited for.
for task in tasks:
    task._log_destroy_pending = False
"""


def test_the_interpreter_exits_cleanly_with_calls_in_flight():
    # The loop stays open on purpose, which asyncio itself would warn of.
    assert_clean(run(IN_FLIGHT, "-W", "ignore::ResourceWarning"))


def test_the_interpreter_exits_cleanly_with_calls_in_flight_on_a_closed_loop():
    assert_clean(run(IN_FLIGHT + "loop.close()", "-X", "dev"))


def test_the_interpreter_exits_cleanly_after_asyncio_run_left_a_session_open():
    assert_clean(
        run(
            """
            kept = asyncio.run(opened())
            """
        )
    )


def test_sys_exit_inside_a_session_ends_the_server():
    done = run(
        """
        async def main():
            async with session() as one:
                print(await pid_of(one))
                waiting = asyncio.create_task(never_answered(one))
                # The task begins, and then the answer to the ping says that its request has arrived.
                await asyncio.sleep(0)
                await one.send_ping()
                sys.exit(7)

        asyncio.run(main())
        """
    )
    assert_clean(done, status=7)


def test_an_exception_inside_a_session_ends_the_server_and_is_the_only_output():
    done = run(
        """
        async def main():
            async with session() as one:
                print(await pid_of(one))
                waiting = asyncio.create_task(never_answered(one))
                # The task begins, and then the answer to the ping says that its request has arrived.
                await asyncio.sleep(0)
                await one.send_ping()
                raise LookupError("from the body")

        asyncio.run(main())
        """
    )
    assert done.returncode == 1
    assert done.stderr.endswith("LookupError: from the body\n")
    assert done.stderr.count("Traceback") == 1
    assert_gone(done.stdout)


def test_an_exception_that_leaves_a_session_open_ends_the_server():
    done = run(
        """
        async def main():
            one = await opened()
            raise LookupError("from the body")

        asyncio.run(main())
        """
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("LookupError: from the body\n")
    assert_gone(done.stdout)


def test_a_loop_that_was_closed_before_a_completion_is_silent():
    assert_clean(
        run(
            """
            loop = asyncio.new_event_loop()
            one = loop.run_until_complete(opened())
            async def start():
                return [one._session.request("tools/list", None, None, None, None) for _ in "abc"]

            futures = loop.run_until_complete(start())
            loop.close()

            # The answers arrive while the loop is closed: another loop sees that they did.
            async def later():
                await one.send_ping()
                await one.aclose()

            asyncio.run(later())
            del loop, futures, one
            gc.collect()
            asyncio.run(opened())
            """
        )
    )


def test_a_closed_loop_ends_the_calls_that_it_left_waiting():
    assert_clean(
        run(
            """
            loop = asyncio.new_event_loop()
            one = loop.run_until_complete(opened())

            async def start():
                # Nobody keeps the future: its loop alone does.
                one._session.request("tools/call", {"name": "silent"}, None, None, None)
                await one.send_ping()

            other = asyncio.new_event_loop()
            other.run_until_complete(start())
            other.close()
            del other
            gc.collect()

            async def later():
                cancelled = await ask(one, "wait_for", method="notifications/cancelled")
                assert len(cancelled) == 1, cancelled
                await one.aclose()

            loop.run_until_complete(later())
            loop.close()
            """
        )
    )


def test_a_session_that_is_only_collected_ends_its_server():
    done = run(
        """
        async def main():
            one = await opened()
            server = await pid_of(one)
            handle = os.pidfd_open(server)
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(handle, gone.set)
            del one
            gc.collect()
            await gone.wait()
            asyncio.get_running_loop().remove_reader(handle)

        asyncio.run(main())
        """
    )
    assert_clean(done)


def test_the_exit_kills_a_server_that_ignores_every_request_to_end():
    done = run(
        """
        async def main():
            client = stdio_client(scripted("--ignore-eof", "--ignore-sigterm"), None)
            one = ClientSession(*await client.__aenter__())
            await one.__aenter__()
            await one.initialize()
            print(await pid_of(one), await ask(one, "spawn"), flush=True)
            return client, one

        kept = asyncio.run(main())
        """
    )
    assert_clean(done)


def test_calls_from_atexit_functions_fail_clearly():
    done = run(
        """
        import atexit
        import importlib

        def late():
            try:
                asyncio.run(opened())
            except Exception as failure:
                print(type(failure).__name__, failure)

        # Registered before the package, so that it runs after the package has ended.
        atexit.unregister(sys.modules["toolbridge"].shutdown)
        atexit.register(late)
        atexit.register(sys.modules["toolbridge"].shutdown)
        """
    )
    assert done.stderr == ""
    assert "ToolbridgeError toolbridge was called while the interpreter exits" in done.stdout


@pytest.mark.parametrize("waits_in", ["asyncio.run", "run_until_complete"])
def test_ctrl_c_in_the_middle_of_a_call_is_a_keyboard_interrupt_and_ends_the_server(waits_in):
    run_main = (
        "asyncio.run(main())"
        if waits_in == "asyncio.run"
        else "asyncio.new_event_loop().run_until_complete(main())"
    )
    code = (
        OPEN
        + textwrap.dedent(
            """
            async def main():
                async with session() as one:
                    waiting = asyncio.ensure_future(one.call_tool("silent"))
                    # The task begins, and then the answer to the ping says that its request has arrived.
                    await asyncio.sleep(0)
                    await one.send_ping()
                    print(await pid_of(one), flush=True)
                    await waiting

            """
        )
        + run_main
    )
    script = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=script_environment(),
    )
    server = script.stdout.readline()
    script.send_signal(signal.SIGINT)
    output, errors = script.communicate(timeout=30)
    assert script.returncode == -signal.SIGINT
    if waits_in == "asyncio.run":
        assert errors.endswith("KeyboardInterrupt\n")
        assert "Exception ignored" not in errors
    # Without asyncio.run the loop is left as it is, and asyncio complains of its tasks.
    assert "\nKeyboardInterrupt\n" in errors
    assert "panicked" not in errors
    assert_gone(server + output)
