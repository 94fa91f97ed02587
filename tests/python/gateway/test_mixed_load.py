"""Much of everything that clients do, at once, and nothing of it left behind afterwards."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from gateway.process import held, settled, started
from gateway.raw_client import ACCEPT, Client, modern

SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method = asked["method"]
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "hang")]}
    elif method == "tools/call" and asked["params"]["name"] == "hang":
        continue
    elif method in ("tools/call", "ping"):
        result = {"content": [{"type": "text", "text": json.dumps(asked["params"].get("arguments"))}]} if method == "tools/call" else {}
    else:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""
AT_ONCE = 16
# How many turns of a client one round has; the time that `make test` gives it, not a whole night.
TURNS = int(os.environ.get("TOOLBRIDGE_MIXED_TURNS", "900"))
ROUNDS = 4
# What a round may add to the memory of the one before; a leak of about 1 kB a turn is beyond it.
GROWTH = 1 << 20
SECRET = "sk-of-the-load"


class Turn(Client):
    """One turn of one client: a connection of its own."""

    def __init__(self, place: str) -> None:
        super().__init__(place, key=SECRET)

    def call(self, path: str, tool: str, meta: dict[str, Any] | None = None, **more: str) -> bytes:
        params = {"name": tool, "arguments": {"x": random.random()}} | (
            {"_meta": meta} if meta else {}
        )
        message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        with self.ask("POST", path, message, **more) as answer:
            return answer.read()

    # What clients do.

    def a_session(self) -> None:
        self.begin()
        self.rpc("tools/list", {})
        for _ in range(3):
            assert b"text" in self.call("/mcp", "load-echo")
        self.end()

    def no_session(self) -> None:
        meta, more = modern("tools/call", "echo")
        assert b"text" in self.call("/mcp/load", "echo", meta, **more)

    def vanishes(self) -> None:
        self.begin()
        raw = socket.create_connection(self.place.split(":"))
        body = '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"load-hang"}}'
        raw.sendall(
            f"POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {SECRET}\r\n"
            f"content-type: application/json\r\naccept: {ACCEPT}\r\nmcp-session-id: {self.session}\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        raw.close()
        self.end()

    def listens(self) -> None:
        self.begin()
        listener = Turn(self.place)
        listener.session = self.session
        listener.ask("GET", "/mcp").close()
        listener.http.close()
        self.end()

    def old_transport(self) -> None:
        stream = self.ask("GET", "/sse", accept="text/event-stream")
        while not (line := stream.readline()).startswith(b"data:"):
            assert line, "the stream ended"
        poster = Turn(self.place)
        path = urljoin("/sse", line.partition(b":")[2].strip().decode())
        params = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        with poster.ask("POST", path, message) as answer:
            assert answer.status == http.client.ACCEPTED
        while not stream.readline().startswith(b"data:"):
            pass
        poster.http.close()

    def chats(self) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        with self.ask("POST", "/v1/chat/completions", body) as answer:
            assert b"hello" in answer.read()

    def streams(self) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        answer = self.ask("POST", "/v1/chat/completions", body)
        if random.random() < 0.5:
            assert b"[DONE]" in answer.read()

    def calls_over_rest(self) -> None:
        with self.ask("POST", "/mcp/tools/call", {"name": "load-echo", "arguments": {}}) as answer:
            assert b"text" in answer.read()
        with self.ask("GET", "/mcp-rest/tools/list") as answer:
            assert b"echo" in answer.read()

    def is_wrong(self) -> None:
        for path, body, key in [
            ("/mcp", "{", SECRET),
            ("/mcp", "[]", SECRET),
            ("/nowhere", "{}", SECRET),
            ("/mcp/unknown", "{}", SECRET),
            ("/v1/chat/completions", '{"model": "none"}', SECRET),
            ("/v1/chat/completions", "{}", f"sk-{random.random()}"),
        ]:
            with self.ask("POST", path, body, key) as answer:
                assert answer.status >= http.client.BAD_REQUEST
            # A body that nobody reads may end the connection.
            self.http.close()
        self.session = f"unknown-{random.random()}"
        with self.ask("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}) as answer:
            assert answer.status == http.client.NOT_FOUND


DOES = [
    Turn.a_session,
    Turn.no_session,
    Turn.vanishes,
    Turn.listens,
    Turn.old_transport,
    Turn.chats,
    Turn.streams,
    Turn.calls_over_rest,
    Turn.is_wrong,
]


def turn(place: str, number: int) -> None:
    client = Turn(place)
    try:
        DOES[number % len(DOES)](client)
    finally:
        client.http.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(300 + TURNS // 5)
def test_mixed_load_leaves_nothing_behind(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    config = {
        "mcp_servers": {"load": {"command": sys.executable, "args": [str(program)]}},
        "model_list": [
            {
                "model_name": "m",
                "litellm_params": {"model": "openai/m", "mock_response": "hello"},
            }
        ],
        "general_settings": {"master_key": SECRET},
    }
    with (
        started(json.dumps(config), tmp_path) as gateway,
        ThreadPoolExecutor(AT_ONCE) as clients,
    ):
        place = urlsplit(gateway.origin).netloc
        turn(place, 0)
        idle = held(gateway.pid)[1]
        after = []
        for _ in range(ROUNDS):
            list(clients.map(lambda number: turn(place, number), range(TURNS)))
            assert settled(gateway.pid, idle), "connections or pipes are left"
            after.append(held(gateway.pid)[0])
        client = Turn(place)
        with client.ask("GET", "/metrics") as answer:
            lines = answer.read().decode().splitlines()
        client.http.close()
        assert 'toolbridge_mcp_sessions{transport="streamable_http"} 0' in lines
        assert 'toolbridge_mcp_sessions{transport="sse"} 0' in lines
        assert "toolbridge_http_requests_in_flight 1" in lines
    # The first round fills what is kept for the next ones.
    assert after[-1] - after[1] < GROWTH * (ROUNDS - 2), after
