"""An MCP server that says far more than it is asked for; a process of its own, standard library only.

`python flooding.py stdio | http | sse`; over HTTP it prints its URL and ends with its input.
"""

from __future__ import annotations

import json
import queue
import sys
import threading

from servers.http_scripted import INITIALIZE, Exchange, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

AT_ONCE = 500
KINDS = {
    "ping": {"method": "ping"},
    "sampling": {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}},
    "log": {"method": "notifications/message", "params": {"level": "info", "data": "x" * 300}},
}


class Flood:
    """What is said unasked, and what the client answers to it."""

    def __init__(self) -> None:
        self.expected = 0
        self.answers = 0
        self.refusals: list[str] = []
        self.is_deaf = False
        self.all_here = threading.Event()
        self.counting = threading.Lock()

    def texts(self, kind: str, count: int) -> list[list[str]]:
        message = {"jsonrpc": "2.0", **KINDS[kind]}
        numbers = range(count)
        if kind == "log":
            return [
                [json.dumps(message)] * len(numbers[at : at + AT_ONCE]) for at in numbers[::AT_ONCE]
            ]
        self.expected = count
        return [
            [json.dumps({**message, "id": f"s{number}"}) for number in numbers[at : at + AT_ONCE]]
            for at in numbers[::AT_ONCE]
        ]

    def take(self, answer: dict[str, Any]) -> None:
        with self.counting:
            self.answers += 1
            if "error" in answer:
                self.refusals.append(answer["error"]["message"])
            if self.answers == self.expected:
                self.all_here.set()

    def call(
        self, name: str, arguments: dict[str, Any], write: Callable[[list[str]], object]
    ) -> Any:
        if name == "flood":
            self.is_deaf = arguments.get("deaf", False)
            for texts in self.texts(arguments["kind"], arguments["count"]):
                write(texts)
            if arguments["kind"] == "log":
                self.all_here.set()
        elif name == "count":
            self.all_here.wait()
            return {"refused": len(self.refusals), "messages": sorted(set(self.refusals))}
        return arguments


def result(message: dict[str, Any], value: Any) -> str:
    content = [{"type": "text", "text": "done"}]
    whole = (
        INITIALIZE
        if message["method"] == "initialize"
        else {"content": content, "structuredContent": {"value": value}}
    )
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": whole})


def serve_stdio() -> None:
    """Reads in this thread, works in another: a flood does not keep it from taking answers."""
    flood = Flood()
    work: queue.Queue[dict[str, Any]] = queue.Queue()

    def write(texts: list[str]) -> None:
        sys.stdout.write("".join(f"{text}\n" for text in texts))
        sys.stdout.flush()

    def run() -> None:
        while True:
            message = work.get()
            value = None
            if message["method"] == "tools/call":
                params = message["params"]
                value = flood.call(params["name"], params.get("arguments", {}), write)
            write([result(message, value)])

    threading.Thread(target=run, daemon=True).start()
    for line in sys.stdin:
        message = json.loads(line)
        if "method" not in message:
            flood.take(message)
        elif "id" in message:
            work.put(message)
            params = message.get("params", {})
            if params.get("arguments", {}).get("deaf"):
                # Nothing is read from here on.
                threading.Event().wait()


class HttpFlood(Server):
    """Over Streamable HTTP: the flood comes on the stream of the call."""

    def __init__(self, **script: Any) -> None:
        super().__init__(**script)
        self.flood = Flood()

    def said(self, exchange: Exchange, value: Any) -> None:
        exchange.event(result(exchange.request.message, value))
        exchange.end()

    def begin(self, exchange: Exchange) -> Callable[[list[str]], object]:
        exchange.stream()
        return lambda texts: exchange.write("".join(f"data: {text}\n\n" for text in texts))

    def well_behaved(self, exchange: Exchange) -> None:
        message = exchange.request.message
        if exchange.request.name == "answer":
            if self.flood.is_deaf:
                exchange.wait_until_closed()
                return
            self.flood.take(message)
            exchange.respond(202)
        elif message.get("method") == "tools/call":
            self.work(exchange, self.begin(exchange))
        else:
            super().well_behaved(exchange)

    def work(self, exchange: Exchange, write: Callable[[list[str]], object]) -> None:
        params = exchange.request.message["params"]
        self.said(exchange, self.flood.call(params["name"], params.get("arguments", {}), write))


class SseFlood(HttpFlood):
    """Over HTTP+SSE: everything comes on the one stream."""

    def __init__(self) -> None:
        super().__init__(GET=self.listen)
        self.url = f"{self.origin}/sse"
        self.writing = threading.Lock()
        self.out: Exchange | None = None

    def listen(self, exchange: Exchange) -> None:
        exchange.stream()
        self.out = exchange
        exchange.write("event: endpoint\ndata: /messages\n\n")
        threading.Event().wait()

    def put(self, texts: list[str]) -> None:
        assert self.out is not None
        with self.writing:
            self.out.write("".join(f"data: {text}\n\n" for text in texts))

    def begin(self, exchange: Exchange) -> Callable[[list[str]], object]:
        exchange.respond(202)
        return self.put

    def work(self, exchange: Exchange, write: Callable[[list[str]], object]) -> None:
        # The next message may come over the connection of this one.
        threading.Thread(target=super().work, args=(exchange, write), daemon=True).start()

    def said(self, exchange: Exchange, value: Any) -> None:
        self.put([result(exchange.request.message, value)])

    def well_behaved(self, exchange: Exchange) -> None:
        if exchange.request.name == "initialize":
            exchange.respond(202)
            self.said(exchange, None)
        else:
            super().well_behaved(exchange)


def main() -> None:
    """Serve one transport until the input ends."""
    transport = sys.argv[1]
    if transport == "stdio":
        serve_stdio()
        return
    with HttpFlood() if transport == "http" else SseFlood() as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
