"""An MCP server on stdio that does what its caller asks for, right or wrong; standard library only.

The tools are its script language: a test calls a tool to make the server misbehave, and everything
happens in the order of the wire, so that no test has to wait for a length of time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

PAGES = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
TOOL = {
    "name": "echo",
    "title": "Echo",
    "description": "Gives its arguments back.",
    "inputSchema": {"type": "object", "properties": {"b": {}, "a": {}}},
    "execution": {"taskSupport": "optional"},
    "x-unknown": {"z": None, "a": 1},
}
ENTRIES = {
    "tools": lambda number: {**TOOL, "name": f"echo{number}"},
    "prompts": lambda number: {"name": f"prompt{number}", "arguments": [{"name": "topic"}]},
    "resources": lambda number: {"uri": f"test://{number}", "name": f"resource{number}"},
    "resourceTemplates": lambda number: {"uriTemplate": f"test://{{{number}}}", "name": "t"},
}
RESULTS = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {"listChanged": True}, "logging": {}, "x-unknown": {"deep": [1]}},
        "serverInfo": {"name": "scripted", "version": "1", "x-unknown": 2},
        "instructions": "Call a tool.",
    },
    "prompts/get": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "About tests."}}]
    },
    "resources/read": {"contents": [{"uri": "test://1", "text": "one", "mimeType": "text/plain"}]},
    "completion/complete": {"completion": {"values": ["ab", "ac"], "total": 2, "hasMore": False}},
}


DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "instructions": "Call a tool.",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "1"}},
    "ttlMs": 0,
    "cacheScope": "private",
}


class Server:
    """One connection: what came in, what is still owed."""

    def __init__(self, muted: str | None = None) -> None:
        self.muted = muted
        self.ends_at: str | None = None
        self.subscriptions: list[int] = []
        self.received: list[dict] = []
        self.awaited: dict[str, list[int]] = {}
        self.asked: dict[object, int] = {}
        self.out = sys.stdout.buffer

    def write(self, text: bytes) -> None:
        self.out.write(text)
        self.out.flush()

    def send(self, **message: object) -> None:
        message = {"jsonrpc": "2.0", **message}
        self.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def answer(self, number: int, value: object = None, text: str = "done") -> None:
        result: dict = {"content": [{"type": "text", "text": text}]}
        if value is not None:
            result["structuredContent"] = {"value": value}
        self.send(id=number, result=result)

    def serve(self) -> None:
        for line in iter(sys.stdin.buffer.readline, b""):
            self.take(json.loads(line))

    def take(self, message: dict) -> None:
        self.received.append(message)
        method = message.get("method")
        if method is None:
            self.answer(self.asked.pop(message["id"]), message)
        elif "id" not in message:
            self.settle(method)
        elif method == self.ends_at:
            os._exit(3)
        elif method == self.muted:
            self.muted = None
        elif method == "tools/call":
            parameters = message["params"]
            call = getattr(self, parameters["name"], None)
            if call is None:
                error = {
                    "code": -32602,
                    "message": "no such tool",
                    "data": {"tool": parameters["name"], "n": 10**30},
                    "x-unknown": True,
                }
                self.send(id=message["id"], error=error)
            else:
                call(message["id"], **parameters.get("arguments", {}))
        elif method == "initialize" and "server/discover" in RESULTS:
            data = {"supported": ["2026-07-28"], "requested": message["params"]["protocolVersion"]}
            error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
            self.send(id=message["id"], error=error)
        elif method == "subscriptions/listen":
            self.subscriptions.append(message["id"])
            honored = {"notifications": message["params"]["notifications"]}
            self.tell(message["id"], "subscriptions/acknowledged", honored)
        elif method in PAGES:
            self.page(message["id"], PAGES[method], message.get("params", {}).get("cursor"))
        else:
            self.send(id=message["id"], result=RESULTS.get(method, {}))

    def page(self, number: int, kind: str, cursor: str | None) -> None:
        index = int(cursor or 0)
        result: dict = {kind: [ENTRIES[kind](index)]}
        if index < 2:
            result["nextCursor"] = str(index + 1)
        self.send(id=number, result=result)

    def settle(self, method: str) -> None:
        """Answer the calls that wait for a notification once it is here."""
        found = [one for one in self.received if one.get("method") == method and "id" not in one]
        if found and method in self.awaited:
            for number in self.awaited.pop(method):
                self.answer(number, [one.get("params") for one in found])

    def tell(self, subscription: int, name: str, params: dict) -> None:
        meta = {"io.modelcontextprotocol/subscriptionId": subscription}
        self.send(method=f"notifications/{name}", params={**params, "_meta": meta})

    # The tools.

    def change(self, number: int, index: int, kind: str) -> None:
        """Tell the subscription of that index that a list has changed."""
        self.tell(self.subscriptions[index], f"{kind}/list_changed", {})
        self.answer(number, self.subscriptions[index])

    def take_back(self, number: int, index: int) -> None:
        """End the subscription of that index."""
        self.send(method="notifications/cancelled", params={"requestId": self.subscriptions[index]})
        self.answer(number)

    def echo(self, number: int, **arguments: object) -> None:
        self.answer(number, arguments)

    def silent(self, number: int) -> None:
        """Never answer."""

    def answer_others(self, number: int, answer: int) -> None:
        """Answer another call."""
        self.answer(answer, text="late")
        self.answer(number)

    def got(self, number: int) -> None:
        """Give every message that came so far."""
        self.answer(number, self.received)

    def wait_for(self, number: int, method: str) -> None:
        """Answer with the parameters of a notification, as soon as there is one."""
        self.awaited.setdefault(method, []).append(number)
        self.settle(method)

    def environment(self, number: int) -> None:
        self.answer(number, {"environ": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid()})

    def raw(self, number: int, text: str) -> None:
        """Write any bytes: the characters of `text` are bytes, `<id>` is the id of the call."""
        self.write(text.replace("<id>", str(number)).encode("latin-1"))

    def half(self, number: int, text: str = '{"jsonrpc":"2.0","id":<id>,"res') -> None:
        """Write what has no line end, and exit."""
        self.raw(number, text)
        os._exit(0)

    def endless(self, number: int) -> None:
        """Write log lines until nobody reads them."""
        line = {"level": "info", "data": 1}
        while True:
            self.send(method="notifications/message", params=line)

    def pieces(self, number: int, texts: list[str]) -> None:
        """Write pieces, each in a write of its own; one piece is written byte by byte."""
        if len(texts) == 1:
            texts = list(texts[0].replace("<id>", str(number)))
        for text in texts:
            self.raw(number, text)

    def large(self, number: int, size: int) -> None:
        self.answer(number, text="x" * size)

    def report(self, number: int, count: int) -> None:
        """Report progress and write log lines, alternating, then answer."""
        meta = self.received[-1]["params"].get("_meta", {})
        for step in range(count):
            if "progressToken" in meta:
                params = {"progressToken": meta["progressToken"], "progress": step, "total": count}
                if step == 0:
                    params["message"] = "first"
                self.send(method="notifications/progress", params=params)
            line = {"level": "info", "logger": "test", "data": {"step": step}}
            self.send(method="notifications/message", params=line)
        self.answer(number, meta)

    def notify(self, number: int, method: str, params: dict | None = None) -> None:
        message = {"method": method} if params is None else {"method": method, "params": params}
        self.send(**message)
        self.answer(number)

    def ask(
        self, number: int, method: str, params: dict | None = None, key: object = "s-1"
    ) -> None:
        """Ask the client something; the answer of this call is the client's whole answer."""
        self.asked[key] = number
        message = {"id": key, "method": method}
        self.send(**message, **({} if params is None else {"params": params}))

    def say(self, number: int, text: str, times: int = 1) -> None:
        """Write to the standard error."""
        for _ in range(times):
            sys.stderr.buffer.write(text.encode("latin-1"))
        sys.stderr.buffer.flush()
        self.answer(number)

    def end(self, number: int, status: int, text: str = "") -> None:
        """Exit, with a last word; a negative status is a signal."""
        sys.stderr.write(text)
        sys.stderr.flush()
        if status < 0:
            os.kill(os.getpid(), -status)
        os._exit(status)

    def close_output(self, number: int) -> None:
        os.close(1)

    def close_input(self, number: int) -> None:
        """Read no more, and keep the output open until the parent is gone."""
        os.close(0)
        signal.pause()

    def spawn(self, number: int) -> None:
        """Start a process that outlives its parent unless somebody ends it."""
        code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        started = subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
        self.answer(number, started.pid)


def main() -> None:
    """Serve until the input ends.

    `--ignore-eof`, `--ignore-sigterm`, `--diary FILE`, `--mute METHOD` (once), `--end-at METHOD`,
    `--modern`: answers `server/discover` as revision 2026-07-28 has it, and refuses `initialize`.
    """
    options = sys.argv[1:]
    diary = None
    muted = options[options.index("--mute") + 1] if "--mute" in options else None
    if "--diary" in options:
        diary = open(options[options.index("--diary") + 1], "a", buffering=1)  # noqa: SIM115

    def note(event: str) -> None:
        if diary is not None:
            diary.write(event + "\n")

    def on_sigterm(*_: object) -> None:
        note("sigterm")
        if "--ignore-sigterm" not in options:
            os._exit(0)

    signal.signal(signal.SIGTERM, on_sigterm)
    note(f"start {os.getpid()}")
    server = Server(muted)
    if "--end-at" in options:
        server.ends_at = options[options.index("--end-at") + 1]
    if "--modern" in options:
        RESULTS["server/discover"] = DISCOVERED
    server.serve()
    note("eof")
    while "--ignore-eof" in options:
        signal.pause()
    note("exit")


if __name__ == "__main__":
    main()
