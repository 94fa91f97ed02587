"""A small MCP server with one tool, on the standard library alone.

The examples of the documentation start it as ``python3 ./mcp_server.py``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

ADD_TOOL = {
    "name": "add",
    "description": "Add two numbers",
    "inputSchema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


def call_tool(params: dict[str, Any]) -> dict[str, Any]:
    """Run the tool that the client names."""
    if params["name"] != "add":
        return {
            "content": [{"type": "text", "text": f"unknown tool: {params['name']}"}],
            "isError": True,
        }
    arguments = params["arguments"]
    total = arguments["a"] + arguments["b"]
    return {"content": [{"type": "text", "text": str(total)}], "isError": False}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """Answer one request; None for a method that this server does not have."""
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "adder", "version": "1.0"},
        }
    if method == "tools/list":
        return {"tools": [ADD_TOOL]}
    if method == "tools/call":
        return call_tool(params)
    return {} if method == "ping" else None


def main() -> None:
    """Answer every request on standard input, a JSON-RPC message a line."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message["method"], message.get("params", {}))
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            reply["error"] = {"code": -32601, "message": f"no method {message['method']}"}
        else:
            reply["result"] = result
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
