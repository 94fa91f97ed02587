"""Authorization by a person in a browser: authorization code with PKCE."""

from __future__ import annotations

from toolbridge.mcp.client._arguments import check_str, type_error
from toolbridge.mcp.client.auth.provider import Provider
from toolbridge.mcp.shared.auth import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta
    from typing import Any

    from toolbridge.mcp.client.auth.storage import TokenStorage
    from toolbridge.mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

__all__ = ["OAuthClientProvider", "PKCEParameters"]


class PKCEParameters:
    """A secret and what is shown of it (RFC 7636, S256), for code that does PKCE itself.

    The providers make their own.

    Attributes:
        code_verifier: The secret.
        code_challenge: What the authorization request shows of it.
    """

    __slots__ = ("code_challenge", "code_verifier")

    def __init__(self, *, code_verifier: str, code_challenge: str) -> None:
        """See the class."""
        self.code_verifier = code_verifier
        self.code_challenge = code_challenge

    @classmethod
    def generate(cls) -> PKCEParameters:
        """Make a new secret."""
        import hashlib
        import secrets
        from base64 import urlsafe_b64encode

        verifier = secrets.token_urlsafe(64)
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = urlsafe_b64encode(digest).decode().rstrip("=")
        return cls(code_verifier=verifier, code_challenge=challenge)

    def __repr__(self) -> str:
        return f"PKCEParameters(code_challenge={self.code_challenge!r})"


class OAuthClientProvider(Provider):
    """Authorization by a person, who agrees in a browser (OAuth 2.1, authorization code).

    The authorization server is discovered (RFC 9728, RFC 8414, OpenID Connect), the client is the
    stored one, the document at ``client_metadata_url`` where the server reads it, or registers
    itself. Tokens are refreshed once for all who wait, credentials are kept apart by issuer, and a
    wider scope is asked for when the server wants it.

    Args:
        server_url: The endpoint of the MCP server; the token goes to its origin alone.
        client_metadata: What the client says about itself when it registers: an
            ``OAuthClientMetadata`` (of the official SDK too) or a dict. Its first redirect URI is
            where the browser comes back to.
        storage: A ``TokenStorage``. Default: tokens are kept as long as the provider.
        redirect_handler: ``(url)``, a coroutine function that takes the person to the URL.
        callback_handler: ``()``, a coroutine function that gives an ``AuthorizationCodeResult``, a
            dict, or ``(code, state)`` once the browser has come back.
        timeout: How long all of it may take, the person included, in seconds or as a ``timedelta``.
            Default: 300 s. None: without limit.
        client_metadata_url: An https URL with a path that serves the client's metadata; it is the
            client's id where the server supports that. Default: the client registers.
        validate_resource_url: ``(server_url, resource)``, a coroutine function that raises if the
            resource of the server's metadata (or None) is not the server's. Default: it must be
            the server or a parent of it.
        client_info: A client that is registered already, with ``client_id`` and mostly
            ``client_secret``. Default: the stored one, or a new one.
        issuer: The only authorization server that gets to see the client. Default: the one that the
            MCP server names.
        dpop: True binds the tokens to a new key (RFC 9449) and refuses others, a P-256 key in PEM
            binds them to that one, False never does. Default: where the server asks for it.
        allow_undeclared_pkce: Takes an authorization server whose metadata leaves out
            ``code_challenge_methods_supported``, though the specification forbids it.

    Raises:
        ConfigurationError: ``server_url`` or the key cannot be used.
        TypeError: An argument has a type that it does not take.
        ValueError: ``client_metadata_url`` is not an https URL with a path.
    """

    def __init__(
        self,
        server_url: str,
        client_metadata: OAuthClientMetadata | dict[str, Any],
        storage: TokenStorage | None = None,
        redirect_handler: Callable[[str], Awaitable[None]] | None = None,
        callback_handler: Callable[[], Awaitable[Any]] | None = None,
        timeout: timedelta | float | str | None = 300.0,
        client_metadata_url: str | Callable[..., Any] | None = None,
        validate_resource_url: Callable[[str, str | None], Awaitable[None]] | None = None,
        *,
        client_info: OAuthClientInformationFull | dict[str, Any] | None = None,
        issuer: str | None = None,
        dpop: bool | str | None = None,
        allow_undeclared_pkce: bool = False,
    ) -> None:
        """See the class."""
        if isinstance(timeout, str):
            # SDK 2 has no timeout, and its next two arguments in this place.
            url, timeout = timeout, 300.0
            if callable(client_metadata_url):
                validate_resource_url = client_metadata_url
            client_metadata_url = url
        handlers = (
            ("redirect_handler", redirect_handler),
            ("callback_handler", callback_handler),
            ("validate_resource_url", validate_resource_url),
        )
        for name, handler in handlers:
            if handler is not None and not callable(handler):
                raise type_error(name, "a coroutine function or None", handler)
        if client_metadata_url is not None:
            _check_metadata_url(client_metadata_url)
        metadata = _fields("client_metadata", client_metadata)
        super().__init__(
            server_url,
            storage,
            self._grant(metadata),
            timeout,
            dpop,
            client_metadata=metadata,
            client_metadata_url=client_metadata_url,
            client=None if client_info is None else _fields("client_info", client_info),
            scope=metadata.get("scope"),
            issuer=issuer,
            checks_resource=validate_resource_url is not None,
            allows_undeclared_pkce=bool(allow_undeclared_pkce),
        )
        if redirect_handler is not None:
            self._questions["redirect_handler"] = redirect_handler
        if callback_handler is not None:
            self._callback_handler = callback_handler
            self._questions["callback_handler"] = self._callback
        if validate_resource_url is not None:
            check = validate_resource_url
            self._questions["validate_resource_url"] = lambda both: check(*both)

    def _grant(self, metadata: dict[str, Any]) -> str:  # noqa: ARG002 - others look at it
        return "authorization_code"

    async def _callback(self, _: None) -> Any:
        """Wait for the browser; SDK 1 gives a tuple, SDK 2 an object."""
        found = await self._callback_handler()
        if isinstance(found, tuple):
            found = dict(zip(("code", "state", "iss"), found, strict=False))
        return found


def _check_metadata_url(url: object) -> None:
    from urllib.parse import urlsplit

    check_str("client_metadata_url", url)
    parts = urlsplit(str(url))
    if parts.scheme != "https" or parts.path in {"", "/"}:
        message = f"client_metadata_url must be an https URL with a path, such as https://example.com/client.json; found {url!r}"
        raise ValueError(message)


def _fields(name: str, value: object) -> dict[str, Any]:
    try:
        found = plain(value)
    except TypeError:
        found = None
    if not isinstance(found, dict):
        raise type_error(name, "a dict or an object of toolbridge.mcp.shared.auth", value)
    return found
