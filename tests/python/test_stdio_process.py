"""The child process of a stdio connection: how it is started, how it ends."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from servers.sessions import (
    ask,
    pid_of,
    process_state,
    scripted,
    session,
    wait_until_ended,
)
from toolbridge import ConnectionClosedError, MCPError, TransportError
from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client
from toolbridge.mcp.client.stdio import get_default_environment

INHERITED = {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}


@pytest.mark.asyncio
async def test_the_server_inherits_the_safe_variables_and_env_alone(monkeypatch, tmp_path):
    for name in INHERITED:
        monkeypatch.setenv(name, f"/{name}")
    monkeypatch.setenv("API_TOKEN", "must not be seen")
    monkeypatch.setenv("LOGNAME", "() { :; }")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    server = scripted(env={"TERM": "dumb", "EXTRA": "naïve = yes"}, cwd=tmp_path)
    async with session(server=server) as one:
        found = await ask(one, "environment")
    # Python itself sets this one in a child of a C locale.
    found["environ"].pop("LC_CTYPE", None)
    expected = {name: os.environ[name] for name in INHERITED & os.environ.keys()}
    expected.pop("LOGNAME")
    assert get_default_environment() == expected
    assert found["environ"] == {**expected, "TERM": "dumb", "EXTRA": "naïve = yes"}
    assert Path(found["cwd"]) == tmp_path


@pytest.mark.asyncio
async def test_the_command_is_looked_up_on_the_path_of_env(tmp_path):
    (tmp_path / "my-server").symlink_to(sys.executable)
    base = scripted()
    server = StdioServerParameters("my-server", base.args, {"PATH": str(tmp_path)})
    async with session(server=server) as one:
        await one.send_ping()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("server", "words"),
    [
        (StdioServerParameters("no-such-command-here"), ["no-such-command-here", "not found"]),
        (StdioServerParameters("/no/such/file"), ["/no/such/file", "not found"]),
        (scripted(cwd="/no/such/directory"), ["working directory", "/no/such/directory"]),
    ],
)
async def test_a_server_that_cannot_be_started_is_named(server, words):
    await assert_start_fails(server, words)


@pytest.mark.asyncio
@pytest.mark.parametrize(("mode", "words"), [(0o644, "may not be executed"), (0o755, "format")])
async def test_a_file_that_is_no_program_is_named(tmp_path, mode, words):
    path = tmp_path / "data"
    path.write_bytes(b"\0 no program")
    path.chmod(mode)
    await assert_start_fails(StdioServerParameters(str(path)), [str(path), words])


async def assert_start_fails(server, words):
    with pytest.raises(TransportError) as failure:
        async with stdio_client(server):
            pass
    for word in words:
        assert word in str(failure.value)
    assert isinstance(failure.value, MCPError)


@pytest.mark.asyncio
async def test_a_failed_start_leaves_no_descriptor_behind():
    async def attempt():
        with pytest.raises(TransportError):
            async with stdio_client(StdioServerParameters("no-such-command-here"), sys.__stderr__):
                pass

    await attempt()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await attempt()
    assert len(os.listdir("/proc/self/fd")) <= before


# The end of a server that goes on living until it is told.


async def end(tmp_path, *options):
    diary = tmp_path / "diary"
    async with session("--diary", str(diary), *options) as one:
        pid = await pid_of(one)
        started = time.monotonic()
    took = time.monotonic() - started
    assert process_state(pid) is None
    return diary.read_text().splitlines()[1:], took


@pytest.mark.asyncio
async def test_a_server_that_exits_at_the_end_of_its_input_gets_no_signal(tmp_path):
    events, took = await end(tmp_path)
    assert events == ["eof", "exit"]
    assert took < 1.5


@pytest.mark.asyncio
async def test_a_server_that_ignores_the_end_of_its_input_gets_sigterm_after_it(tmp_path):
    events, took = await end(tmp_path, "--ignore-eof")
    assert events == ["eof", "sigterm"]
    assert 1.9 < took < 3.9


@pytest.mark.asyncio
async def test_a_server_that_ignores_both_is_killed_after_both(tmp_path):
    events, took = await end(tmp_path, "--ignore-eof", "--ignore-sigterm")
    assert events == ["eof", "sigterm"]
    assert 3.9 < took < 6


@pytest.mark.asyncio
async def test_what_the_server_started_ends_with_it():
    async with session() as one:
        server, grandchild = await pid_of(one), await ask(one, "spawn")
        assert process_state(grandchild) in {"S", "R"}
    assert process_state(server) is None
    # Killed, and reaped by init whenever it does that.
    wait_until_ended(grandchild)


@pytest.mark.asyncio
async def test_a_close_that_is_cancelled_goes_on_in_the_background():
    client = stdio_client(scripted("--ignore-eof"), None)
    read, write = await client.__aenter__()
    one = ClientSession(read, write)
    await one.__aenter__()
    await one.initialize()
    pid = await pid_of(one)
    gone = asyncio.Event()
    handle = os.pidfd_open(pid)
    asyncio.get_running_loop().add_reader(handle, gone.set)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one.aclose(), 0.01)
    await asyncio.wait_for(gone.wait(), 10)
    asyncio.get_running_loop().remove_reader(handle)
    os.close(handle)
    await client.__aexit__(None, None, None)
    assert process_state(pid) is None


@pytest.mark.asyncio
async def test_a_connection_that_no_session_used_is_ended():
    async with stdio_client(scripted(), None) as (read, _write):
        assert read is not None
        children = Path("/proc/self/task").glob("*/children")
        before = {pid for child in children for pid in child.read_text().split()}
        assert before
    for pid in before:
        assert process_state(int(pid)) is None


# The end of a server that dies by itself.


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "described"),
    [(3, "exit status: 3"), (0, "exit status: 0"), (-signal.SIGKILL, "signal: 9 (SIGKILL)")],
)
async def test_a_server_that_dies_fails_every_waiting_call_and_every_later_one(status, described):
    async with session() as one:
        pid = await pid_of(one)
        waiting = [asyncio.create_task(one.call_tool("silent")) for _ in range(20)]
        last_words = "".join(f"line {number}\n" for number in range(50)) + "the reason\n"
        started = time.monotonic()
        with pytest.raises(ConnectionClosedError) as failure:
            await one.call_tool("end", {"status": status, "text": last_words})
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert time.monotonic() - started < 3
        assert process_state(pid) is None
        for outcome in [failure.value, *outcomes]:
            assert isinstance(outcome, ConnectionClosedError)
            message = str(outcome)
            assert f"`{sys.executable}` ended with {described}" in message
            assert message.endswith("line 49\nthe reason")
            assert "line 30\n" not in message
            assert "tools/call" in message
        for call in (one.list_tools, one.send_ping, one.send_roots_list_changed):
            with pytest.raises(ConnectionClosedError, match="the reason"):
                await call()


@pytest.mark.asyncio
async def test_a_server_that_dies_at_once_says_why_in_initialize():
    code = "import sys; sys.exit('missing configuration')"
    server = StdioServerParameters(sys.executable, ["-c", code])
    async with stdio_client(server, None) as streams, ClientSession(*streams) as one:
        with pytest.raises(ConnectionClosedError, match="exit status: 1") as failure:
            await one.initialize()
        assert "missing configuration" in str(failure.value)


@pytest.mark.asyncio
async def test_calls_made_while_the_server_dies_are_told_the_reason():
    for _ in range(5):
        async with session() as one:
            calls = [asyncio.create_task(one.call_tool("end", {"status": 4}))]
            while not calls[0].done():
                calls.append(asyncio.create_task(one.send_ping()))
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            failures = {
                (type(o).__name__, "exit status: 4" in str(o))
                for o in outcomes
                if isinstance(o, BaseException)
            }
            assert failures == {("ConnectionClosedError", True)}


@pytest.mark.asyncio
async def test_a_server_that_closes_its_output_is_a_closed_connection():
    async with session() as one:
        with pytest.raises(ConnectionClosedError, match="closed its output"):
            await one.call_tool("close_output")


@pytest.mark.asyncio
async def test_a_server_that_stops_reading_and_exits_fails_a_large_call():
    async with session() as one:
        closing = asyncio.create_task(one.call_tool("end", {"status": 5}))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionClosedError, match="exit status: 5"):
            await one.call_tool("echo", {"text": "x" * 10_000_000})
        with pytest.raises(ConnectionClosedError, match="exit status: 5"):
            await closing


@pytest.mark.asyncio
async def test_a_server_that_closes_its_input_fails_the_calls_that_it_did_not_read():
    async with session() as one:
        closing = asyncio.create_task(one.call_tool("close_input"))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionClosedError, match="closed its input"):
            await one.call_tool("echo", {"text": "x" * 10_000_000})
        with pytest.raises(ConnectionClosedError):
            await closing
        with pytest.raises(ConnectionClosedError):
            await one.send_ping()


# The standard error of a server.


@pytest.mark.asyncio
async def test_the_standard_error_goes_to_a_file_whole_and_after_what_was_written_before(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as log:
        log.write("before\n")
        async with session(errlog=log) as one:
            await one.call_tool("say", {"text": "0123456789abcde\n", "times": 500_000})
            await one.call_tool("say", {"text": "no end of line"})
    written = path.read_text()
    assert written == "before\n" + "0123456789abcde\n" * 500_000 + "no end of line"


@pytest.mark.asyncio
@pytest.mark.parametrize("where", ["errlog", "sys.stderr"])
async def test_the_standard_error_goes_to_an_object_without_a_descriptor(where, monkeypatch):
    target = io.StringIO()
    if where == "sys.stderr":
        monkeypatch.setattr(sys, "stderr", target)
    client = stdio_client(scripted(), *([target] if where == "errlog" else []))
    async with client as streams, ClientSession(*streams) as one:
        await one.initialize()
        await one.call_tool("say", {"text": "caf\xc3"})
        await one.call_tool("say", {"text": "\xa9 \xff\n"})
    assert target.getvalue() == "café \N{REPLACEMENT CHARACTER}\n"


@pytest.mark.asyncio
async def test_the_standard_error_goes_to_the_terminal_by_default(capfd):
    async with stdio_client(scripted()) as streams, ClientSession(*streams) as one:
        await one.initialize()
        await one.call_tool("say", {"text": "hello from the server\n"})
    assert capfd.readouterr().err == "hello from the server\n"


@pytest.mark.asyncio
async def test_a_program_without_a_standard_error_works(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    async with stdio_client(scripted()) as streams, ClientSession(*streams) as one:
        await one.initialize()
        await one.call_tool("say", {"text": "nobody hears this\n"})


@pytest.mark.asyncio
async def test_a_log_that_fails_costs_nothing_but_the_log(capfd):
    class Broken:
        def write(self, _text):
            raise OSError("disk full")

    async with session(errlog=Broken()) as one:
        await one.call_tool("say", {"text": "a\n", "times": 3})
        await one.send_ping()
    assert capfd.readouterr().err == ""


@pytest.mark.asyncio
@pytest.mark.parametrize("log", ["none", "full pipe", "closed pipe"])
async def test_a_flood_on_the_standard_error_never_stops_the_server(log):
    reader, writer = os.pipe()
    errlog = None if log == "none" else os.fdopen(writer, "w")
    if log == "closed pipe":
        os.close(reader)
    text = "x" * 1023 + "\n"
    async with session(errlog=errlog) as one:
        flood = asyncio.create_task(one.call_tool("say", {"text": text, "times": 40_000}))
        await asyncio.wait_for(flood, 20)
        assert await ask(one, "echo", a=1) == {"a": 1}
        with pytest.raises(ConnectionClosedError, match="the last line"):
            await one.call_tool("end", {"status": 1, "text": "the last line\n"})
    if log != "closed pipe":
        os.close(reader)
    if errlog is None:
        os.close(writer)
    else:
        errlog.close()


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"command": 5}, "command"),
        ({"command": None}, "command"),
        ({"command": "x", "args": "a b"}, "args"),
        ({"command": "x", "args": 5}, "args"),
        ({"command": "x", "args": [1]}, "args"),
        ({"command": "x", "env": ["A=1"]}, "env"),
        ({"command": "x", "env": {"A": 1}}, "env"),
        ({"command": "x", "cwd": 5}, "cwd"),
        ({"command": "x", "encoding": 5}, "encoding"),
        ({"command": "x", "encoding_error_handler": 5}, "encoding_error_handler"),
    ],
)
def test_a_wrong_type_of_a_server_parameter_is_named(arguments, name):
    with pytest.raises(
        TypeError, match=rf"^{name} takes .*; found {type(arguments[name]).__name__}"
    ):
        StdioServerParameters(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("x",), TypeError, "server takes a StdioServerParameters; found str"),
        ((scripted(), 5), TypeError, "errlog takes a text file or None; found int"),
    ],
)
def test_a_wrong_argument_of_stdio_client_is_named(arguments, error, words):
    with pytest.raises(error, match=words):
        stdio_client(*arguments)


@pytest.mark.parametrize(("value", "error"), [("1", TypeError), (True, TypeError), (0, ValueError)])
def test_a_wrong_maximum_is_named(value, error):
    with pytest.raises(error, match="maximum_message_bytes .*positive int"):
        stdio_client(scripted(), maximum_message_bytes=value)


def test_empty_commands_and_other_encodings_are_refused():
    with pytest.raises(ValueError, match="command is empty"):
        StdioServerParameters("")
    with pytest.raises(ValueError, match="encoding is 'latin-1'"):
        StdioServerParameters("x", encoding="latin-1")
    assert StdioServerParameters("x", encoding="UTF8").encoding == "UTF8"


def test_the_repr_shows_neither_arguments_nor_variables():
    shown = repr(StdioServerParameters("server", ["--key", "secret"], {"KEY": "secret"}))
    assert "server" in shown
    assert "secret" not in shown


@pytest.mark.asyncio
async def test_a_client_can_be_entered_once_only():
    client = stdio_client(scripted(), None)
    async with client:
        with pytest.raises(RuntimeError, match="entered before"):
            await client.__aenter__()
