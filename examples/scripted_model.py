"""A stand-in for a model: an OpenAI-compatible endpoint on loopback that follows a script.

It asks for a tool as soon as it is offered one, and repeats the tool's result as its answer. It
understands nothing; the examples use it where no key for a real model is set.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ARGUMENTS: dict[str, dict[str, Any]] = {
    "get_current_time": {"timezone": "Europe/Paris"},
    "add": {"a": 3, "b": 5},
}


def reply(body: dict[str, Any]) -> dict[str, Any]:
    """Write the message that the script has for this request."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"The tool says: {last['content']}"}
    if not body.get("tools"):
        return {"role": "assistant", "content": "No tool was offered."}
    name = body["tools"][0]["function"]["name"]
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(ARGUMENTS.get(name, {}))},
    }
    return {"role": "assistant", "content": None, "tool_calls": [call]}


class Handler(BaseHTTPRequestHandler):
    """Answers ``POST /v1/chat/completions``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = reply(body)
        finish = "tool_calls" if "tool_calls" in message else "stop"
        answer = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent; the example prints what matters."""


@contextmanager
def scripted_model() -> Iterator[str]:
    """Serve the stand-in while the block runs; gives its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
