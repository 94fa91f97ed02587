"""The README: every Python snippet runs as it stands, its tables are those of TOOLS.md and PROVIDERS.md, and it stays short."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
# The documents with snippets.
DOCUMENTS = [README, ROOT / "PROVIDERS.md"]
LINES = 120
SNIPPETS = [
    snippet
    for document in DOCUMENTS
    for snippet in re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
]
# What each snippet prints, in the order of the documents.
PRINTED = [
    ['"timezone": "Europe/Paris"', "It is noon in Paris. 4"],
    ["One, two, three."],
]
KEY = "sk-of-the-readme-test"


class Endpoint(BaseHTTPRequestHandler):
    """A model of few words: it asks for a tool once, and streams when asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self.answer(401, {"error": {"message": "a wrong key"}})
        elif body.get("stream"):
            self.stream(["One,", " two,", " three."])
        else:
            self.answer(200, completion(body))

    def answer(self, status: int, body: dict[str, object]) -> None:
        self.send("application/json", json.dumps(body).encode(), status)

    def stream(self, words: list[str]) -> None:
        deltas = [({"content": word}, None) for word in words]
        events = [
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "gpt-4o",
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
            }
            for delta, reason in [*deltas, ({}, "stop")]
        ]
        frames = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        self.send("text/event-stream", f"{frames}data: [DONE]\n\n".encode())

    def send(self, media_type: str, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keeps the test's output to itself."""


def completion(body: dict[str, object]) -> dict[str, object]:
    messages = body["messages"]
    assert isinstance(messages, list)
    if body.get("tools") and messages[-1]["role"] != "tool":
        tools = body["tools"]
        assert isinstance(tools, list)
        names = [tool["function"]["name"] for tool in tools]
        name = next(name for name in names if name.endswith("get_current_time"))
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": name, "arguments": '{"timezone": "Europe/Paris"}'},
        }
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        reason = "tool_calls"
    else:
        message = {"role": "assistant", "content": "It is noon in Paris."}
        reason = "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


@pytest.fixture
def base_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_every_snippet_has_its_expectation() -> None:
    assert len(SNIPPETS) == len(PRINTED)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_the_snippet_runs_as_it_stands(number: int, base_url: str, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(SNIPPETS[number], encoding="utf-8")
    servers = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        env={
            **os.environ,
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_KEY": KEY,
            "PATH": f"{servers}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert [part for part in PRINTED[number] if part not in done.stdout] == []
    assert done.stderr == ""


def test_its_tables_are_those_of_the_reference() -> None:
    name = ROOT / "scripts" / "readme_tables.py"
    spec = importlib.util.spec_from_file_location("readme_tables", name)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    readme = README.read_text(encoding="utf-8")
    tools = (ROOT / "TOOLS.md").read_text(encoding="utf-8")
    providers = (ROOT / "PROVIDERS.md").read_text(encoding="utf-8")
    assert script.rewritten(readme, tools, providers) == readme, "run `make reference`"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LINES


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link and not link.startswith("#")]
    assert files
    assert [link for link in files if not (README.parent / link).exists()] == []
