"""An MCP server on stdio for connections that last; standard library only.

`lasting.py FILE [--tools NAME…] [--slow-start FIFO] [--mute]`: each start adds a line to FILE. The
tools: `echo` gives its arguments back; `die` ends the process in the middle of the call, `die_once`
only if it was not called in an earlier process; `add_tool` adds a tool and says so; `hold` never
answers; `pid`. `safe_*` tools say that they only read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def send(message: dict) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tool(name: str) -> dict:
    annotations = {"readOnlyHint": True} if name.startswith("safe_") else {}
    return {"name": name, "inputSchema": {"type": "object"}, "annotations": annotations}


def call(name: str, arguments: dict, diary: Path, tools: list[str]) -> object:
    with diary.open("a") as file:
        file.write(f"call {name}\n")
    if name.endswith("die"):
        os._exit(3)
    if name.endswith("die_once") and diary.read_text().count(f"call {name}\n") == 1:
        os._exit(3)
    if name == "add_tool":
        tools.append(arguments["name"])
        send({"method": "notifications/tools/list_changed"})
    if name == "pid":
        return os.getpid()
    return arguments


def main() -> None:
    diary = Path(sys.argv[1])
    options = sys.argv[2:]
    with diary.open("a") as file:
        file.write(f"start {os.getpid()}\n")
    if "--mute" in options:
        for _ in sys.stdin:
            pass
        return
    tools = ["echo", "die", "safe_die", "die_once", "safe_die_once", "add_tool", "hold", "pid"]
    if "--tools" in options:
        tools = options[options.index("--tools") + 1 :]
    for line in sys.stdin:
        message = json.loads(line)
        method, number = message["method"], message.get("id")
        if number is None:
            continue
        with diary.open("a") as file:
            file.write(f"{method}\n")
        if method == "initialize":
            info = {"name": "lasting", "version": "1"}
            capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
            result: dict = {
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "serverInfo": info,
            }
        elif method == "tools/list":
            result = {"tools": [tool(name) for name in tools]}
        elif method == "tools/call":
            params = message["params"]
            if params["name"] == "hold":
                continue
            value = call(params["name"], params.get("arguments", {}), diary, tools)
            text = {"type": "text", "text": json.dumps(value)}
            result = {"content": [text], "structuredContent": {"value": value}}
        elif method == "server/discover":
            send({"id": number, "error": {"code": -32601, "message": "unknown"}})
            continue
        else:
            result = {}
        send({"id": number, "result": result})


if __name__ == "__main__":
    main()
