"""Sessions with the scripted server, for the tests and for the scripts that they run."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from pathlib import Path

from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

SERVER = Path(__file__).with_name("scripted.py")
# A script that hangs is a failure of its test, not of the whole run.
SCRIPT_SECONDS = 60


def scripted(*arguments: str, **parameters: Any) -> StdioServerParameters:
    """How to start the scripted server."""
    # -I -S: the standard library alone, and a start in a few milliseconds.
    return StdioServerParameters(
        sys.executable, ["-I", "-S", str(SERVER), *arguments], **parameters
    )


@asynccontextmanager
async def session(
    *arguments: str,
    errlog: Any = None,
    server: StdioServerParameters | None = None,
    maximum_message_bytes: int = 256 << 20,
    initialize: bool = True,
    **options: Any,
) -> AsyncIterator[ClientSession]:
    """A session with the scripted server, initialized."""
    # A lost answer fails its test soon.
    options.setdefault("read_timeout_seconds", 30)
    # The tools of its script are in no listing, and the tests look at every message that it gets.
    options.setdefault("validate_output", False)
    client = stdio_client(
        server or scripted(*arguments), errlog, maximum_message_bytes=maximum_message_bytes
    )
    async with client as (read, write), ClientSession(read, write, **options) as opened:
        if initialize:
            await opened.initialize()
        yield opened


async def ask(opened: ClientSession, tool: str, **arguments: Any) -> Any:
    """Call a tool of the scripted server; the value that it answers with."""
    result = await opened.call_tool(tool, arguments)
    return (result.structuredContent or {}).get("value")


async def pid_of(opened: ClientSession) -> int:
    """The process id of the scripted server."""
    return (await ask(opened, "environment"))["pid"]


def process_state(pid: int) -> str | None:
    """The state letter of a process, Z for a zombie; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]


def wait_until_ended(pid: int) -> None:
    """Wait for the end of a process that somebody else reaps."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(SCRIPT_SECONDS * 1000), f"process {pid} goes on"
    finally:
        os.close(handle)


def run_script(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own, warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        env=script_environment(**environment),
    )


def script_environment(**environment: str) -> dict[str, str]:
    """The environment in which a script finds this package and these modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
