"""A thousand sessions opened and closed: nothing of them stays."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.fault_proxy import Counts, resident_kilobytes
from servers.http_scripted import PATIENCE
from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client
from toolbridge.mcp.client.streamable_http import streamable_http_client

# As cheap a server as there is: it answers whatever has an id.
SHELL_SERVER = r"""
while read -r line; do
    case "$line" in *\"id\":*)
        id=${line#*\"id\":}
        id=${id%%[,\}]*}
        printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18",' "$id"
        printf '"capabilities":{},"serverInfo":{"name":"shell","version":"1"}}}\n'
    esac
done
"""
SESSIONS = 1000
# What is opened before the first look, so that caches and pools have the size that they keep.
WARM = 300
AT_ONCE = 20
# What allocators keep is under 5 kB for each, and ever less; an open session is 50 and more.
KILOBYTES_EACH = 25


@contextmanager
def http_server():
    command = [sys.executable, "-m", "servers.http_scripted"]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextmanager
def clients(transport):
    """A function that makes a client of the transport."""
    if transport == "stdio":
        parameters = StdioServerParameters("/bin/sh", ["-c", SHELL_SERVER])
        yield lambda: stdio_client(parameters, None)
    else:
        with http_server() as url:
            yield lambda: streamable_http_client(url)


async def open_and_close(client, count):
    async def some(number):
        for _ in range(number):
            async with (
                client() as streams,
                ClientSession(*streams, read_timeout_seconds=PATIENCE) as session,
            ):
                await session.initialize()
                await session.send_ping()

    await asyncio.gather(*(some(count // AT_ONCE) for _ in range(AT_ONCE)))


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_thousand_sessions_leave_nothing_behind(transport):
    with clients(transport) as client:
        await open_and_close(client, WARM)
        counts, kilobytes = Counts(), resident_kilobytes()
        await open_and_close(client, SESSIONS - WARM)
        grown = resident_kilobytes() - kilobytes
        assert grown < KILOBYTES_EACH * (SESSIONS - WARM)
        assert len(Counts().descriptors) <= len(counts.descriptors) + AT_ONCE
        left = Counts()
        assert left.threads <= counts.threads
        assert set(left.children) <= set(counts.children)
    assert asyncio.all_tasks() == {asyncio.current_task()}
