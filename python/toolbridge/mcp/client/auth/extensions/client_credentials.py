"""Authorization of machines, under the names of the official SDK: client credentials."""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import check_str, type_error
from toolbridge.mcp.client.auth.oauth2 import OAuthClientProvider
from toolbridge.mcp.client.auth.provider import Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta
    from typing import Any

    from toolbridge.mcp.client.auth.storage import TokenStorage

__all__ = [
    "ClientCredentialsOAuthProvider",
    "JWTParameters",
    "PrivateKeyJWTOAuthProvider",
    "RFC7523OAuthClientProvider",
    "SignedJWTParameters",
    "static_assertion_provider",
]

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class ClientCredentialsOAuthProvider(Provider):
    """Authorization of a client with a secret (OAuth 2.1, client credentials).

    Args:
        server_url: The endpoint of the MCP server; the token goes to its origin alone.
        storage: A ``TokenStorage``. Default: tokens are kept as long as the provider.
        client_id: The client.
        client_secret: Its secret.
        token_endpoint_auth_method: ``client_secret_basic`` or ``client_secret_post``.
        scope: The scope to ask for, beside what the server names. Default: none.
        issuer: The only authorization server that gets to see the secret. Default: the one that the
            MCP server names; give it, and no server can ask for the secret of another.
        timeout: How long it may take, in seconds or as a ``timedelta``. Default: 300 s.
        dpop: As for ``OAuthClientProvider``.

    Raises:
        ConfigurationError: ``server_url`` or the key cannot be used.
        TypeError: An argument has a type that it does not take.
        ValueError: ``token_endpoint_auth_method`` is neither of the two.
    """

    def __init__(
        self,
        server_url: str,
        storage: TokenStorage | None,
        client_id: str,
        client_secret: str,
        token_endpoint_auth_method: str = "client_secret_basic",  # noqa: S107 - a method
        scope: str | None = None,
        issuer: str | None = None,
        *,
        timeout: timedelta | float | None = 300.0,
        dpop: bool | str | None = None,
    ) -> None:
        """See the class."""
        check_str("client_id", client_id)
        check_str("client_secret", client_secret)
        check_method(token_endpoint_auth_method)
        super().__init__(
            server_url,
            storage,
            "client_credentials",
            timeout,
            dpop,
            client={
                "client_id": client_id,
                "client_secret": client_secret,
                "token_endpoint_auth_method": token_endpoint_auth_method,
            },
            scope=scope,
            issuer=issuer,
        )


