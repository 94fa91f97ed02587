"""An endpoint that judges what it gets and answers as the provider's documentation says.

What is wrong with a request, by the official SDK's own types, is the error of its answer and stays in
``refused``. What it answers is in ``tests/fixtures/llm/answers``, for each protocol one text and one tool
call, whole and as a stream.
"""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from judges import requests
from scripted_aws import events, frame

ANSWERS = Path(__file__).parents[2] / "fixtures/llm/answers"
# Protocols whose streams are no server-sent events: the fixture's suffix, and the content type.
STREAMS = {
    "ollama": ("ndjson", "application/x-ndjson"),
    "bedrock": ("events", "application/vnd.amazon.eventstream"),
    "sagemaker": ("sse", "application/vnd.amazon.eventstream"),
}


# Protocols that answer as another one does.
ANSWERED_AS = {
    "anthropic_on_vertex": "anthropic",
    "mistral": "chat",
    "sagemaker": "chat",
    "watsonx": "chat",
}


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict
    body: dict
    # The body as it came, which a signature is over.
    text: bytes = b""
    method: str = "POST"


@dataclass
class Judge:
    """A running endpoint for one protocol."""

    protocol: str
    origin: str = ""
    received: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    # Members of a body that its caller sends on purpose, although the SDK does not know them.
    strange: frozenset = frozenset()
    # Whether everything is taken: what somebody else sends is only recorded.
    is_lenient: bool = False
    # The status and the body of an error that is given in the place of answers.
    error: tuple | None = None

    def take(self, path, headers, text):
        """The status, the content type and the bytes of the answer to a request."""
        body = json.loads(text)
        self.received.append(Received(path, headers, body, text))
        known = {name: value for name, value in body.items() if name not in self.strange}
        problems = [] if self.is_lenient else getattr(requests, self.protocol)(known)
        if problems:
            self.refused.append(problems)
            error = {"error": {"message": "; ".join(problems), "type": "invalid_request_error"}}
            return 400, "application/json", json.dumps(error).encode()
        if self.error is not None:
            status, error = self.error
            return status, "application/json", json.dumps(error).encode()
        return 200, *self.answer(path, body)

    def answer(self, path, body):
        kind = "tools" if body.get("tools") or body.get("toolConfig") else "text"
        suffix, content_type = STREAMS.get(self.protocol, ("sse", "text/event-stream"))
        is_stream = bool(body.get("stream")) or "stream" in path.lower()
        if not is_stream:
            suffix, content_type = "json", "application/json"
        name = ANSWERED_AS.get(self.protocol, self.protocol)
        text = (ANSWERS / f"{name}.{kind}.{suffix}").read_bytes()
        if suffix == "events":
            text = events(*map(json.loads, text.splitlines()))
        elif is_stream and self.protocol == "sagemaker":
            text = frame(text, message_type="event", event_type="PayloadPart")
        return content_type, text


@contextmanager
def judging(protocol, strange=(), *, is_lenient=False):
    """An endpoint for that protocol, on loopback."""
    judge = Judge(protocol, strange=frozenset(strange), is_lenient=is_lenient)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            length = int(self.headers["Content-Length"])
            text = self.rfile.read(length)
            status, content_type, answer = judge.take(self.path, dict(self.headers), text)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            # Hundreds of endpoints in one process: none keeps a connection that nobody uses again.
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        judge.origin = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield judge
        finally:
            server.shutdown()
            thread.join()
