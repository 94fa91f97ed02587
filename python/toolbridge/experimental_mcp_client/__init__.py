"""The bridge from MCP tools to the tools of models, and from their tool calls back to MCP.

The names are those of LiteLLM's ``experimental_mcp_client``. Sessions and tools are taken from
:mod:`toolbridge.mcp` and from the official ``mcp`` package, 1.x and 2.x alike.
"""

from __future__ import annotations

from toolbridge.experimental_mcp_client.tools import (
    call_mcp_tool,
    call_openai_tool,
    load_mcp_tools,
)

__all__ = ["call_mcp_tool", "call_openai_tool", "load_mcp_tools"]
