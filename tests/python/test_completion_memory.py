"""A thousand calls of one process in flight: all at once, and again and again without growing."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import threading
from typing import Self

import pytest

from scripted_openai import COMPLETION, run_script

CALLS = 1_000
WAVES = 6
# Seconds; a machine that has other work takes long for thousands of connections.
PATIENCE = 240
BODY = json.dumps(COMPLETION).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
CALLER = """
import asyncio, ctypes, gc, json, os, resource, sys, threading, toolbridge
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
base, calls, waves = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def held():
    gc.collect()
    # What the allocator keeps for later is not held: it gives it back where it can.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(open("/proc/self/statm").read().split()[1])
    return {
        "kilobytes": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "objects": len(gc.get_objects()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }

async def ask():
    answer = await toolbridge.acompletion(
        "openai/a", [{"role": "user", "content": "x" * 1000}], api_base=base, api_key="sk-1234"
    )
    assert answer.choices[0].message.content == "Paris"

async def main():
    seen = []
    for _ in range(waves):
        await asyncio.gather(*(ask() for _ in range(calls)))
        seen.append(held())
    print(json.dumps(seen))

asyncio.run(main())
"""


class Holder:
    """An endpoint that answers nobody until everybody has asked."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.waiting = 0
        self.waves = 0
        self.everybody = asyncio.Event()
        server = asyncio.start_server(self.answer, "127.0.0.1", 0, backlog=CALLS)
        self.server = self.loop.run_until_complete(server)
        self.base = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"
        self.thread = threading.Thread(target=self.loop.run_forever)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        self.waiting += 1
        everybody = self.everybody
        if self.waiting == CALLS:
            self.waiting, self.everybody = 0, asyncio.Event()
            self.waves += 1
            everybody.set()
        await everybody.wait()
        writer.write(HEAD + str(len(BODY)).encode() + b"\r\n\r\n" + BODY)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.mark.timeout(PATIENCE + 30)
def test_a_thousand_calls_are_in_flight_at_once_and_leave_nothing_behind():
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with Holder() as holder:
            arguments = [holder.base, str(CALLS), str(WAVES)]
            done = run_script(f"import sys\nsys.argv[1:] = {arguments!r}\n{CALLER}", PATIENCE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    assert done.returncode == 0, done.stderr
    # No wave ends unless all of its calls wait at the same time.
    assert holder.waves == WAVES
    seen = json.loads(done.stdout)
    # The first waves fill what allocators and pools keep.
    before, after = seen[WAVES // 2], seen[-1]
    sys.stdout.write(f"{seen}\n")
    later = (WAVES - 1 - WAVES // 2) * CALLS
    assert (after["kilobytes"] - before["kilobytes"]) / later < 0.5
    assert after["objects"] - before["objects"] < CALLS // 10
    assert after["descriptors"] <= before["descriptors"] + 10
    assert after["threads"] <= before["threads"]
