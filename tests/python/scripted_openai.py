"""A scripted OpenAI-compatible endpoint on raw sockets: it sends exactly what a test gives it.

Each request gets the next reply, a list of steps: bytes to send, an `Event` to wait for, or one of
`CLOSE` and `UNTIL_GONE`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLOSE = object()
UNTIL_GONE = object()
PATIENCE = 30.0

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Paris", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    "system_fingerprint": "fp_1",
    "x_unknown": {"b": 1, "a": [2.5]},
}


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Endpoint:
    """The running endpoint."""

    def __init__(self, replies: Sequence[list[Any]]) -> None:
        self._replies = list(replies)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.api_base = f"{self.origin}/v1"
        self.requests: list[Received] = []
        self.connections = 0
        self.begun = threading.Event()
        self.gone = threading.Event()
        self._spawn(self._accept)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments with which a call comes here, without retries."""
        return {"api_base": self.api_base, "api_key": "sk-a-secret-key", "max_retries": 0}

    @property
    def body(self) -> Any:
        """The body of the only request."""
        (request,) = self.requests
        return request.body

    def close(self) -> None:
        # A shutdown wakes the threads that wait in accept or recv; closing alone does not.
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for sock in (self._listener, *self._open):
            sock.close()

    def _spawn(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection.makefile("rb") as reader:
            while self._answer(connection, reader):
                pass
            connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, connection: socket.socket, reader: Any) -> bool:
        first = reader.readline().decode()
        if not first:
            return False
        method, path, _ = first.split()
        headers = {}
        while line := reader.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        text = reader.read(int(headers.get("content-length", 0)))
        is_form = headers.get("content-type") == "application/x-www-form-urlencoded"
        body = text.decode() if is_form else json.loads(text)
        with self._lock:
            self.requests.append(Received(method, path, headers, body))
            reply = self._replies.pop(0)
        self.begun.set()
        for step in reply:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, threading.Event):
                step.wait(PATIENCE)
            elif step is UNTIL_GONE:
                with suppress(OSError):
                    reader.read()
                self.gone.set()
                return False
            else:
                return False
        return True


@contextmanager
def serve(*replies: list[Any]) -> Iterator[Endpoint]:
    """Runs an endpoint that gives these replies, one for each request."""
    endpoint = Endpoint(replies)
    try:
        yield endpoint
    finally:
        endpoint.close()


def run_script(script: str, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own, with the modules of the tests, for so many seconds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=patience, env=environment, check=False
    )


def answer(
    body: Any = COMPLETION, status: str = "200 OK", headers: dict[str, str] | None = None
) -> list[Any]:
    """A whole answer: a dict as JSON, a str as it is."""
    is_text = isinstance(body, str)
    text = body.encode() if is_text else json.dumps(body).encode()
    fields = {"content-type": "text/plain" if is_text else "application/json", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    length = len(text)
    return [f"HTTP/1.1 {status}\r\n{head}content-length: {length}\r\n\r\n".encode() + text]


def error(message: str, **fields: Any) -> dict[str, Any]:
    """An error body as OpenAI sends it."""
    return {"error": {"message": message, "type": "t", "param": None, "code": None, **fields}}


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def stream(*pieces: Any) -> list[Any]:
    """A stream of these pieces (bytes, steps, or dicts that become events), ended by closing."""
    return [STREAM_HEAD, *[event(p) if isinstance(p, dict) else p for p in pieces], CLOSE]


def event(chunk: dict[str, Any]) -> bytes:
    """A chunk as a server-sent event."""
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def chunk(
    delta: dict[str, Any], finish_reason: str | None = None, index: int = 0
) -> dict[str, Any]:
    """A chunk with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}],
    }
