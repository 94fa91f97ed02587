"""A stdio MCP server with tools for the tests of the loop; on the standard library alone."""

import json
import sys
import threading

SCHEMA = {
    "add": {"a": {"type": "number"}, "b": {"type": "number"}},
    "fail": {"why": {"type": "string"}},
    "hang": {"diary": {"type": "string"}},
    "note": {"diary": {"type": "string"}},
    "get_weather": {"city": {"type": "string"}},
}
lock = threading.Lock()
hanging = {}


def send(message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def note(diary, word):
    with open(diary, "a", encoding="utf-8") as file:
        file.write(word + "\n")


def call(message):
    params = message["params"]
    arguments = params.get("arguments", {})
    name = params["name"]
    if name == "hang":
        note(arguments["diary"], "begun")
        hanging[message["id"]] = arguments["diary"]
        token = params.get("_meta", {}).get("progressToken")
        if token is not None:
            report = {"progressToken": token, "progress": 1}
            send({"method": "notifications/progress", "params": report})
        return
    text, is_error = "noted", False
    if name == "add":
        text = str(arguments["a"] + arguments["b"])
    elif name == "get_weather":
        text = f"It is sunny in {arguments['city']}."
    elif name == "fail":
        text, is_error = f"it failed: {arguments['why']}", True
    else:
        note(arguments["diary"], "noted")
    result = {"content": [{"type": "text", "text": text}], "isError": is_error}
    send({"id": message["id"], "result": result})


def tools():
    for name, properties in SCHEMA.items():
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        yield {"name": name, "description": f"{name} it", "inputSchema": schema}


for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if method == "initialize":
        version = message["params"]["protocolVersion"]
        result = {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "agent", "version": "1"},
        }
        send({"id": message["id"], "result": result})
    elif method == "tools/list":
        send({"id": message["id"], "result": {"tools": list(tools())}})
    elif method == "tools/call":
        call(message)
    elif method == "notifications/cancelled":
        diary = hanging.pop(message["params"]["requestId"], None)
        if diary is not None:
            note(diary, "cancelled")
    elif "id" in message:
        error = {"code": -32601, "message": f"there is no {method}"}
        send({"id": message["id"], "error": error})
