"""The transports and the sessions, each in the module where the official SDK has it."""

from __future__ import annotations

from toolbridge.mcp.client.client import Client
from toolbridge.mcp.client.session import ClientSession

__all__ = ["Client", "ClientSession"]
