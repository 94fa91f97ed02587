"""A stand-in for a model: an OpenAI-compatible endpoint on loopback that follows a script.

It asks for a tool as soon as it is offered one, and repeats the tool's result as its answer. It
understands nothing; the examples use it where no key for a real model is set.
"""

from __future__ import annotations

import json
import os
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
    # Of many servers' tools, each has the name of its server before its own.
    arguments = ARGUMENTS.get(name.rpartition("-")[2], {})
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Cut a message into the pieces of a stream."""
    yield {"role": "assistant"}
    for word in (message["content"] or "").split(" "):
        if word:
            yield {"content": f"{word} "}
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        yield {"tool_calls": [{"index": index, "function": {"arguments": function["arguments"]}}]}


class Handler(BaseHTTPRequestHandler):
    """Answers ``POST /v1/chat/completions``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = reply(body)
        finish = "tool_calls" if "tool_calls" in message else "stop"
        about: dict[str, Any] = {
            "id": "chatcmpl-scripted",
            "created": 0,
            "model": body["model"],
        }
        if body.get("stream"):
            self.stream(about, message, finish)
            return
        answer = {
            **about,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, about: dict[str, Any], message: dict[str, Any], finish: str) -> None:
        """Send a message piece by piece."""
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas(message)
        ]
        choices.append({"index": 0, "delta": {}, "finish_reason": finish})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for choice in choices:
            chunk = {**about, "object": "chat.completion.chunk", "choices": [choice]}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent; the example prints what matters."""


@contextmanager
def model() -> Iterator[tuple[str, dict[str, Any]]]:
    """Choose the model of an example: its name, and the arguments of a call to it.

    With ``OPENAI_API_KEY`` set it is that of OpenAI, or of the endpoint in ``OPENAI_BASE_URL``;
    ``TOOLBRIDGE_EXAMPLE_MODEL`` chooses another than ``gpt-4o``. Else it is the stand-in.
    """
    name = os.environ.get("TOOLBRIDGE_EXAMPLE_MODEL", "gpt-4o")
    if os.environ.get("OPENAI_API_KEY"):
        print(f"Model: {name}")
        yield name, {}
        return
    with scripted_model() as base_url:
        print(
            "OPENAI_API_KEY is not set: the model is a STAND-IN, a script on loopback that "
            "calls the first tool and repeats its result."
        )
        yield name, {"api_base": base_url, "api_key": "not-a-key"}


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
