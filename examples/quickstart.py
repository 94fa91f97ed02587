"""A question that needs a tool, from the MCP server to the final answer.

Starts a real MCP server (``mcp-server-time``) over stdio, offers its tools to a model, calls the
tool that the model asks for, and prints what the model makes of the result.

With ``OPENAI_API_KEY`` set (and ``OPENAI_BASE_URL``, for any OpenAI-compatible endpoint) it asks
that model; ``TOOLBRIDGE_EXAMPLE_MODEL`` chooses another than ``gpt-4o``. Without a key it starts a
scripted stand-in on loopback and says so.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from typing import Any

from scripted_model import model as chosen_model

import toolbridge
from toolbridge import experimental_mcp_client
from toolbridge.mcp import ClientSession, StdioServerParameters
from toolbridge.mcp.client.stdio import stdio_client

QUESTION = "What time is it in Paris right now?"


def time_server() -> StdioServerParameters:
    """Find the server: its own command, or the module of this interpreter."""
    command = shutil.which("mcp-server-time")
    if command is not None:
        return StdioServerParameters(command=command)
    return StdioServerParameters(command=sys.executable, args=["-m", "mcp_server_time"])


async def ask(session: ClientSession, model: str, options: dict[str, Any]) -> None:
    """Ask the question and follow the model through one tool call."""
    tools = await experimental_mcp_client.load_mcp_tools(session=session, format="openai")
    print("\nTools of the MCP server, in OpenAI format:")
    print(json.dumps(tools, indent=2))

    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    print(f"\nQuestion: {QUESTION}")
    response = await toolbridge.acompletion(model=model, messages=messages, tools=tools, **options)
    message = response.choices[0].message
    if not message.tool_calls:
        print(f"\nThe model answered without a tool: {message.content}")
        return

    messages.append(message)
    for tool_call in message.tool_calls:
        print(f"\nTool call: {tool_call.function.name}({tool_call.function.arguments})")
        result = await experimental_mcp_client.call_openai_tool(
            session=session, openai_tool=tool_call
        )
        text = str(result.content[0].text)
        print(f"Result of the MCP server: {text}")
        messages.append({"role": "tool", "tool_call_id": tool_call.id, "content": text})

    final = await toolbridge.acompletion(model=model, messages=messages, tools=tools, **options)
    print(f"\nFinal answer: {final.choices[0].message.content}")


async def main() -> None:
    """Choose the model, open the session, ask."""
    with chosen_model() as (model, options):
        async with (
            stdio_client(time_server()) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            await ask(session, model, options)


if __name__ == "__main__":
    asyncio.run(main())
