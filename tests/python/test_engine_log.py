"""What the engine has to say beside errors arrives in Python's logging."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys

import pytest

from servers.modern import VERSION, listing, modern, tool
from toolbridge.mcp import Client

WITHOUT_A_NAME = {"a": {"type": "string", "x-mcp-header": ""}}


@pytest.mark.asyncio
async def test_a_tool_that_is_left_out_is_named_in_a_warning():
    written = asyncio.get_running_loop().create_future()

    class Listener(logging.Handler):
        def emit(self, record):
            written.get_loop().call_soon_threadsafe(written.set_result, record)

    listener = Listener()
    logger = logging.getLogger("toolbridge.mcp")
    logger.addHandler(listener)
    try:
        with modern(tools__list=listing([tool("bad", WITHOUT_A_NAME)])) as server:
            async with Client(server.url, mode=VERSION, read_timeout_seconds=30) as client:
                await client.list_tools()
                record = await asyncio.wait_for(written, 30)
    finally:
        logger.removeHandler(listener)
    assert record.levelno == logging.WARNING
    assert record.name == "toolbridge.mcp"
    assert '"bad"' in record.getMessage()


SCRIPT = f"""
import asyncio, logging, os, sys
from toolbridge.mcp import Client

async def main():
    async with Client(sys.argv[1], mode={VERSION!r}, read_timeout_seconds=30) as client:
        await client.list_tools()

def run():
    asyncio.run(main())

logging.basicConfig(format="%(message)s")
run()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
run()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_lines_are_written_before_the_interpreter_ends_and_in_a_forked_child():
    with modern(tools__list=listing([tool("bad", WITHOUT_A_NAME)])) as server:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, server.url], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is left out of the listing") == 2, done.stderr
