"""An MCP server on stdio with a catalogue in pages, honest or not; standard library only.

The argument says how the catalogue goes on: `pages` (three pages), `repeated` (a cursor that comes
again), `endless` (new cursors for ever), `empty-cursor`, `stuck` (the second page never comes),
`mute` (not even the first one does), `broken` (a tool whose schema is a list).
"""

from __future__ import annotations

import json
import sys

PAGE = 2


def tool(number: int) -> dict:
    return {
        "name": f"tool_{number}",
        "description": f"Tool {number}",
        "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "annotations": {"readOnlyHint": True},
        "x-unknown": {"kept": None},
    }


def page(kind: str, cursor: str | None) -> dict | None:
    number = int(cursor or 0)
    tools = [tool(number * PAGE + offset) for offset in range(PAGE)]
    listing: dict = {"tools": tools}
    if kind == "broken":
        tools[1]["inputSchema"] = []
    elif kind == "mute" or (kind == "stuck" and number == 1):
        return None
    elif kind == "empty-cursor":
        listing["nextCursor"] = ""
    elif kind == "repeated":
        listing["nextCursor"] = str(min(number + 1, 2))
    elif kind in ("endless", "stuck") or number < 2:
        listing["nextCursor"] = str(number + 1)
    return listing


def answer(kind: str, method: str, params: dict) -> dict:
    if method == "initialize":
        info = {"name": "catalogue", "version": "1"}
        version = "2025-06-18"
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return page(kind, params.get("cursor"))
    if method == "tools/call":
        known = params["name"].startswith("tool_")
        text = json.dumps(params.get("arguments")) if known else f"unknown tool {params['name']}"
        return {"content": [{"type": "text", "text": text}], "isError": not known}
    return {}


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "pages"
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        result = answer(kind, message["method"], message.get("params") or {})
        if result is not None:
            reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
