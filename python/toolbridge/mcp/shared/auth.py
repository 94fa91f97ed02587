"""The values of authorization, by the names of ``mcp.shared.auth``.

They are plain JSON objects with attributes: what a server wrote is kept, nothing is validated, and
what may be a secret is not shown by ``repr``. Models of the official SDK are accepted wherever one
of these is.
"""

from __future__ import annotations

from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = [
    "AuthorizationCodeResult",
    "OAuthClientInformationFull",
    "OAuthClientMetadata",
    "OAuthMetadata",
    "OAuthToken",
    "ProtectedResourceMetadata",
]

_SECRETS = frozenset(
    {"access_token", "refresh_token", "id_token", "client_secret", "code", "state"}
    | {"registration_access_token"}
)


def plain(value: Any) -> Any:
    """Turn a value of ours or of the official SDK into a dict; None stays None."""
    if value is None or isinstance(value, dict):
        found = value
    elif isinstance(value, Object):
        found = value.to_dict()
    elif hasattr(value, "model_dump"):
        found = value.model_dump(mode="json", exclude_none=True)
    else:
        message = f"an object with fields is needed, not {type(value).__name__}"
        raise TypeError(message)
    if found is None:
        return None
    return {key: _text(item) for key, item in found.items() if item is not None}


def _text(value: Any) -> Any:
    """Turn the URL objects of pydantic into texts."""
    if isinstance(value, list):
        return [_text(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float, dict)):
        return value
    return str(value)


class _Value(Object):
    """A value whose secrets are not shown."""

    __slots__ = ()

    @classmethod
    def model_validate_json(cls, json_data: str | bytes, **_ignored: Any) -> Self:
        """Make a value from JSON text.

        Args:
            json_data: An object, as text.

        Raises:
            TypeError: The text is no object.
            ValueError: The text is no JSON.
        """
        import json

        return cls.model_validate(json.loads(json_data))

    def _shown(self) -> list[tuple[str, object]]:
        return [
            (key, "…" if key in _SECRETS and value is not None else value)
            for key, value in self._data.items()
        ]

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self._shown())
        return f"{type(self).__name__}({shown})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - the values are flat
        printer.text(repr(self))


class OAuthToken(_Value):
    """What a token endpoint gives (RFC 6749, section 5.1).

    ``expires_at``, in seconds since 1970, is added when the tokens arrive, so that they can be
    stored and are still known to end.
    """

    __slots__ = ()

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a type of token
    expires_in: int | None
    expires_at: int | None
    scope: str | None
    refresh_token: str | None


class AuthorizationCodeResult(_Value):
    """What an authorization server sends back through the browser.

    ``error`` and ``error_description`` say why the person, or the server, refused.
    """

    __slots__ = ()

    code: str | None
    state: str | None
    iss: str | None
    error: str | None
    error_description: str | None


def _is_no_uri(value: object) -> bool:
    return value is None or isinstance(value, (bytes, bool, int, float, list, dict))


class _ClientFields(_Value):
    """What a client and its registration have in common (RFC 7591)."""

    __slots__ = ()

    redirect_uris: list[str] | None
    token_endpoint_auth_method: str | None
    grant_types: list[str]
    response_types: list[str]
    scope: str | None
    client_name: str | None
    client_uri: str | None
    logo_uri: str | None
    contacts: list[str] | None
    tos_uri: str | None
    policy_uri: str | None
    jwks_uri: str | None
    jwks: dict[str, Any] | None
    software_id: str | None
    software_version: str | None
    application_type: str | None

    def __init__(self, **fields: Any) -> None:
        if fields.get("redirect_uris") is not None:
            given = fields["redirect_uris"]
            if not isinstance(given, (list, tuple)) or any(map(_is_no_uri, given)):
                found = type(given).__name__
                if isinstance(given, (list, tuple)):
                    found += " with " + ", ".join({type(one).__name__ for one in given})
                message = f"redirect_uris takes a list of str or URL objects; found {found}"
                raise TypeError(message)
            fields["redirect_uris"] = [str(one) for one in fields["redirect_uris"]]
        fields.setdefault("grant_types", ["authorization_code", "refresh_token"])
        fields.setdefault("response_types", ["code"])
        super().__init__(**fields)


class OAuthClientMetadata(_ClientFields):
    """What a client says about itself when it registers (RFC 7591, section 2).

    Args:
        **fields: ``redirect_uris``, ``client_name``, ``grant_types`` (default: authorization code
            and refresh token), ``response_types`` (default: code), ``scope``,
            ``token_endpoint_auth_method`` (default: one that the server takes),
            ``application_type`` (default: by the first redirect URI) and whatever else the server
            knows.

    Raises:
        TypeError: ``redirect_uris`` is no list of texts.
        ValueError: One of them is no absolute URI.
    """

    __slots__ = ()

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        for uri in self.redirect_uris or ():
            if ":" not in uri:
                message = (
                    f"redirect_uris has {uri!r}, which is no absolute URI; give one such as "
                    "http://127.0.0.1:8000/callback"
                )
                raise ValueError(message)


class OAuthClientInformationFull(_ClientFields):
    """A registered client (RFC 7591, section 3.2.1).

    ``issuer`` says with which authorization server; a client without it is shown to any.
    """

    __slots__ = ()

    client_id: str
    client_secret: str | None
    client_id_issued_at: int | None
    client_secret_expires_at: int | None
    issuer: str | None


class OAuthMetadata(_Value):
    """The metadata of an authorization server (RFC 8414, section 2)."""

    __slots__ = ()

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None
    scopes_supported: list[str] | None
    response_types_supported: list[str] | None
    grant_types_supported: list[str] | None
    token_endpoint_auth_methods_supported: list[str] | None
    code_challenge_methods_supported: list[str] | None
    client_id_metadata_document_supported: bool | None
    authorization_response_iss_parameter_supported: bool | None


class ProtectedResourceMetadata(_Value):
    """The metadata of a protected resource (RFC 9728, section 2)."""

    __slots__ = ()

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str] | None
    bearer_methods_supported: list[str] | None
    dpop_bound_access_tokens_required: bool | None
