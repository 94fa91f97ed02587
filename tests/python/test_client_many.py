"""`toolbridge.Client`: many servers at once, and what happens when one of them is not well."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import toolbridge
from servers.http_scripted import Exchange, Server
from toolbridge import Client
from toolbridge.exceptions import (
    ConfigurationError,
    ConnectionClosedError,
    MCPTimeoutError,
    TransportError,
)
from toolbridge.mcp import ClientSession, StdioServerParameters
from toolbridge.mcp.client.streamable_http import streamablehttp_client

SCRIPT = Path(__file__).parent / "servers" / "lasting.py"
HANDSHAKE = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {}}


def child(diary: Path, *options: str) -> StdioServerParameters:
    return StdioServerParameters(sys.executable, ["-I", str(SCRIPT), str(diary), *options])


def described(diary: Path, *options: str, **more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": ["-I", str(SCRIPT), str(diary), *options], **more}


def starts(diary: Path) -> list[int]:
    lines = diary.read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("start ")]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(client: Client, name: str, status: str, changes: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        while client.servers[name].status != status:
            await changes.wait()
            changes.clear()


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


@pytest.mark.asyncio
async def test_tools_of_many_servers_are_one_list(diary: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    servers = {"a": child(diary, "--tools", "one", "two.x"), "b": child(other, "--tools", "one")}
    async with Client(servers) as client:
        tools = await client.list_tools()
        names = [tool.name for tool in tools]
        assert names[0] == "a-one"
        assert names[1].startswith("a-two_x_")
        assert names[2:] == ["b-one"]
        openai = await client.list_tools(format="openai")
        assert [tool["function"]["name"] for tool in openai] == names
        result = await client.call_tool("b-one", {"x": [1]})
        assert result.structuredContent == {"value": {"x": [1]}}
        call = {"id": "1", "function": {"name": names[1], "arguments": '{"y": 2}'}}
        assert (await client.call_openai_tool(call)).structuredContent == {"value": {"y": 2}}
        with pytest.raises(ConfigurationError, match=r'several servers have a tool "one"; call'):
            await client.call_tool("one")
        with pytest.raises(ConfigurationError, match=r"no server has a tool \"nope\""):
            await client.call_tool("nope")
        await client.list_tools()
        assert [tool.name for tool in client.servers["a"].tools] == ["one", "two.x"]
    assert diary.read_text().count("tools/list") == 1
    assert not any(map(is_alive, starts(diary) + starts(other)))


@pytest.mark.asyncio
async def test_a_server_that_is_down_takes_no_other_with_it(diary: Path, tmp_path: Path) -> None:
    hanging = tmp_path / "hanging"
    servers = {
        "up": child(diary),
        "missing": {"command": "no-such-command-at-all"},
        "refuses": {"url": "http://127.0.0.1:1/mcp"},
        "hangs": described(hanging, "--mute", connect_timeout=0.5),
    }
    async with Client(servers) as client:
        status = {name: server.status for name, server in client.servers.items()}
        assert status["up"] == "ready"
        assert status["missing"] == status["hangs"] == "failed"
        assert status["refuses"] in {"reconnecting", "failed"}
        errors = {name: server.last_error for name, server in client.servers.items()}
        assert errors["up"] is None
        assert isinstance(errors["missing"], TransportError)
        assert "no-such-command-at-all" in str(errors["missing"])
        assert isinstance(errors["hangs"], MCPTimeoutError)
        assert isinstance(errors["refuses"], TransportError)
        assert {tool.name.split("-")[0] for tool in await client.list_tools()} == {"up"}
        assert client.servers["hangs"].tools == []
        result = await client.call_tool("echo", {"a": 1})
        assert result.structuredContent == {"value": {"a": 1}}
        with pytest.raises(TransportError, match="missing"):
            await client.call_tool("missing-anything")
        with pytest.raises(ConfigurationError, match="no server has a tool") as unknown:
            await client.call_tool("unknown")
        assert '"missing" is failed: the command `no-such-command' in str(unknown.value)
        assert '"up" is' not in str(unknown.value)
    assert not any(map(is_alive, starts(diary) + starts(hanging)))


@pytest.mark.asyncio
async def test_a_child_that_dies_is_started_anew_when_asked_to(diary: Path) -> None:
    async with Client({"s": described(diary, restart=True)}) as client:
        result = await client.call_tool("safe_die_once", {"a": 1})
        assert result.structuredContent == {"value": {"a": 1}}
        with pytest.raises(ConnectionClosedError, match="its outcome is unknown") as caught:
            await client.call_tool("die_once")
        assert "exit status: 3" in str(caught.value)
        assert (await client.call_tool("echo")).structuredContent == {"value": {}}
    lines = diary.read_text().splitlines()
    assert lines.count("call safe_die_once") == 2
    assert lines.count("call die_once") == 1
    assert len(starts(diary)) == 3
    assert not any(map(is_alive, starts(diary)))


@pytest.mark.asyncio
async def test_the_outcome_of_a_call_is_unknown_when_its_stream_may_not_be_resumed() -> None:
    def begin(exchange: Exchange) -> None:
        exchange.stream()
        exchange.event("", "id: e-1", "retry: 1")
        exchange.end()

    def listen(exchange: Exchange) -> None:
        exchange.respond(403 if "last-event-id" in exchange.request.headers else 405)

    with Server(tools__call=begin, GET=listen) as server:
        async with Client({"s": {"url": server.url, "mode": "legacy"}}) as client:
            with pytest.raises(ConnectionClosedError, match="its outcome is unknown") as caught:
                await client.servers["s"].call_tool("pay")
            assert "status 403" in str(caught.value)
            assert caught.value.outcome_unknown
    assert server.names().count("tools/call") == 1


@pytest.mark.asyncio
async def test_a_child_that_dies_stays_down_unless_asked(diary: Path) -> None:
    changes = asyncio.Event()
    async with Client({"s": child(diary)}, on_change=lambda *_: changes.set()) as client:
        pid = (await client.call_tool("pid")).structuredContent["value"]
        os.kill(pid, signal.SIGKILL)
        await until(client, "s", "failed", changes)
        assert client.servers["s"].tools == []
        assert await client.list_tools() == []
        with pytest.raises(ConnectionClosedError, match="is not connected, so tools/call was not"):
            await client.call_tool("s-echo")
        await client.servers["s"].reconnect()
        assert (await client.call_tool("s-echo")).structuredContent == {"value": {}}
    assert len(starts(diary)) == 2


@pytest.mark.asyncio
async def test_a_killed_child_is_survived_by_calls_that_wait(diary: Path) -> None:
    async with Client({"s": described(diary, restart=True)}) as client:
        pid = (await client.call_tool("pid")).structuredContent["value"]
        held = [asyncio.create_task(client.call_tool("hold")) for _ in range(3)]
        while diary.read_text().count("tools/call") < 4:
            await client.servers["s"].send_ping()
        os.kill(pid, signal.SIGKILL)
        for outcome in await asyncio.gather(*held, return_exceptions=True):
            assert isinstance(outcome, ConnectionClosedError)
        calls = [client.call_tool("echo", {"n": n}) for n in range(20)]
        values = [one.structuredContent["value"]["n"] for one in await asyncio.gather(*calls)]
        assert values == list(range(20))


@pytest.mark.asyncio
async def test_a_server_that_forgets_its_session_is_met_anew() -> None:
    sessions: list[str] = []

    def initialize(exchange: Exchange) -> None:
        sessions.append(f"session-{len(sessions)}")
        exchange.result(HANDSHAKE, f"Mcp-Session-Id: {sessions[-1]}")

    def call(exchange: Exchange) -> None:
        if exchange.request.headers["mcp-session-id"] != sessions[-1] or len(sessions) == 1:
            exchange.respond(404)
        else:
            exchange.result("done")

    def tools(exchange: Exchange) -> None:
        annotations = {"idempotentHint": True}
        safe = {"name": "safe", "inputSchema": {}, "annotations": annotations}
        exchange.result({"tools": [safe]})

    def discover(exchange: Exchange) -> None:
        exchange.respond(400)

    script: dict[str, Any] = {
        "initialize": initialize,
        "tools__call": call,
        "tools__list": tools,
        "server__discover": discover,
    }
    with Server(**script) as server:
        async with Client(server.url) as client:
            result = await client.call_tool("safe")
            assert result.content[0].text == "done"
            assert server.names().count("initialize") == 2
            (only,) = client
            assert only.status == "ready"


@pytest.mark.asyncio
async def test_a_server_that_comes_back_is_reached_again() -> None:
    def discover(exchange: Exchange) -> None:
        exchange.respond(400)

    script: dict[str, Any] = {"server__discover": discover}
    changes = asyncio.Event()
    with Server(**script) as server:
        port = server.listener.getsockname()[1]
        url = server.url
    client = Client({"s": {"url": url}}, on_change=lambda *_: changes.set())
    async with client:
        assert client.servers["s"].status == "reconnecting"
        with pytest.raises(MCPTimeoutError, match="was reconnecting for the 0.01 s"):
            await client.call_tool("s-echo", read_timeout_seconds=0.01)
        with Server(port=port, **script):
            await until(client, "s", "ready", changes)
            assert (await client.call_tool("s-echo")).content[0].text == "done"


@pytest.mark.asyncio
async def test_a_change_of_the_tools_is_told_and_the_list_read_anew(diary: Path) -> None:
    changes: list[tuple[str, str]] = []
    changed = asyncio.Event()

    async def on_change(server: str, what: str) -> None:
        changes.append((server, what))
        if what == "tools":
            changed.set()

    async with Client({"s": child(diary)}, on_change=on_change) as client:
        before = [tool.name for tool in await client.list_tools()]
        await client.call_tool("add_tool", {"name": "extra"})
        async with asyncio.timeout(20):
            await changed.wait()
        assert [tool.name for tool in await client.list_tools()] == [*before, "s-extra"]
        asked = diary.read_text().count("tools/list")
        assert len(await client.list_tools()) == len(before) + 1
        assert diary.read_text().count("tools/list") == asked
    assert ("s", "status") in changes


@pytest.mark.asyncio
async def test_servers_come_and_go(diary: Path, tmp_path: Path) -> None:
    async with Client() as client:
        assert await client.list_tools() == []
        added = await client.add_server("s", child(diary, "--tools", "one"))
        assert added.status == "ready"
        assert [tool.name for tool in await client.list_tools()] == ["s-one"]
        with pytest.raises(ConfigurationError, match="there is a server 's' already"):
            await client.add_server("s", child(tmp_path / "other"))
        await client.remove_server("s")
        assert await client.list_tools() == []
        assert not any(map(is_alive, starts(diary)))
        with pytest.raises(KeyError, match="there is no server 's'; there are none"):
            client.servers["s"]


@pytest.mark.asyncio
async def test_a_client_that_was_closed_takes_no_more_servers(diary: Path, tmp_path: Path) -> None:
    async with Client({"a": child(diary)}) as client:
        pass
    with pytest.raises(ConnectionClosedError, match=r"server 'b' cannot be added; make a new one"):
        await client.add_server("b", child(tmp_path / "never"))
    with pytest.raises(ConnectionClosedError, match="this Client was closed"):
        await client.list_tools()
    assert list(client.servers) == ["a"]
    assert not (tmp_path / "never").exists()


def test_a_url_of_another_scheme_is_not_taken_for_a_file() -> None:
    with pytest.raises(ConfigurationError) as failure:
        Client("ws://me:hidden@example.com/mcp")
    assert "begins with ws://; it takes http:// and https://" in str(failure.value)
    assert "hidden" not in str(failure.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"restart": "no"}, "restart takes True or False; found str"),
        ({"headers": 5}, "headers takes a dict of str to str, or None; found int"),
        ({"errlog": "a file"}, "errlog takes a text file or None; found str"),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError) as failure:
        Client({"a": "http://127.0.0.1:1/mcp"}, **arguments)
    assert str(failure.value) == said


@pytest.mark.asyncio
async def test_a_tool_that_is_not_allowed_is_neither_listed_nor_called(diary: Path) -> None:
    servers = {"s": described(diary, allowed_tools=["echo", "pid"], disallowed_tools=["pid"])}
    async with Client(servers) as client:
        assert [tool.name for tool in await client.list_tools()] == ["s-echo"]
        assert [tool.name for tool in client.servers["s"].tools] == ["echo"]
        with pytest.raises(ConfigurationError, match=r'"pid" of the MCP server "s" is not allowed'):
            await client.call_tool("s-pid")


@pytest.mark.asyncio
async def test_servers_are_read_from_files(diary: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DIARY", str(diary))
    server = described(Path("${DIARY}"), "--tools", "one")
    desktop = tmp_path / "claude.json"
    desktop.write_text(json.dumps({"mcpServers": {"desk": server}}))
    gateway = tmp_path / "config.yaml"
    args = ["-I", str(SCRIPT), "os.environ/DIARY", "--tools", "one"]
    gateway.write_text(
        json.dumps({"mcp_servers": {"gate": {"command": sys.executable, "args": args}}})
    )
    for path, name in ((str(desktop), "desk"), (gateway, "gate")):
        async with Client(path) as client:
            assert [tool.name for tool in await client.list_tools()] == [f"{name}-one"]


def test_a_mistake_in_a_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "servers.yaml"
    path.write_text("mcp_servers:\n  one:\n    comand: x\n")
    with pytest.raises(ConfigurationError) as caught:
        Client(path)
    expected = f'{path}, line 3: mcp_servers.one.comand is no known key; did you mean "command"?'
    assert str(caught.value) == expected
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Client(tmp_path / "nothing.json")
    with pytest.raises(TypeError, match="servers takes a dict of servers, the path"):
        Client(7)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_no_secret_is_shown(diary: Path) -> None:
    servers = {
        "a": {"url": "http://s3cret@127.0.0.1:1/s3cret?key=s3cret", "headers": {"k": "s3cret"}},
        "b": described(diary, "--tools", "s3cret", env={"KEY": "s3cret"}),
    }
    async with Client(servers) as client:
        shown = [repr(client), repr(client.servers), str(client.servers["a"].last_error)]
        assert "s3cret" not in "".join(shown)
        assert "<Server 'a' at http://127.0.0.1:1 " in repr(client)
        with pytest.raises(KeyError, match="there are 'a', 'b'"):
            client.servers["c"]


@pytest.mark.asyncio
async def test_a_separator_is_read_from_the_environment(diary: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MCP_TOOL_PREFIX_SEPARATOR", "__")
    async with Client({"s": child(diary, "--tools", "one")}) as client:
        assert [tool.name for tool in await client.list_tools()] == ["s__one"]


def test_a_client_works_from_one_run_to_the_next_statement(diary: Path) -> None:
    with asyncio.Runner() as runner:
        client = Client({"s": child(diary)})
        runner.run(client.__aenter__())
        result = runner.run(client.call_tool("echo", {"n": 1}))
        assert result.structuredContent == {"value": {"n": 1}}
        runner.run(client.aclose())
    assert not any(map(is_alive, starts(diary)))


@pytest.mark.asyncio
async def test_a_client_that_nobody_closes_leaves_no_child(diary: Path) -> None:
    code = (
        "import asyncio, sys; from toolbridge import Client\n"
        "async def main():\n"
        "    client = await Client({'s': {'command': sys.executable,"
        f" 'args': ['-I', {str(SCRIPT)!r}, {str(diary)!r}]}}}}).__aenter__()\n"
        "    print((await client.call_tool('echo')).structuredContent)\n"
        "asyncio.run(main())\n"
    )
    package = str(Path(toolbridge.__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", code),
        env={**os.environ, "PYTHONPATH": package},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (out, errors, process.returncode) == (b"{'value': {}}\n", b"", 0)
    assert not any(map(is_alive, starts(diary)))


class Forgetful:
    """The script of a server that forgets its first session before the call that comes after."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    def script(self) -> dict[str, Any]:
        return {
            "initialize": self.initialize,
            "tools__call": self.call,
            "server__discover": lambda exchange: exchange.respond(400),
        }

    def initialize(self, exchange: Exchange) -> None:
        self.sessions.append(f"session-{len(self.sessions)}")
        exchange.result(HANDSHAKE, f"Mcp-Session-Id: {self.sessions[-1]}")

    def call(self, exchange: Exchange) -> None:
        if exchange.request.headers["mcp-session-id"] != "session-1":
            exchange.respond(404)
        else:
            exchange.result("done")


@pytest.mark.asyncio
async def test_a_session_that_is_forgotten_is_begun_anew() -> None:
    forgetful = Forgetful()
    with Server(**forgetful.script()) as server:
        async with (
            streamablehttp_client(server.url) as (read, write, session_id),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            assert session_id() == "session-0"
            calls = [session.call_tool("any") for _ in range(3)]
            for result in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(result, ConnectionClosedError) or (
                    result.content[0].text == "done"
                )
            assert (await session.call_tool("any")).content[0].text == "done"
            assert session_id() == "session-1"
        assert forgetful.sessions == ["session-0", "session-1"]
        assert server.wait_for("DELETE").headers["mcp-session-id"] == "session-1"


@pytest.mark.asyncio
async def test_a_client_of_one_server_survives_a_forgotten_session() -> None:
    forgetful = Forgetful()
    with Server(**forgetful.script()) as server:
        async with toolbridge.mcp.Client(server.url) as client:
            assert (await client.call_tool("any")).content[0].text == "done"
        assert forgetful.sessions == ["session-0", "session-1"]
