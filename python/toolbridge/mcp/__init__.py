"""MCP client sessions, under the names of the official SDK.

Replace ``mcp`` by ``toolbridge.mcp`` in an import and the code goes on working:
``Client``, ``ClientSession``, ``StdioServerParameters``, ``stdio_client``, ``types``, ``MCPError``.
"""

from __future__ import annotations

from toolbridge.exceptions import InputRequiredRoundsExceededError, MCPError, McpError
from toolbridge.mcp import types
from toolbridge.mcp.client.client import Client
from toolbridge.mcp.client.session import ClientSession
from toolbridge.mcp.client.stdio import StdioServerParameters, stdio_client

__all__ = [
    "Client",
    "ClientSession",
    "InputRequiredRoundsExceededError",
    "MCPError",
    "McpError",
    "StdioServerParameters",
    "stdio_client",
    "types",
]
