"""Clients that others wrote, unmodified, on a gateway with a real server behind it."""

from __future__ import annotations

import asyncio
import copy
import http.client
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import mcp
import pytest

from gateway.process import ROOT, running, started
from scripted_openai import COMPLETION, Endpoint, answer
from toolbridge.mcp import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SERVERS = HERE.parent / "servers"
SDK_1 = str(ROOT / ".venv-mcp1/bin/python")
FAST = str(ROOT / ".venv-fastmcp/bin/python")
# The Python of each client, its program, and how it speaks.
CLIENTS = [
    *((sys.executable, "official.py", way) for way in ("sse", "streamable")),
    *((sys.executable, "official.py", way) for way in ("auto", "legacy", "2026-07-28")),
    *((SDK_1, "official.py", way) for way in ("sse", "streamable")),
    *((FAST, "fast.py", way) for way in ("sse", "auto")),
]
SAID = [str(1 + number) for number in range(20)]
OFFICIAL = {
    "official": {"command": sys.executable, "args": [str(SERVERS / "official.py"), "stdio"]}
}
IDLE_SESSIONS = 1000
# What an idle session may take, as a bound that a leak breaks; it takes about a tenth.
IDLE_BYTES = 50 << 10


def configured(servers: dict[str, Any], **more: Any) -> str:
    # YAML has JSON in it.
    return json.dumps({"mcp_servers": servers, **more})


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(configured(OFFICIAL), tmp_path_factory.mktemp("gateway")) as origin:
        yield origin


async def run(python: str, program: str, *arguments: str) -> str:
    """Runs a client to its end; what it printed."""
    if not Path(python).exists():
        pytest.skip(f"{python} is not there: make test makes it")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    process = await asyncio.create_subprocess_exec(
        python,
        str(HERE / "clients" / program),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    printed, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return printed.decode()


@pytest.mark.parametrize(("python", "program", "way"), CLIENTS)
@pytest.mark.asyncio
async def test_a_client_lists_and_calls_the_tools_of_the_gateway(
    origin: str, python: str, program: str, way: str
) -> None:
    told = json.loads(await run(python, program, way, f"{origin}/mcp/"))
    assert "official-add" in told["tools"]
    assert told["said"] == SAID


@pytest.mark.asyncio
async def test_clients_of_every_kind_are_served_at_once(origin: str) -> None:
    there = [one for one in CLIENTS if Path(one[0]).exists()]
    told = await asyncio.gather(
        *(run(python, program, way, f"{origin}/mcp") for python, program, way in there)
    )
    assert [json.loads(one)["said"] for one in told] == [SAID] * len(there)


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
@pytest.mark.asyncio
async def test_the_client_of_this_package_is_one_of_them(origin: str, mode: str) -> None:
    async with Client(f"{origin}/mcp", mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert "official-add" in [tool.name for tool in tools]
        result = await client.call_tool("official-add", {"a": 1, "b": 2})
        assert result.content[0].text == "3"


@pytest.mark.asyncio
async def test_the_example_of_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    calling: dict[str, Any] = copy.deepcopy(COMPLETION)
    function = {"name": "official-add", "arguments": '{"a": 1, "b": 41}'}
    choice = calling["choices"][0]
    choice["message"] |= {
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    choice["finish_reason"] = "tool_calls"
    endpoint = Endpoint([answer(calling)])
    try:
        model = {
            "model_name": "gpt-4o",
            "litellm_params": {
                "model": "openai/gpt-4o",
                "api_base": endpoint.api_base,
                "api_key": "sk-of-the-provider",
            },
        }
        with running(configured(OFFICIAL, model_list=[model]), tmp_path) as origin:
            printed = await run(sys.executable, "page.py", origin)
    finally:
        endpoint.close()
    assert "List of MCP tools for MCP server:" in printed
    assert "official-add" in printed
    assert "text='42'" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_idle_sessions_take_little_memory_and_end(tmp_path: Path) -> None:
    def resident() -> int:
        pages = int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def ask(method: str, headers: dict[str, str], body: str | None = None) -> tuple[int, str]:
        connection.request(method, "/mcp", body, headers)
        answered = connection.getresponse()
        answered.read()
        return answered.status, answered.getheader("mcp-session-id", "")

    def begin() -> str:
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        headers = {"content-type": "application/json", "accept": "application/json"}
        status, session = ask("POST", headers, json.dumps(message))
        assert status == http.client.OK
        return session

    with started(configured(OFFICIAL), tmp_path) as gateway:
        connection = http.client.HTTPConnection(urlsplit(gateway.origin).netloc)
        warm = [begin() for _ in range(100)]
        before = resident()
        sessions = [begin() for _ in range(IDLE_SESSIONS)]
        assert len({*warm, *sessions}) == IDLE_SESSIONS + 100
        assert (resident() - before) / IDLE_SESSIONS < IDLE_BYTES
        for session in sessions:
            assert ask("DELETE", {"mcp-session-id": session})[0] == http.client.OK
        assert ask("DELETE", {"mcp-session-id": sessions[0]})[0] == http.client.NOT_FOUND
        connection.close()


DYING = """
import os, sys, pathlib
from mcp.server.mcpserver import MCPServer

server = MCPServer("dying")

@server.tool()
async def hang() -> str:
    pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
    import asyncio
    await asyncio.Event().wait()

@server.tool()
def pid() -> str:
    return str(os.getpid())

server.run("stdio")
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="waits at a named pipe")
@pytest.mark.asyncio
async def test_a_call_whose_server_is_killed_ends_and_the_next_one_has_a_new_server(
    tmp_path: Path,
) -> None:
    program = tmp_path / "dying.py"
    program.write_text(DYING)
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    servers = {"dying": {"command": sys.executable, "args": [str(program), str(pipe)]}}
    with running(configured(servers), tmp_path) as origin:
        url = f"{origin}/mcp"
        async with (
            mcp.Client(url, mode="legacy") as client,
            mcp.Client(url, mode="legacy") as other,
        ):
            calling = asyncio.create_task(client.call_tool("dying-hang", {}))
            # Opening it for reading waits for the tool that writes.
            killed = int(await asyncio.to_thread(pipe.read_text))
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(mcp.MCPError):
                await calling
            for one in (client, other):
                result = await one.call_tool("dying-pid", {})
                assert int(result.content[0].text) != killed
