"""Clients in a real Jupyter kernel: entered in one cell, used in others, closed in a last."""

from __future__ import annotations

import sys
from ast import literal_eval
from pathlib import Path
from queue import Empty

import pytest

from servers.http_scripted import PATIENCE
from servers.sessions import SERVER

CHILD = {"command": sys.executable, "args": ["-I", "-S", str(SERVER)]}
# The scripted server's tools are in no listing.
ENTER = f"""
import toolbridge
from toolbridge.mcp import Client, StdioServerParameters
one = Client(StdioServerParameters(**{CHILD!r}), mode="legacy", validate_output=False)
await one.__aenter__()
many = toolbridge.Client({{"a": {CHILD!r}, "b": {CHILD!r}}}, mode="legacy")
await many.__aenter__()
[server.status for server in many]
"""
USE = """
result = await one.call_tool("echo", {"n": 1})
first = await many.servers["a"].call_tool("echo", {"n": 2})
result.structuredContent["value"]["n"], first.structuredContent["value"]["n"]
"""
HOLD = """
import asyncio
print("begun", flush=True)
await asyncio.gather(one.call_tool("silent"), many.servers["a"].call_tool("silent"))
"""
CLOSE = """
pids = [
    (await session.call_tool("environment")).structuredContent["value"]["pid"]
    for session in (one, *many)
]
await one.__aexit__(None, None, None)
await many.aclose()
pids, [server.status for server in many]
"""


class Kernel:
    """A kernel of the Python that runs the tests."""

    def __init__(self, client):
        self.client = client

    def send(self, code):
        return self.client.execute(code, stop_on_error=False)

    def outcome(self, request, until=None):
        """What a cell gave: its value, its error, what it printed; or the first that is `until`."""
        printed = []
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=PATIENCE)
            except Empty:
                pytest.fail(f"the kernel says nothing more; it printed {printed}")
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    printed.append(content["text"])
                    if until is not None and until in content["text"]:
                        return None
                case "execute_result":
                    value = content["data"]["text/plain"]
                    assert self.ended(request), printed
                    return value
                case "error":
                    return content["ename"]
                case "status" if content["execution_state"] == "idle":
                    return "".join(printed)

    def ended(self, request):
        """Whether the cell that gave a value is over."""
        return self.outcome(request) is not None

    def run(self, code):
        return self.outcome(self.send(code))


@pytest.fixture
def kernel(monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    started = manager.KernelManager(kernel_name="python3")
    started.start_kernel()
    client = started.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(client), started
    finally:
        client.stop_channels()
        started.shutdown_kernel(now=True)


def test_clients_outlive_their_cell_and_an_interrupt(kernel):
    cells, manager = kernel
    assert cells.run(ENTER) == "['ready', 'ready']"
    assert cells.run(USE) == "(1, 2)"
    held = cells.send(HOLD)
    assert cells.outcome(held, until="begun") is None
    manager.interrupt_kernel()
    # The loop that tornado does not wake for a signal wakes for a message.
    cells.client.kernel_info()
    assert cells.outcome(held) in {"KeyboardInterrupt", "CancelledError"}
    assert cells.run(USE) == "(1, 2)"
    pids, statuses = literal_eval(cells.run(CLOSE))
    assert statuses == ["closed", "closed"]
    assert len(set(pids)) == 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert cells.run("await one.call_tool('echo')") == "RuntimeError"
    assert cells.run("await many.list_tools()") == "ConnectionClosedError"
