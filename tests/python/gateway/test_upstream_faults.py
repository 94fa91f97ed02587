"""Faults between the gateway and its servers: each ends in an error that says what happened, or in a
completed call; other clients and servers do not notice, and nothing is left of it in the gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from gateway.leftovers import nothing_is_left
from gateway.process import PATIENCE, ROOT, Started, started
from gateway.raw_client import NEW, OLD, Caller
from servers import faults
from servers.fault_proxy import FaultProxy, forward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.http_scripted import Exchange

pytest.importorskip("mcp.server.mcpserver", reason="needs the official SDK 2")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SERVERS = ROOT / "tests/python/servers"
# How long a call may take by the configuration, and how much longer a slow machine may make it.
TIMEOUT = 3
SLACK = 15
LOST = "outcome is unknown"
HUGE = [faults.STREAMABLE["huge event"], faults.SSE["huge event"]]
LATE = f"did not answer tools/call within {TIMEOUT} s"


class Way(FaultProxy):
    """The way to a server, on which a test spoils the calls whose `a` is 1, and holds those where it is 2."""

    def __init__(self, behind: str) -> None:
        super().__init__(behind, tools__call=self.spoiled)
        self.spoil: Callable[[Exchange], object] = forward
        self.holds, self.is_held, self.goes_on = False, threading.Event(), threading.Event()

    def spoiled(self, exchange: Exchange) -> None:
        number = exchange.request.message["params"]["arguments"]["a"]
        if number == 1:
            self.spoil(exchange)
            return
        if number == 2 and self.holds:
            self.is_held.set()
            assert self.goes_on.wait(PATIENCE)
        forward(exchange)

    @contextmanager
    def spoiling(self, spoil: Callable[[Exchange], object]) -> Iterator[None]:
        self.spoil, self.holds = spoil, True
        self.is_held.clear()
        self.goes_on.clear()
        try:
            yield
        finally:
            self.spoil, self.holds = forward, False
            self.goes_on.set()


@dataclass
class World:
    """The gateway and the ways to what is behind it."""

    gateway: Started
    ways: dict[str, Way]
    callers: list[Caller] = field(default_factory=list)

    def way(self, server: str) -> Way:
        """The way to a server over HTTP."""
        ways = {"oldest": "sse", "patient_oldest": "patient sse"}
        return self.ways[ways.get(server, "streamable")]

    def caller(self, server: str, era: str = OLD) -> Caller:
        self.callers.append(Caller(self.gateway.origin, f"/mcp/{server}", era))
        return self.callers[-1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        ways = {}
        for mode in ("streamable", "sse"):
            command = [sys.executable, str(SERVERS / "official.py"), mode]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            path = "sse" if mode == "sse" else "mcp"
            behind = f"http://127.0.0.1:{process.stdout.readline().strip()}/{path}"
            ways[mode] = stack.enter_context(Way(behind))
        # A way has one event stream of HTTP+SSE that its faults are written to.
        ways["patient sse"] = stack.enter_context(Way(behind))
        url = ways["streamable"].url
        arguments = ["-I", "-S", str(SERVERS / "scripted.py")]
        scripted = {"command": sys.executable, "args": arguments, "protocol_version": OLD}
        faulty = {
            "old": {"url": url, "transport": "http", "protocol_version": OLD},
            "new": {"url": url, "transport": "http", "protocol_version": NEW},
            "oldest": {"url": ways["sse"].url, "transport": "sse"},
            "stdio": scripted,
        }
        limits = {"maximum_message_bytes": 1 << 20, "keep_alive": False}
        servers = {"healthy": scripted}
        for name, server in faulty.items():
            servers[name] = {**server, **limits, "timeout": TIMEOUT}
            # 100 MB take a slow machine longer than that.
            servers[f"patient_{name}"] = {**server, **limits, "timeout": PATIENCE}
        servers["patient_oldest"]["url"] = ways["patient sse"].url
        config = {"mcp_servers": servers}
        folder = tmp_path_factory.mktemp("gateway")
        yield World(stack.enter_context(started(json.dumps(config), folder)), ways)


@pytest.fixture(autouse=True)
def _nobody_stays(world: World) -> Iterator[None]:
    """A test that fails leaves no session to the next one, which counts them."""
    yield
    while world.callers:
        world.callers.pop().close()


def judged(message: dict[str, Any], words: str | None) -> None:
    """An answer of 3, or the error that is expected."""
    if words is None:
        assert "result" in message, message
        assert message["result"]["content"][0]["text"] == "3", message
        return
    assert re.search(words, message["error"]["message"]), message
    assert "hidden" not in json.dumps(message)


def add(a: int) -> tuple[str, dict[str, Any]]:
    return "add", {"a": a, "b": 2}


def through(
    world: World, server: str, era: str, spoil: Callable[[Exchange], object], words: str | None
) -> str:
    """Spoil a call while another client waits at the same server and a third one uses another; what
    became of the other one."""
    if spoil in HUGE:
        server = f"patient_{server}"
    way = world.way(server)
    victim, other = world.caller(server, era), world.caller(server, era)
    bystander = world.caller("healthy")
    for one in (victim, other):
        judged(one.call(*add(1)), None)
    assert "result" in bystander.call("echo", {"x": 1})
    with nothing_is_left(world.gateway, victim, other, bystander):
        with ThreadPoolExecutor(2) as threads, way.spoiling(spoil):
            waiting = threads.submit(other.call, *add(2))
            assert way.is_held.wait(PATIENCE)
            begun = time.monotonic()
            spoiled = threads.submit(victim.call, *add(1))
            assert "result" in bystander.call("echo", {"x": 2})
            if words == LATE:
                # It would be late as well.
                way.goes_on.set()
                assert "result" in waiting.result(PATIENCE)
            judged(spoiled.result(2 * PATIENCE), words)
            assert spoil in HUGE or time.monotonic() - begun < TIMEOUT + SLACK
            way.goes_on.set()
            last = waiting.result(PATIENCE)
        # The next call finds a server.
        judged(victim.call(*add(1)), None)
        judged(other.call(*add(1)), None)
    if "result" in last:
        assert last["result"]["content"][0]["text"] == "4"
        return "completed"
    return last["error"]["message"]


STREAMABLE = {
    "reset": f"{LOST}.*broke",
    "half a message": f"{LOST}.*broke",
    # An old server answers with a stream, a new one with JSON.
    "half an answer": f"{LOST}.*without an answer|not valid JSON: EOF",
    "half an event": f"{LOST}.*without an answer",
    "wrong content type": "text/html.*hello",
    "401": "401",
    "403": "403.*do not allow",
    "404": "404|no longer knows this session",
    "429": "429.*asked again after 7.*slow down",
    "500": "500.*oops",
    "503": "503.*after 1",
    "redirect elsewhere": "redirect to http://127.0.0.1:1 ",
    "redirect that drops the message": "302.*redirect to http://127.0.0.1:[0-9]+ is not followed",
    "redirect for ever": "308.*redirect",
    "endless stream": LATE,
    "huge event": "10485[0-9]{4} bytes.*max",
    "invalid utf-8 in JSON": "does not answer it",
    "invalid utf-8 in an event": "not valid JSON.*invalid unicode",
    "unknown id": None,
    "duplicate answers": None,
}


@pytest.mark.parametrize("server", ["old", "new"])
@pytest.mark.parametrize("case", faults.STREAMABLE)
def test_a_fault_of_streamable_http_ends_cleanly(case: str, server: str, world: World) -> None:
    era = OLD if server == "old" else NEW
    became = through(world, server, era, faults.STREAMABLE[case], STREAMABLE[case])
    if case == "404" and server == "old":
        # The server has forgotten the session of all of them.
        assert became == "completed" or "session" in became
    else:
        assert became == "completed"


@pytest.mark.parametrize("server", ["old", "new"])
@pytest.mark.parametrize("where", faults.STALLS)
def test_a_stalled_answer_ends_with_the_timeout(where: str, server: str, world: World) -> None:
    era = OLD if server == "old" else NEW
    assert through(world, server, era, faults.STALLS[where], LATE) == "completed"


SSE = {
    "reset": f"{LOST}.*broke",
    "half a message": f"{LOST}.*ended its event stream",
    "401": "401",
    "403": "403.*do not allow",
    "404": "404",
    "429": "429.*after 7.*slow",
    "500": "500.*oops",
    "503": "503",
    "redirect elsewhere": "redirect to http://127.0.0.1:1 ",
    "silence": LATE,
    "huge event": "10485[0-9]{4} bytes.*max",
    "invalid utf-8": "not valid JSON.*invalid unicode",
    "unknown id": None,
    "duplicate answers": None,
}


@pytest.mark.parametrize("case", faults.SSE)
def test_a_fault_of_http_with_sse_ends_cleanly(case: str, world: World) -> None:
    became = through(world, "oldest", OLD, faults.SSE[case], SSE[case])
    if case == "half a message":
        # One stream has the answers of all.
        assert re.search(LOST, became), became
    else:
        assert became == "completed"


@pytest.mark.parametrize("server", ["old", "new", "oldest"])
def test_an_answer_after_its_call_was_cancelled_is_nobodys(server: str, world: World) -> None:
    era = NEW if server == "new" else OLD
    way = world.way(server)
    victim, other = world.caller(server, era), world.caller(server, era)
    judged(victim.call(*add(1)), None)
    with nothing_is_left(world.gateway, victim, other):
        with way.spoiling(forward):
            # The client goes, which is how it gives up.
            leaving = world.caller(server, era)
            leaving.send(*add(2))
            assert way.is_held.wait(PATIENCE)
            leaving.vanish()
            way.goes_on.set()
        judged(victim.call(*add(1)), None)
        judged(other.call(*add(1)), None)


STDIO = {
    "half a message": f"{LOST}.*not valid JSON: EOF|not valid JSON: EOF",
    "silence": LATE,
    "invalid utf-8": "not valid JSON.*invalid unicode",
    "huge message": "10485[0-9]{4} bytes.*max",
    "unknown id": None,
    "duplicate answers": None,
    "no line end": None,
    "endless stream": LATE,
}


@pytest.mark.parametrize("case", faults.STDIO)
def test_a_fault_of_stdio_ends_cleanly(case: str, world: World) -> None:
    tool, arguments = faults.STDIO[case]
    server = "patient_stdio" if case == "huge message" else "stdio"
    victim, other = world.caller(server), world.caller(server)
    bystander = world.caller("healthy")
    for one in (victim, other, bystander):
        assert "result" in one.call("echo", {"x": 1})
    process = victim.call("environment", {})["result"]["structuredContent"]["value"]["pid"]
    with nothing_is_left(world.gateway, victim, other, bystander):
        with ThreadPoolExecutor(1) as threads:
            spoiled = threads.submit(victim.call, tool, arguments)
            assert "result" in bystander.call("echo", {"x": 2})
            judged(spoiled.result(2 * PATIENCE), STDIO[case])
        if case == "endless stream":
            # It reads nothing more, and says so much that it is not silent.
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            # The call that the gateway hears of it by, if it has not yet.
            victim.call("echo", {"x": 1})
        # Where the process is gone, there is another one.
        for one in (victim, other):
            assert "result" in one.call("echo", {"x": 1})
