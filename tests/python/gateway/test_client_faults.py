"""Faults between clients and the gateway: each is refused with what is wrong, or ends with its
connection; other clients do not notice, and nothing is left of it in the gateway."""

from __future__ import annotations

import json
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest

from gateway.leftovers import nothing_is_left
from gateway.process import PATIENCE, ROOT, Started, started
from gateway.raw_client import ACCEPT, NEW, OLD, Caller, Client, modern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SCRIPTED = ["-I", "-S", str(ROOT / "tests/python/servers/scripted.py")]
MEGABYTE = 1 << 20
ECHO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "echo", "arguments": {}},
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Started]:
    config = {
        "mcp_servers": {
            "one": {"command": sys.executable, "args": SCRIPTED, "protocol_version": OLD}
        },
        "general_settings": {
            "max_request_size_mb": 1,
            **dict.fromkeys(("header_timeout", "body_timeout", "send_timeout"), 1),
        },
    }
    with started(json.dumps(config), tmp_path) as gateway:
        yield gateway


class Wire:
    """A connection on which a test writes what it likes."""

    def __init__(self, origin: str, session: str = "") -> None:
        place = urlsplit(origin)
        self.socket = socket.create_connection((place.hostname, place.port), PATIENCE)
        self.session = session

    def head(self, *headers: str, kind: str = "application/json", accept: str = ACCEPT) -> None:
        lines = [
            "POST /mcp/one HTTP/1.1",
            "Host: 127.0.0.1",
            f"Content-Type: {kind}",
            f"Accept: {accept}",
            f"Mcp-Session-Id: {self.session}",
            *headers,
        ]
        self.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    def post(self, body: bytes | dict[str, Any], **more: str) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.head(f"Content-Length: {len(text)}", **more)
        self.write(text)

    def write(self, text: bytes) -> None:
        self.socket.sendall(text)

    def status(self) -> int | None:
        """The status of the answer; None if the connection ends without one."""
        said = b""
        with suppress(ConnectionError):
            while b"\r\n" not in said and (piece := self.socket.recv(4096)):
                said += piece
        return int(said.split(b" ")[1]) if said else None

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """End the connection with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def half_a_head(wire: Wire) -> None:
    wire.write(b"POST /mcp/one HTTP/1.1\r\nHost: 127.0")


def half_a_body(wire: Wire) -> None:
    wire.head("Content-Length: 1000")
    wire.write(b'{"jsonrpc": "2.0", ')


def half_a_chunk(wire: Wire) -> None:
    wire.head("Transfer-Encoding: chunked")
    wire.write(b'1000\r\n{"jsonrpc": "2.0", ')


def huge_body(wire: Wire) -> None:
    wire.head(f"Content-Length: {100 * MEGABYTE}")
    # It may be refused before all of it is sent.
    with suppress(ConnectionError):
        for _ in range(100):
            wire.write(b" " * MEGABYTE)


def endless_body(wire: Wire) -> None:
    wire.head("Transfer-Encoding: chunked")
    with suppress(ConnectionError):
        while True:
            wire.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def answer_to(number: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": {"action": "accept"}}


# What is sent, and the status of the answer; None where the connection ends without one.
REFUSED: dict[str, tuple[Callable[[Wire], object], int | None]] = {
    "silence": (lambda wire: None, None),
    "a first byte that stalls": (lambda wire: wire.write(b"P"), None),
    "a head that stalls": (half_a_head, None),
    "a body that stalls": (half_a_body, 408),
    "a chunk that stalls": (half_a_chunk, 408),
    "a huge body": (huge_body, 413),
    "an endless body": (endless_body, 413),
    "a huge head": (lambda wire: wire.head("X-Long: " + "x" * (1 << 17)), 431),
    "another protocol": (
        lambda wire: wire.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"),
        400,
    ),
    "a chunk without a size": (
        lambda wire: (wire.head("Transfer-Encoding: chunked"), wire.write(b"zz\r\nzz\r\n")),
        400,
    ),
    "a wrong content type": (lambda wire: wire.post(ECHO, kind="text/plain"), 415),
    "half a message": (lambda wire: wire.post(json.dumps(ECHO).encode()[:30]), 400),
    "invalid utf-8": (lambda wire: wire.post(b'{"jsonrpc":"2.0","id":"\xff"}'), 400),
    "endless nesting": (lambda wire: wire.post(b"[" * MEGABYTE), 400),
    "a session that is not known": (
        lambda wire: (setattr(wire, "session", "another"), wire.post(ECHO)),
        404,
    ),
    "an answer to nothing": (lambda wire: wire.post(answer_to(987654)), 202),
}


@contextmanager
def in_company(gateway: Started) -> Iterator[tuple[Caller, Caller]]:
    """Two clients with sessions, whose calls go on whatever happens; the first waits for the server
    all the while."""
    waiting, other = (Caller(gateway.origin, "/mcp/one", OLD) for _ in range(2))
    for one in (waiting, other):
        assert "result" in one.call("echo", {})
    with nothing_is_left(gateway, waiting, other), ThreadPoolExecutor(1) as threads:
        answer = threads.submit(waiting.call, "wait_for", {"method": "notifications/go"})
        try:
            yield waiting, other
            assert "result" in other.call("echo", {})
        finally:
            go = {"jsonrpc": "2.0", "method": "notifications/go"}
            with other.client.ask("POST", "/mcp/one", go) as accepted:
                assert accepted.status == 202
        assert "result" in answer.result(PATIENCE)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused(case: str, gateway: Started) -> None:
    spoil, status = REFUSED[case]
    with in_company(gateway) as (_, other):
        wire = Wire(gateway.origin, other.client.session)
        spoil(wire)
        assert wire.status() == status
        wire.close()


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
@pytest.mark.parametrize("spoil", [half_a_head, half_a_body, half_a_chunk])
def test_a_client_that_goes_in_the_middle_of_its_request_leaves_nothing(
    spoil: Callable[[Wire], object], leave: Callable[[Wire], None], gateway: Started
) -> None:
    with in_company(gateway) as (_, other):
        wire = Wire(gateway.origin, other.client.session)
        spoil(wire)
        leave(wire)


def arrived(caller: Caller, tool: str) -> None:
    """Wait until a call of a tool is at the server."""
    while True:
        came = caller.call("got", {})["result"]["structuredContent"]["value"]
        if any(one.get("params", {}).get("name") == tool for one in came):
            return


def was_cancelled(caller: Caller) -> None:
    """Wait until the server has heard that a call is given up."""
    assert "result" in caller.call("wait_for", {"method": "notifications/cancelled"})


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_the_call_of_a_client_that_goes_is_cancelled(
    leave: Callable[[Wire], None], gateway: Started
) -> None:
    with in_company(gateway) as (_, other):
        wire = Wire(gateway.origin, other.client.session)
        # A stream of a session could be taken up again; its call would wait for that.
        call = {**ECHO, "params": {"name": "silent", "arguments": {}}}
        wire.post(call, accept="application/json")
        arrived(other, "silent")
        leave(wire)
        was_cancelled(other)


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset, None])
def test_a_client_that_does_not_read_its_answer_is_given_up(
    leave: Callable[[Wire], None] | None, gateway: Started
) -> None:
    with in_company(gateway) as (_, other):
        wire = Wire(gateway.origin, other.client.session)
        arguments = {"size": 50 * MEGABYTE}
        call = {**ECHO, "params": {"name": "large", "arguments": arguments}}
        wire.post(call, accept="application/json")
        assert wire.socket.recv(1) == b"H"
        # 50 MB wait for it, and nobody for them.
        assert "result" in other.call("echo", {})
        if leave is not None:
            leave(wire)
    wire.close()


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_a_client_that_leaves_its_stream_leaves_nothing(
    leave: Callable[[Wire], None], gateway: Started
) -> None:
    with in_company(gateway) as (_, other):
        wire = Wire(gateway.origin)
        lines = ["GET /mcp/one HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
        session = f"Mcp-Session-Id: {other.client.session}"
        wire.write("\r\n".join([*lines, session]).encode() + b"\r\n\r\n")
        assert wire.status() == 200
        leave(wire)


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_a_session_of_http_and_sse_ends_with_its_stream_and_its_calls_with_it(
    leave: Callable[[Wire], None], gateway: Started
) -> None:
    with in_company(gateway) as (_, other):
        wire = Wire(gateway.origin)
        wire.write(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
        with wire.socket.makefile("rb") as stream:
            while not (line := stream.readline()).startswith(b"data:"):
                assert line, "the stream ended"
        path = urljoin("/sse", line.partition(b":")[2].strip().decode())
        poster = Client(urlsplit(gateway.origin).netloc)
        params = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}}
        call = {"name": "one-silent", "arguments": {}}
        for method, given in [("initialize", params), ("tools/call", call)]:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
            with poster.ask("POST", path, message) as answer:
                assert answer.status == 202
        poster.http.close()
        arrived(other, "silent")
        leave(wire)
        was_cancelled(other)


class Asked:
    """A client that the server asks something in the middle of a call, on the stream of the call."""

    def __init__(self, gateway: Started) -> None:
        self.caller = Caller(gateway.origin, "/mcp/one", OLD, elicitation={})
        self.wire = Wire(gateway.origin, self.caller.client.session)
        arguments = {"method": "elicitation/create", "params": {"message": "?"}}
        self.wire.post({**ECHO, "params": {"name": "ask", "arguments": arguments}})
        self.stream = self.wire.socket.makefile("rb")
        self.id = self.next()["id"]

    def next(self) -> dict[str, Any]:
        """The next message of the stream."""
        while not (line := self.stream.readline()).startswith(b"data: {"):
            assert line, "the stream ended"
        return json.loads(line.removeprefix(b"data: "))

    def post(self, message: dict[str, Any]) -> None:
        with self.caller.client.ask("POST", "/mcp/one", message) as answer:
            assert answer.status == 202

    def close(self) -> None:
        self.stream.close()
        self.wire.close()
        self.caller.close()


def test_only_the_first_answer_to_what_was_asked_counts(gateway: Started) -> None:
    with in_company(gateway):
        asked = Asked(gateway)
        for answer in [answer_to("another"), answer_to(asked.id), answer_to(asked.id)]:
            asked.post(answer)
        heard = asked.next()["result"]["structuredContent"]["value"]
        assert heard["result"] == {"action": "accept"}
        asked.post(answer_to(asked.id))
        assert "result" in asked.caller.call("echo", {})
        asked.close()


def test_an_answer_after_its_call_was_cancelled_is_nobodys(gateway: Started) -> None:
    with in_company(gateway):
        asked = Asked(gateway)
        params = {"requestId": ECHO["id"]}
        asked.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
        assert asked.next()["error"]["code"] == -32800
        asked.post(answer_to(asked.id))
        assert "result" in asked.caller.call("echo", {})
        asked.close()


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_a_client_that_goes_when_it_is_asked_leaves_no_question(
    leave: Callable[[Wire], None], gateway: Started
) -> None:
    with in_company(gateway):
        asked = Asked(gateway)
        asked.stream.close()
        leave(asked.wire)
        assert "result" in asked.caller.call("echo", {})
        asked.caller.close()


def test_a_client_without_a_session_that_goes_leaves_nothing(gateway: Started) -> None:
    with in_company(gateway) as (_, other):
        meta, headers = modern("tools/call", "silent")
        wire = Wire(gateway.origin)
        params = {"name": "silent", "arguments": {}, "_meta": meta}
        text = json.dumps({**ECHO, "params": params})
        named = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        wire.head(f"Content-Length: {len(text)}", *named)
        wire.write(text.encode())
        assert wire.status() == 200
        wire.reset()
        was_cancelled(other)
        assert "result" in Caller(gateway.origin, "/mcp/one", NEW).call("echo", {})
