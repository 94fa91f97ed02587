"""A server that asks for a completion gets one: a small model answers it, inside of a run.

Starts a server of its own (``python sampling.py serve``) with one tool, which asks whoever calls it to
write a line. Without ``OPENAI_API_KEY`` the models are a scripted stand-in.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from scripted_model import model

from toolbridge import Client, SamplingModel
from toolbridge.mcp import StdioServerParameters

SERVERS = {"poet": StdioServerParameters(command=sys.executable, args=["sampling.py", "serve"])}
QUESTION = {"role": "user", "content": "Write a line about the sea."}
TOOL = {
    "name": "write_line",
    "description": "Write a line of a poem",
    "inputSchema": {"type": "object"},
}
ASKED = {
    "messages": [{"role": "user", "content": {"type": "text", "text": "One line about the sea."}}],
    "systemPrompt": "You are a poet.",
    "maxTokens": 50,
}


async def main() -> None:
    """Run the loop with one model, and answer the server with another."""
    with model() as (name, options):
        # With a key it may be any other model: SamplingModel("gpt-4o-mini").
        sampler = SamplingModel(name, **options)
        async with Client(SERVERS, sampling_callback=sampler) as client:
            result = await client.run(name, [QUESTION], **options)
    for call in result.calls:
        print(f"{call.name} gave: {call.result.content[0].text}")
    print(f"\n{result.text}")


def send(**message: Any) -> None:
    """Send a message of the server."""
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def serve() -> None:
    """Be the server, on the standard library alone: a tool that cannot write and asks who can."""
    called = None
    for line in sys.stdin:
        message = json.loads(line)
        asked, method = message.get("id"), message.get("method")
        if method == "initialize":
            about = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "poet", "version": "1.0"},
            }
            send(id=asked, result=about)
        elif method == "tools/list":
            send(id=asked, result={"tools": [TOOL]})
        elif method == "tools/call":
            called = asked
            send(id="line", method="sampling/createMessage", params=ASKED)
        elif asked == "line":
            said = message["result"]
            text = f"{said['content']['text']} (by {said['model']})"
            send(id=called, result={"content": [{"type": "text", "text": text}]})
        elif asked is not None:
            send(id=asked, error={"code": -32601, "message": f"no method {method}"})


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        asyncio.run(main())
