"""What authorization fails with, under the names of ``mcp.client.auth``."""

from __future__ import annotations

from toolbridge.exceptions import MCPError

__all__ = ["OAuthFlowError", "OAuthRegistrationError", "OAuthTokenError"]


class OAuthFlowError(MCPError):
    """Authorization with an MCP server was refused, or failed on its way."""


class OAuthTokenError(OAuthFlowError):
    """The authorization server gave no token, or none that can be used."""


class OAuthRegistrationError(OAuthFlowError):
    """The authorization server did not register this client."""
