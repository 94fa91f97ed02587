"""An MCP server on a socket that does what a test tells it to, right or wrong; standard library only.

A test gives a function for each thing that may come: a JSON-RPC method, or `GET` and `DELETE`. What
it gives none for is answered as a well-behaved server would, and everything that came is kept.
"""

from __future__ import annotations

import json
import queue
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

SESSION = "session-1"
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "serverInfo": {"name": "scripted", "version": "1"},
}
# What never happens fails its test, not the whole run.
PATIENCE = 20


@dataclass
class Request:
    """What came."""

    method: str
    path: str
    headers: dict[str, str]
    message: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""

    @property
    def name(self) -> str:
        """The JSON-RPC method of a POST, else that of HTTP; an answer is `answer`."""
        return self.message.get("method", "answer") if self.method == "POST" else self.method


class Exchange:
    """One request, and the connection to answer it on."""

    def __init__(self, connection: socket.socket, request: Request, server: Server) -> None:
        self.connection = connection
        self.request = request
        self.server = server

    def write(self, text: bytes | str) -> None:
        self.connection.sendall(text.encode() if isinstance(text, str) else text)

    def head(self, status: int, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", *headers]
        self.write("\r\n".join(lines) + "\r\n\r\n")

    def respond(self, status: int, body: str = "", kind: str = "text/plain", *more: str) -> None:
        """A whole answer."""
        encoded = body.encode()
        self.head(status, f"Content-Type: {kind}", f"Content-Length: {len(encoded)}", *more)
        self.write(encoded)

    def result(self, value: Any = None, *headers: str) -> None:
        """Answer the request with a JSON body."""
        text = json.dumps(self.answer(value))
        self.respond(200, text, "application/json", *headers)

    def answer(self, value: Any = None) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.request.message["id"], "result": tool_result(value)}

    def stream(self) -> None:
        """Begin an event stream that ends with its connection."""
        self.head(200, "Content-Type: text/event-stream", "Connection: close")

    def event(self, message: dict[str, Any] | str, *fields: str) -> None:
        data = message if isinstance(message, str) else json.dumps(message)
        self.write("".join(f"{one}\n" for one in (*fields, f"data: {data}")) + "\n")

    def end(self) -> None:
        """Close the connection after what was written."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def wait_until_closed(self) -> None:
        """Wait for the other side to close the connection."""
        self.connection.settimeout(PATIENCE)
        with suppress(ConnectionError):
            assert self.connection.recv(1) == b""


def tool_result(value: Any) -> Any:
    """The result of a tool that gives a text, or any other result as it is."""
    if isinstance(value, str):
        return {"content": [{"type": "text", "text": value}]}
    return {} if value is None else value


class Server:
    """Serves each connection in a thread of its own until the test is over."""

    no_delay = True

    def __init__(
        self, session: str | None = SESSION, port: int = 0, **script: Callable[[Exchange], object]
    ):
        self.script = {name.replace("__", "/"): action for name, action in script.items()}
        self.session = session
        self.seen: list[Request] = []
        self.news: queue.Queue[Request] = queue.Queue()
        self.failures: list[BaseException] = []
        self.open: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.origin = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.url = f"{self.origin}/mcp"
        self.threads = [threading.Thread(target=self.accept, daemon=True)]

    def __enter__(self) -> Self:
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # A shutdown wakes the thread that waits in accept; a mere close does not.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in tuple(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in tuple(self.threads):
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert not self.failures, self.failures

    def names(self) -> list[str]:
        """What came so far, in order."""
        return [one.name for one in self.seen]

    def wait_for(self, name: str) -> Request:
        """Wait for the next thing of a name; what comes before it is skipped."""
        while True:
            request = self.news.get(timeout=PATIENCE)
            if request.name == name:
                return request

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            if self.no_delay:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open.add(connection)
            thread = threading.Thread(target=self.serve, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as reader:
                while (request := read_request(reader)) is not None:
                    self.seen.append(request)
                    self.news.put(request)
                    exchange = Exchange(connection, request, self)
                    if self.admits(exchange):
                        self.script.get(request.name, self.well_behaved)(exchange)
        except OSError:
            # The client went away, as some tests want it to.
            return
        except BaseException as failure:  # noqa: BLE001 - shown when the test ends
            self.failures.append(failure)
        finally:
            self.open.discard(connection)

    def admits(self, exchange: Exchange) -> bool:
        return True

    def well_behaved(self, exchange: Exchange) -> None:
        name = exchange.request.name
        if name == "initialize":
            headers = [] if self.session is None else [f"Mcp-Session-Id: {self.session}"]
            exchange.result(INITIALIZE, *headers)
        elif name == "GET":
            exchange.respond(405)
        elif name == "DELETE":
            exchange.respond(200)
        elif "id" in exchange.request.message and "method" in exchange.request.message:
            exchange.result("done" if name == "tools/call" else None)
        else:
            exchange.respond(202)


def read_request(reader: Any) -> Request | None:
    """Read one request; None at the end of the connection."""
    line = reader.readline().decode()
    if not line:
        return None
    method, path, _ = line.split(" ", 2)
    headers = {}
    while (line := reader.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return Request(method, path, headers, json.loads(body) if body else {}, body)


if __name__ == "__main__":
    # Well-behaved, for a test that measures its own process: prints the URL, ends with its input.
    with Server() as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()
