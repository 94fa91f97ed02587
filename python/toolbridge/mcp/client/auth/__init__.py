"""Authorization of MCP sessions over HTTP, under the names of ``mcp.client.auth``.

A provider is given as ``auth=`` to ``streamable_http_client``, ``streamablehttp_client`` and
``sse_client``. It follows the authorization of the MCP specification, revisions 2025-03-26 to
2026-07-28, and the extensions for machines: client credentials, enterprise-managed authorization,
workload identity and DPoP. One provider may serve many connections to its server at once, and asks
a person once for all of them.
"""

from __future__ import annotations

from toolbridge.mcp.client.auth.exceptions import (
    OAuthFlowError,
    OAuthRegistrationError,
    OAuthTokenError,
)
from toolbridge.mcp.client.auth.loopback import LoopbackRedirect, loopback_redirect, visit
from toolbridge.mcp.client.auth.oauth2 import OAuthClientProvider, PKCEParameters
from toolbridge.mcp.client.auth.storage import FileTokenStorage, TokenStorage
from toolbridge.mcp.shared.auth import AuthorizationCodeResult

__all__ = [
    "AuthorizationCodeResult",
    "FileTokenStorage",
    "LoopbackRedirect",
    "OAuthClientProvider",
    "OAuthFlowError",
    "OAuthRegistrationError",
    "OAuthTokenError",
    "PKCEParameters",
    "TokenStorage",
    "loopback_redirect",
    "visit",
]
