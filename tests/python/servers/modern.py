"""What a server of revision 2026-07-28 answers, for scripts of `http_scripted.Server`."""

from __future__ import annotations

import json

from servers.http_scripted import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from servers.http_scripted import Exchange

VERSION = "2026-07-28"
OBJECT = {"type": "object"}


def tool(name: str, properties: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A tool as it is listed."""
    return {"name": name, "inputSchema": {**OBJECT, "properties": dict(properties or {})}, **more}


def listing(tools: Sequence[Mapping[str, Any]], **more: Any) -> Callable[[Exchange], None]:
    """Answers `tools/list`."""

    def action(exchange: Exchange) -> None:
        fields = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **more}
        exchange.result({**fields, "tools": list(tools)})

    return action


def refuse(exchange: Exchange, code: int, message: str, status: int = 400) -> None:
    """Answer with an error."""
    error = {"code": code, "message": message}
    text = {"jsonrpc": "2.0", "id": exchange.request.message["id"], "error": error}
    exchange.respond(status, json.dumps(text), "application/json")


def structured(value: Any, **more: Any) -> dict[str, Any]:
    """A structured result of a call."""
    return {"resultType": "complete", "content": [], "structuredContent": value, **more}


def told(exchange: Exchange, name: str, **params: Any) -> None:
    """Tell something on the stream of a subscription."""
    meta = {"io.modelcontextprotocol/subscriptionId": exchange.request.message["id"]}
    message = {"jsonrpc": "2.0", "method": f"notifications/{name}"}
    exchange.event({**message, "params": {**params, "_meta": meta}})


def modern(**script: Callable[[Exchange], object]) -> Server:
    """A server of that revision; it has no sessions."""
    return Server(session=None, **script)
