"""A client of the gateway that sees every byte: one connection, standard library only."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 30.0
ACCEPT = "application/json, text/event-stream"
OLD = "2025-11-25"
NEW = "2026-07-28"
INFO = {"name": "raw", "version": "1"}


def modern(
    method: str, name: str = "", **capabilities: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """The `_meta` and the headers of a request of the revision without sessions."""
    about = {"protocolVersion": NEW, "clientCapabilities": capabilities, "clientInfo": INFO}
    headers = {"mcp_protocol_version": NEW, "mcp_method": method}
    meta = {f"io.modelcontextprotocol/{key}": about[key] for key in about}
    return meta, headers | ({"mcp_name": name} if name else {})


class Client:
    """One connection, and a session if one was begun."""

    def __init__(self, place: str, path: str = "/mcp", key: str = "", **headers: str) -> None:
        self.place = place
        self.headers = headers
        self.path = path
        self.key = key
        self.http = http.client.HTTPConnection(place, timeout=PATIENCE)
        self.session = ""

    def ask(
        self, method: str, path: str, body: Any = None, key: str | None = None, **more: str
    ) -> http.client.HTTPResponse:
        headers = {"content-type": "application/json", "accept": ACCEPT}
        if key or self.key:
            headers["authorization"] = f"Bearer {key or self.key}"
        more = self.headers | more
        headers |= {name.replace("_", "-"): more[name] for name in more}
        if self.session:
            headers["mcp-session-id"] = self.session
        text = body if isinstance(body, str | None) else json.dumps(body)
        self.http.request(method, path, text, headers)
        return self.http.getresponse()

    def rpc(self, method: str, params: dict[str, Any], **more: str) -> bytes:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with self.ask("POST", self.path, message, **more) as answer:
            assert answer.status == http.client.OK, answer.read()
            self.session = answer.getheader("mcp-session-id", self.session)
            return answer.read()

    def begin(self, **capabilities: Any) -> None:
        params = {"protocolVersion": OLD, "capabilities": capabilities, "clientInfo": INFO}
        self.rpc("initialize", params)

    def end(self) -> None:
        with self.ask("DELETE", self.path) as answer:
            assert answer.status == http.client.OK


class Caller:
    """A client of one server, of either era, which calls tools."""

    def __init__(self, origin: str, path: str, era: str, **capabilities: Any) -> None:
        # No connection waits for the next call: what is open is open for something.
        self.client = Client(urlsplit(origin).netloc, path, connection="close")
        self.era = era
        self.capabilities = capabilities
        if era == OLD:
            self.client.begin(**capabilities)

    def message(
        self, tool: str, arguments: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        params: dict[str, Any] = {"name": tool, "arguments": arguments}
        headers: dict[str, str] = {}
        if self.era == NEW:
            params["_meta"], headers = modern("tools/call", tool, **self.capabilities)
        return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}, headers

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The answer to a call: the last message that comes."""
        message, headers = self.message(tool, arguments)
        with self.client.ask("POST", self.client.path, message, **headers) as answer:
            text = answer.read().decode()
        if answer.headers.get_content_type() == "text/event-stream":
            lines = text.splitlines()
            data = [line.removeprefix("data:") for line in lines if line.startswith("data:")]
            text = data[-1]
        found = json.loads(text)
        assert found["id"] == message["id"], found
        return found

    def send(self, tool: str, arguments: dict[str, Any]) -> None:
        """Send a call, whose answer nobody reads."""
        message, headers = self.message(tool, arguments)
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.client.session:
            headers["mcp-session-id"] = self.client.session
        headers |= {"content-type": "application/json", "accept": ACCEPT}
        self.client.http.request("POST", self.client.path, json.dumps(message), headers)

    def vanish(self) -> None:
        """Go in the middle; a session is ended from elsewhere."""
        self.client.http.close()
        self.close()

    def close(self) -> None:
        if self.client.session:
            self.client.end()
            self.client.session = ""
        self.client.http.close()


def metrics(origin: str) -> dict[str, float]:
    """What the gateway counts."""
    client = Client(urlsplit(origin).netloc)
    with client.ask("GET", "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    client.http.close()
    counted = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in counted}
