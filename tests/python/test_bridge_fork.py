"""os.fork() while sessions are in use: an error in the child, never a hang; the parent goes on."""

from __future__ import annotations

from servers.sessions import process_state, run_script

FORK = """
import asyncio, gc, os, sys
import toolbridge
from servers.sessions import ask, pid_of, session

def reaped(child):
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the child ended with {status}"

def in_child(work):
    try:
        work()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


def run(code: str, *options: str) -> str:
    import textwrap

    done = run_script(FORK + textwrap.dedent(code), *options)
    assert done.stderr == ""
    assert done.returncode == 0
    pids = [int(word) for word in done.stdout.split() if word.isdigit()]
    assert [pid for pid in pids if process_state(pid) is not None] == []
    return done.stdout


def test_a_session_in_a_forked_child_is_a_clear_error_and_the_parent_goes_on():
    run(
        """
        async def main():
            async with session() as one:
                print(await pid_of(one))
                waiting = asyncio.ensure_future(one.call_tool("silent"))
                # The task begins, and then the answer to the ping says that its request has arrived.
                await asyncio.sleep(0)
                await one.send_ping()
                parent = os.getpid()
                child = os.fork()
                if child == 0:
                    def work():
                        async def use():
                            try:
                                await one.call_tool("echo", {})
                            except toolbridge.ToolbridgeError as failure:
                                assert str(parent) in str(failure), failure
                                assert str(os.getpid()) in str(failure), failure
                                assert "spawn" in str(failure), failure
                            else:
                                raise AssertionError("no error")
                        asyncio.run(use())
                    in_child(work)
                await asyncio.to_thread(reaped, child)
                assert await ask(one, "echo", a=1) == {"a": 1}
                waiting.cancel()

        asyncio.run(main())
        """,
        "-W",
        "ignore::DeprecationWarning",
    )


def test_a_new_session_works_in_a_forked_child():
    run(
        """
        async def use():
            async with session() as one:
                print(await pid_of(one), flush=True)
                assert await ask(one, "echo", a=2) == {"a": 2}

        async def main():
            async with session() as one:
                print(await pid_of(one), flush=True)
                child = os.fork()
                if child == 0:
                    in_child(lambda: asyncio.run(use()))
                await asyncio.to_thread(reaped, child)
                assert await ask(one, "echo", a=1) == {"a": 1}

        asyncio.run(main())
        asyncio.run(use())
        """,
        "-W",
        "ignore::DeprecationWarning",
    )


def test_a_child_that_exits_normally_leaves_the_server_of_its_parent_alone():
    run(
        """
        from toolbridge.mcp import ClientSession, stdio_client
        from servers.sessions import scripted

        async def opened():
            client = stdio_client(scripted(), None)
            one = ClientSession(*await client.__aenter__())
            await one.__aenter__()
            await one.initialize()
            unused = stdio_client(scripted(), None)
            await unused.__aenter__()
            return client, one, unused

        loop = asyncio.new_event_loop()
        client, one, unused = loop.run_until_complete(opened())
        print(loop.run_until_complete(pid_of(one)))
        child = os.fork()
        if child == 0:
            # The whole interpreter is torn down: objects are collected, atexit functions run.
            async def elsewhere():
                async with session() as other:
                    await other.send_ping()

            asyncio.run(elsewhere())
            del client, one, unused, loop
            gc.collect()
            sys.exit(0)
        reaped(child)
        assert loop.run_until_complete(ask(one, "echo", a=1)) == {"a": 1}

        async def still_there():
            async with ClientSession(*streams) as late:
                await late.initialize()
                assert await ask(late, "echo", b=2) == {"b": 2}

        from toolbridge.mcp.client._streams import TransportStream
        streams = TransportStream(unused._connection), TransportStream(unused._connection)
        loop.run_until_complete(still_there())
        loop.run_until_complete(one.aclose())
        loop.close()
        """,
        # The child leaves the loop that it inherited open, as it must.
        "-W",
        "ignore::ResourceWarning",
    )


def test_leaving_an_inherited_session_in_the_child_does_nothing():
    run(
        """
        async def main():
            async with session() as one:
                print(await pid_of(one))
                child = os.fork()
                if child == 0:
                    def work():
                        async def leave():
                            await one.aclose()
                            await one.__aexit__(None, None, None)
                        asyncio.run(leave())
                    in_child(work)
                await asyncio.to_thread(reaped, child)
                assert await ask(one, "echo", a=1) == {"a": 1}

        asyncio.run(main())
        """,
        "-W",
        "ignore::DeprecationWarning",
    )


def test_a_pool_of_forked_processes_has_sessions_of_its_own():
    run(
        """
        import multiprocessing

        async def doubled(number):
            async with session() as one:
                return (await ask(one, "echo", a=number))["a"] * 2

        def work(number):
            return asyncio.run(doubled(number))

        assert asyncio.run(doubled(4)) == 8
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(work, range(6)) == [0, 2, 4, 6, 8, 10]
        assert asyncio.run(doubled(5)) == 10
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
