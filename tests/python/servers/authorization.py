"""An MCP server that wants tokens, and the authorization server that gives them; scripted.

`Protected` is the scripted MCP server with a check of the token before it. `Authorization` does
what OAuth asks for unless a test gives another answer for a path; everything that came is kept.
"""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

from servers.http_scripted import PATIENCE, Exchange, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

# What must never be seen where a person may look.
CODE, TOKEN, REFRESH = "code-hidden-1", "token-hidden-", "refresh-hidden-"
CLIENT_SECRET = "client-hidden-secret"


def claims_of(jwt: str) -> dict[str, Any]:
    """What a JWT says; its signature is tested in Rust."""
    return part_of(jwt, 1)


def part_of(jwt: str, index: int) -> dict[str, Any]:
    text = jwt.split(".")[index]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


@dataclass
class Call:
    """One request to the authorization server."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    form: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Answer:
    """What the authorization server says."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class Authorization:
    """An authorization server on the loopback interface."""

    def __init__(self, **metadata: Any) -> None:
        self.script: dict[str, Callable[[Call], Answer | None]] = {}
        self.calls: list[Call] = []
        self.news: queue.Queue[Call] = queue.Queue()
        self.metadata = metadata
        self.challenges: dict[str, str] = {}
        self.issued = 0
        # What each token was granted.
        self.scopes: dict[str, str] = {}
        self.lifetime: int | None = 3600
        self.gives_refresh = True
        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.httpd.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def paths(self) -> list[str]:
        return [call.path for call in self.calls]

    def of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    def forms(self, grant: str | None = None) -> list[dict[str, str]]:
        """The forms that came to the token endpoint."""
        return [
            call.form
            for call in self.of("/token")
            if grant is None or call.form.get("grant_type") == grant
        ]

    def wait_for(self, path: str) -> Call:
        while True:
            call = self.news.get(timeout=PATIENCE)
            if call.path == path:
                return call

    def handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                is_form = headers.get("content-type", "").startswith("application/x-www-form")
                call = Call(
                    self.command,
                    parts.path,
                    {name: all_[0] for name, all_ in parse_qs(parts.query).items()},
                    headers,
                    body,
                    {name: all_[0] for name, all_ in parse_qs(body).items()} if is_form else {},
                )
                outer.calls.append(call)
                outer.news.put(call)
                scripted = outer.script.get(parts.path)
                found = scripted(call) if scripted is not None else None
                answer = outer.well_behaved(call) if found is None else found
                text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
                with suppress(ConnectionError):
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(text.encode())))
                    self.end_headers()
                    self.wfile.write(text.encode())

            do_GET = do_POST = answer  # noqa: N815 - the names of the base class

        return Handler

    def well_behaved(self, call: Call) -> Answer:
        if call.path == "/.well-known/oauth-authorization-server":
            return Answer(body=self.document())
        if call.path == "/register":
            client = {"client_id": "registered", "redirect_uris": call.json["redirect_uris"]}
            return Answer(201, client)
        if call.path == "/authorize":
            self.challenges[CODE] = call.query["code_challenge"]
            self.asked = call.query
            back = {"code": CODE, "state": call.query["state"], "iss": self.issuer}
            return self.redirect(call, **back)
        if call.path == "/token":
            return self.token(call)
        return Answer(404, "nothing here")

    def document(self) -> dict[str, Any]:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "registration_endpoint": f"{self.issuer}/register",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            **self.metadata,
        }
        return {name: value for name, value in document.items() if value is not None}

    def redirect(self, call: Call, **back: str) -> Answer:
        location = f"{call.query['redirect_uri']}?{urlencode(back)}"
        return Answer(302, "", {"Location": location})

    def token(self, call: Call) -> Answer:
        form = call.form
        if form["grant_type"] == "authorization_code":
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if form["code"] != CODE or self.challenges.pop(CODE, None) != challenge:
                return Answer(400, {"error": "invalid_grant"})
            scope = self.asked.get("scope", "")
        else:
            scope = form.get("scope", "")
        return Answer(body=self.tokens(scope))

    def tokens(self, scope: str = "", kind: str = "Bearer") -> dict[str, Any]:
        self.issued += 1
        token = f"{TOKEN}{self.issued}"
        self.scopes[token] = scope
        given = {"access_token": token, "token_type": kind, "scope": scope}
        if self.lifetime is not None:
            given["expires_in"] = str(self.lifetime)
        if self.gives_refresh:
            given["refresh_token"] = f"{REFRESH}{self.issued}"
        return {name: value for name, value in given.items() if value != ""}


class Protected(Server):
    """The scripted MCP server, which lets only those in who have a token."""

    def __init__(self, authorization: Authorization, **script: Callable[[Exchange], object]):
        super().__init__(**script)
        self.authorization = authorization
        # The scope that a method needs.
        self.needs: dict[str, str] = {}
        self.revoked: set[str] = set()
        self.resource: dict[str, Any] | None = {
            "resource": self.url,
            "authorization_servers": [authorization.issuer],
        }
        self.challenge = f'Bearer resource_metadata="{self.origin}/metadata"'
        self.scheme = "Bearer"
        self.scope: str | None = None

    def admits(self, exchange: Exchange) -> bool:
        request = exchange.request
        if request.method == "GET" and request.path in {
            "/metadata",
            "/.well-known/oauth-protected-resource/mcp",
        }:
            if self.resource is None:
                exchange.respond(404)
            else:
                exchange.respond(200, json.dumps(self.resource), "application/json")
            return False
        if request.method == "GET" and request.path != "/mcp":
            exchange.respond(404)
            return False
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        granted = self.authorization.scopes.get(token)
        if scheme != self.scheme or granted is None or token in self.revoked:
            wanted = "" if self.scope is None else f', scope="{self.scope}"'
            header = f"WWW-Authenticate: {self.challenge}{wanted}"
            exchange.respond(401, "who?", "text/plain", header)
            return False
        needed = self.needs.get(request.name, "")
        if not set(needed.split()) <= set(granted.split()):
            challenge = f'{self.challenge}, error="insufficient_scope", scope="{needed}"'
            exchange.respond(403, "more", "text/plain", f"WWW-Authenticate: {challenge}")
            return False
        return True

    def tokens_seen(self) -> list[str]:
        """The tokens that came with the requests, in order."""
        headers = (one.headers.get("authorization", "") for one in self.seen)
        return [value for value in headers if value]


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Person:
    """Agrees at once, and brings back what the authorization server says."""

    def __init__(self, **replaced: str | None) -> None:
        self.replaced = replaced
        self.urls: list[str] = []

    async def redirect(self, url: str) -> None:
        import asyncio

        self.urls.append(url)
        self.answer = await asyncio.to_thread(self.visit, url)

    def visit(self, url: str) -> dict[str, str]:
        from urllib.error import HTTPError

        try:
            build_opener(_Stay).open(url, timeout=PATIENCE).close()
        except HTTPError as found:
            with found:
                query = urlsplit(found.headers["Location"]).query
            return {name: all_[0] for name, all_ in parse_qs(query).items()}
        message = "the authorization server did not redirect"
        raise AssertionError(message)

    async def callback(self) -> dict[str, str]:
        changed = {**self.answer, **self.replaced}
        return {name: value for name, value in changed.items() if value is not None}