class PrivateKeyJWTOAuthProvider(Provider):
    """Authorization of a client with a signed JWT (client credentials, RFC 7523 section 2.2).

    Args:
        server_url: The endpoint of the MCP server; the token goes to its origin alone.
        storage: A ``TokenStorage``. Default: tokens are kept as long as the provider.
        client_id: The client.
        assertion_provider: ``(audience)``, a coroutine function that gives the JWT for the issuer
            of the authorization server; see ``SignedJWTParameters`` and
            ``static_assertion_provider``.
        scope: The scope to ask for, beside what the server names. Default: none.
        issuer: The only authorization server that gets an assertion. Default: the one that the MCP
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
        storage: TokenStorage | None,
        client_id: str,
        assertion_provider: Callable[[str], Awaitable[str]],
        scope: str | None = None,
        issuer: str | None = None,
        *,
        timeout: timedelta | float | None = 300.0,
        dpop: bool | str | None = None,
    ) -> None:
        """See the class."""
        check_str("client_id", client_id)
        check_callable("assertion_provider", assertion_provider)
        super().__init__(
            server_url,
            storage,
            "client_credentials",
            timeout,
            dpop,
            client={"client_id": client_id, "token_endpoint_auth_method": "private_key_jwt"},
            scope=scope,
            issuer=issuer,
        )
        self._questions["assertion_provider"] = lambda both: assertion_provider(both[0])


def static_assertion_provider(token: str) -> Callable[[str], Awaitable[str]]:
    """Make an assertion provider that always gives the same JWT.

    Args:
        token: The JWT.
    """
    check_str("token", token)

    async def provider(audience: str) -> str:  # noqa: ARG001 - the JWT has its audience already
        return token

    return provider


class SignedJWTParameters:
    """What a JWT says that the client signs itself.

    Args:
        issuer: Mostly the client id.
        subject: Mostly the client id.
        signing_key: The private key, in PEM.
        signing_algorithm: ``RS256``, ``RS384``, ``RS512``, ``PS256``, ``PS384``, ``PS512``,
            ``ES256``, ``ES384`` or ``EdDSA``.
        lifetime_seconds: How long the JWT can be used, in seconds.
        additional_claims: Whatever else it says. Default: nothing.
    """

    __slots__ = (
        "_signing_key",
        "additional_claims",
        "issuer",
        "lifetime_seconds",
        "signing_algorithm",
        "subject",
    )

    def __init__(
        self,
        *,
        issuer: str,
        subject: str,
        signing_key: str,
        signing_algorithm: str = "RS256",
        lifetime_seconds: int = 300,
        additional_claims: dict[str, Any] | None = None,
    ) -> None:
        """See the class."""
        for name, value in (("issuer", issuer), ("subject", subject), ("signing_key", signing_key)):
            check_str(name, value)
        self.issuer = issuer
        self.subject = subject
        self._signing_key = signing_key
        self.signing_algorithm = signing_algorithm
        self.lifetime_seconds = lifetime_seconds
        self.additional_claims = additional_claims

    def create_assertion_provider(self) -> Callable[[str], Awaitable[str]]:
        """Make an assertion provider that signs a new JWT for each audience.

        Returns:
            A coroutine function; it raises ``ConfigurationError`` if the key cannot be used.
        """

        async def provider(audience: str) -> str:
            return self._sign(audience)

        return provider

    def _sign(self, audience: str) -> str:
        import time
        from uuid import uuid4

        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": audience,
            "exp": now + self.lifetime_seconds,
            "iat": now,
            "jti": str(uuid4()),
            **(self.additional_claims or {}),
        }
        return _toolbridge.sign_jwt(claims, self._signing_key, self.signing_algorithm)

    def __repr__(self) -> str:
        return f"SignedJWTParameters(issuer={self.issuer!r}, subject={self.subject!r})"


class JWTParameters:
    """What SDK 1 calls the JWT of ``RFC7523OAuthClientProvider``.

    Args:
        assertion: A JWT that is made already; the others are not needed then.
        issuer: Mostly the client id.
        subject: Mostly the client id.
        audience: Whom the JWT is for. Default: the issuer of the authorization server.
        claims: Whatever else it says. Default: nothing.
        jwt_signing_algorithm: As for ``SignedJWTParameters``.
        jwt_signing_key: The private key, in PEM.
        jwt_lifetime_seconds: How long the JWT can be used, in seconds.
    """

    __slots__ = ("_assertion", "_audience", "_signed")

    def __init__(
        self,
        *,
        assertion: str | None = None,
        issuer: str | None = None,
        subject: str | None = None,
        audience: str | None = None,
        claims: dict[str, Any] | None = None,
        jwt_signing_algorithm: str | None = "RS256",
        jwt_signing_key: str | None = None,
        jwt_lifetime_seconds: int = 300,
    ) -> None:
        """See the class."""
        self._assertion = assertion
        self._audience = audience
        self._signed = None
        if assertion is None:
            if issuer is None or subject is None or jwt_signing_key is None:
                message = "give assertion, or issuer, subject and jwt_signing_key"
                raise ValueError(message)
            self._signed = SignedJWTParameters(
                issuer=issuer,
                subject=subject,
                signing_key=jwt_signing_key,
                signing_algorithm=jwt_signing_algorithm or "RS256",
                lifetime_seconds=jwt_lifetime_seconds,
                additional_claims=claims,
            )

    def to_assertion(self, with_audience_fallback: str | None = None) -> str:
        """Give the JWT.

        Args:
            with_audience_fallback: Whom it is for, if nothing else says so.

        Raises:
            ConfigurationError: The key cannot be used.
            ValueError: Nothing says whom the JWT is for.
        """
        if self._signed is None:
            return self._assertion or ""
        audience = self._audience or with_audience_fallback
        if not audience:
            message = "give audience or with_audience_fallback: the JWT has to be for somebody"
            raise ValueError(message)
        return self._signed._sign(audience)

    def __repr__(self) -> str:
        return f"JWTParameters({'made already' if self._signed is None else self._signed!r})"


class RFC7523OAuthClientProvider(OAuthClientProvider):
    """Authorization with a JWT as SDK 1 has it; deprecated there, and gone in SDK 2.

    The JWT is the grant where the client's ``grant_types`` have
    ``urn:ietf:params:oauth:grant-type:jwt-bearer``, and proves who the client is otherwise. Use
    ``WorkloadIdentityOAuthProvider`` or ``PrivateKeyJWTOAuthProvider`` instead.

    Args:
        server_url: As for ``OAuthClientProvider``, like all up to ``timeout``.
        client_metadata: What the client says about itself.
        storage: A ``TokenStorage``. Default: tokens are kept as long as the provider.
        redirect_handler: Takes the person to a URL.
        callback_handler: Waits until the browser has come back.
        timeout: How long all of it may take, in seconds or as a ``timedelta``. Default: 300 s.
        jwt_parameters: The JWT.

    Raises:
        ConfigurationError: ``server_url`` cannot be used.
        TypeError: An argument has a type that it does not take.
    """

    def __init__(
        self,
        server_url: str,
        client_metadata: Any,
        storage: TokenStorage | None = None,
        redirect_handler: Callable[[str], Awaitable[None]] | None = None,
        callback_handler: Callable[[], Awaitable[Any]] | None = None,
        timeout: timedelta | float | None = 300.0,
        jwt_parameters: JWTParameters | None = None,
    ) -> None:
        """See the class."""
        import warnings

        warnings.warn(
            "RFC7523OAuthClientProvider is deprecated; use WorkloadIdentityOAuthProvider or "
            "PrivateKeyJWTOAuthProvider",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(
            server_url, client_metadata, storage, redirect_handler, callback_handler, timeout
        )
        if jwt_parameters is not None:
            jwt = jwt_parameters
            self._questions["assertion_provider"] = lambda both: jwt.to_assertion(both[0])

    def _grant(self, metadata: dict[str, Any]) -> str:
        is_bearer = _JWT_BEARER in metadata.get("grant_types", ())
        return "jwt_bearer" if is_bearer else "authorization_code"


def check_method(method: object) -> None:
    """Take the ways to show a secret."""
    if method not in {"client_secret_basic", "client_secret_post"}:
        message = (
            "token_endpoint_auth_method takes client_secret_basic or client_secret_post; found "
            f"{method!r}"
        )
        raise ValueError(message)


def check_callable(name: str, value: Any) -> None:
    """Take a function."""
    if not callable(value):
        raise type_error(name, "a coroutine function", value)
