"""Authorization with the assertion of an identity provider (RFC 7523, JWT bearer).

`IdentityAssertionOAuthProvider` has the name of the official SDK's: the user brings the ID-JAG.
`EnterpriseManagedOAuthProvider` has the identity provider of the enterprise turn the person's ID
token into one. `WorkloadIdentityOAuthProvider` shows the token of a workload.
"""

from __future__ import annotations

from inspect import isawaitable

from toolbridge.mcp.client._arguments import check_str, type_error
from toolbridge.mcp.client.auth.extensions.client_credentials import check_callable, check_method
from toolbridge.mcp.client.auth.provider import Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from toolbridge.mcp.client.auth.storage import TokenStorage

__all__ = [
    "EnterpriseManagedOAuthProvider",
    "IdentityAssertionOAuthProvider",
    "WorkloadIdentityOAuthProvider",
]

_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a type of token


class IdentityAssertionOAuthProvider(Provider):
    """Authorization with an ID-JAG that the user brings (enterprise-managed authorization).

    The MCP server is not asked for its authorization server: ``issuer`` is it, and its token
    endpoint must be at the same origin, so nobody else gets the assertion or the secret.

    Args:
        server_url: The endpoint of the MCP server; the token goes to its origin alone.
        storage: A ``TokenStorage``. Default: tokens are kept as long as the provider.
        client_id: The client that the authorization server knows.
        client_secret: Its secret.
        issuer: The authorization server.
        assertion_provider: ``(audience, resource)``, a coroutine function that gives the ID-JAG for
            the issuer and the MCP server.
        scope: The scope to ask for, beside what the server names. Default: none.
        token_endpoint_auth_method: ``client_secret_post`` or ``client_secret_basic``.
        timeout: How long it may take, in seconds or as a ``timedelta``. Default: 300 s.
        dpop: As for ``OAuthClientProvider``.

    Raises:
        ConfigurationError: ``server_url`` or the key cannot be used.
        TypeError: An argument has a type that it does not take.
        ValueError: There is no secret or no issuer, or the method is neither of the two.
    """

    def __init__(
        self,
        server_url: str,
        storage: TokenStorage | None,
        client_id: str,
        client_secret: str,
        issuer: str,
        assertion_provider: Callable[[str, str], Awaitable[str]],
        scope: str | None = None,
        token_endpoint_auth_method: str = "client_secret_post",  # noqa: S107 - a method
        *,
        timeout: timedelta | float | None = 300.0,
        dpop: bool | str | None = None,
    ) -> None:
        """See the class."""
        check_str("client_id", client_id)
        for name, value in (("client_secret", client_secret), ("issuer", issuer)):
            check_str(name, value)
            if not value:
                message = f"{name} is empty; this provider needs it"
                raise ValueError(message)
        check_callable("assertion_provider", assertion_provider)
        check_method(token_endpoint_auth_method)
        super().__init__(
            server_url,
            storage,
            "jwt_bearer",
            timeout,
            dpop,
            client={
                "client_id": client_id,
                "client_secret": client_secret,
                "token_endpoint_auth_method": token_endpoint_auth_method,
            },
            scope=scope,
            issuer=issuer,
            is_issuer_fixed=True,
        )
        self._questions["assertion_provider"] = lambda both: assertion_provider(*both)


class EnterpriseManagedOAuthProvider(Provider):
    """Authorization of a person whom the identity provider of an enterprise knows.

    The identity provider exchanges the person's ID token for an assertion (ID-JAG, RFC 8693) that
    is for this MCP server and its authorization server alone, which exchanges it for a token.

    Args:
        server_url: The endpoint of the MCP server; the token goes to its origin alone.
        storage: A ``TokenStorage``. Default: tokens are kept as long as the provider.
        client_id: The client that the authorization server knows.
        client_secret: Its secret. Default: it has none.
        idp_client_id: The client that the identity provider knows.
        id_token: The ID token of the person, or a coroutine function that gives it.
        idp_token_endpoint: Where the identity provider exchanges tokens. Default: the one of the
            metadata of ``idp_issuer``.
        idp_issuer: The identity provider. Default: ``idp_token_endpoint`` says enough.
        idp_client_secret: The secret of the client at the identity provider. Default: none.
        subject_token_type: What ``id_token`` is. Default: an OpenID Connect ID token.
        scope: The scope to ask for, beside what the server names. Default: none.
        issuer: The only authorization server that gets to see the secret. Default: the one that the
            MCP server names.
        timeout: How long it may take, in seconds or as a ``timedelta``. Default: 300 s.
        dpop: As for ``OAuthClientProvider``.

    Raises:
        ConfigurationError: ``server_url`` or the key cannot be used.
        TypeError: An argument has a type that it does not take.
        ValueError: Neither ``idp_token_endpoint`` nor ``idp_issuer`` is given.
    """

    def __init__(
        self,
        server_url: str,
        storage: TokenStorage | None = None,
        *,
        client_id: str,
        client_secret: str | None = None,
        idp_client_id: str,
        id_token: str | Callable[[], Awaitable[str] | str],
        idp_token_endpoint: str | None = None,
        idp_issuer: str | None = None,
        idp_client_secret: str | None = None,
        subject_token_type: str = _ID_TOKEN,
        scope: str | None = None,
        issuer: str | None = None,
        timeout: timedelta | float | None = 300.0,
        dpop: bool | str | None = None,
    ) -> None:
        """See the class."""
        check_str("client_id", client_id)
        check_str("idp_client_id", idp_client_id)
        if not isinstance(id_token, str) and not callable(id_token):
            raise type_error("id_token", "a str or a coroutine function", id_token)
        if idp_token_endpoint is None and idp_issuer is None:
            message = "give idp_token_endpoint or idp_issuer, so that the token can be exchanged"
            raise ValueError(message)
        provider = {
            "token_endpoint": idp_token_endpoint,
            "issuer": idp_issuer,
            "client_id": idp_client_id,
            "client_secret": idp_client_secret,
            "subject_token_type": subject_token_type,
        }
        client = {"client_id": client_id}
        if client_secret is not None:
            client["client_secret"] = client_secret
        super().__init__(
            server_url,
            storage,
            {"enterprise_managed": provider},
            timeout,
            dpop,
            client=client,
            scope=scope,
            issuer=issuer,
        )
        self._id_token = id_token
        self._questions["id_token"] = self._subject_token

    async def _subject_token(self, _: None) -> str:
        if isinstance(self._id_token, str):
            return self._id_token
        found = self._id_token()
        return await found if isawaitable(found) else found


class WorkloadIdentityOAuthProvider(Provider):
    """Authorization of a workload with the token that its platform gives it (RFC 7523, JWT bearer).

    Args:
        server_url: The endpoint of the MCP server; the token goes to its origin alone.
        storage: A ``TokenStorage``. Default: tokens are kept as long as the provider.
        assertion_provider: ``(audience)``, a coroutine function that gives the workload's JWT for
            the issuer of the authorization server; ``static_assertion_provider`` makes one of a
            JWT.
        client_id: The client that the authorization server knows. Default: the JWT says enough.
        scope: The scope to ask for, beside what the server names. Default: none.
        issuer: The only authorization server that gets the JWT. Default: the one that the MCP
            server names.
        timeout: How long it may take, in seconds or as a ``timedelta``. Default: 300 s.
        dpop: As for ``OAuthClientProvider``.

    Raises:
        ConfigurationError: ``server_url`` or the key cannot be used.
        TypeError: An argument has a type that it does not take.
    """

    def __init__(
        self,
        server_url: str,
        storage: TokenStorage | None = None,
        *,
        assertion_provider: Callable[[str], Awaitable[str]],
        client_id: str | None = None,
        scope: str | None = None,
        issuer: str | None = None,
        timeout: timedelta | float | None = 300.0,
        dpop: bool | str | None = None,
    ) -> None:
        """See the class."""
        if client_id is not None:
            check_str("client_id", client_id)
        check_callable("assertion_provider", assertion_provider)
        client = {"token_endpoint_auth_method": "none"}
        if client_id is not None:
            client["client_id"] = client_id
        super().__init__(
            server_url,
            storage,
            "jwt_bearer",
            timeout,
            dpop,
            client=client,
            scope=scope,
            issuer=issuer,
        )
        self._questions["assertion_provider"] = lambda both: assertion_provider(both[0])
