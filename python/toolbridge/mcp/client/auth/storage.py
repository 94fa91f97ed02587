"""Where tokens and registered clients are kept between sessions."""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import check_str, type_error
from toolbridge.mcp.shared.auth import OAuthClientInformationFull, OAuthToken, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any, Protocol
else:
    # `typing` is not imported for one class of the user's, who may inherit from it.
    class Protocol:
        """Stands in for that of ``typing``."""

        __slots__ = ()


__all__ = ["FileTokenStorage", "TokenStorage"]


class TokenStorage(Protocol):
    """What the user implements to keep tokens; its methods are called on the user's loop.

    They may give values of this package, of the official SDK, or dicts.
    """

    async def get_tokens(self) -> Any:
        """Give the tokens that were stored last, or None."""

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Store tokens instead of those before."""

    async def get_client_info(self) -> Any:
        """Give the client that was stored last, or None."""

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Store a client; its ``issuer`` says with whom it is registered."""


class FileTokenStorage:
    """Keeps tokens in a file that only its owner can read.

    The file may hold the tokens of many servers, and be used by several processes at once; it is
    replaced as a whole, so it is never half written. Clients are kept by authorization server.

    Args:
        path: The file, or a link to it; it is made when there is something to keep, its folder must
            exist.
        server_url: The server whose part of the file this is. Default: that of the provider that
            the storage is given to.

    Raises:
        TypeError: An argument has a type that it does not take.
        ValueError: ``path`` is no name of a file.
    """

    __slots__ = ("_file", "_path")

    def __init__(self, path: str | PathLike[str], server_url: str | None = None) -> None:
        """See the class."""
        from os import fspath

        accepted = "a str or a path object"
        if not isinstance(path, str) and not hasattr(path, "__fspath__"):
            raise type_error("path", accepted, path)
        name = fspath(path)
        if not isinstance(name, str):
            raise type_error("path", accepted, name)
        if not name or "\0" in name:
            found = "empty" if not name else f"{name!r}, with a NUL in it"
            message = f"path is {found}; it takes the name of a file for the tokens"
            raise ValueError(message)
        if server_url is not None:
            check_str("server_url", server_url)
        self._path = path
        self._file = _toolbridge.TokenFile(path, "" if server_url is None else server_url)

    def for_server(self, server_url: str) -> FileTokenStorage:
        """Give the part of the file that belongs to another server.

        Args:
            server_url: The URL of the server's endpoint.
        """
        return type(self)(self._path, server_url)

    async def get_tokens(self) -> OAuthToken | None:
        """Give the tokens of the server, or None.

        Raises:
            OAuthFlowError: The file cannot be read, or is none of tokens.
        """
        found = await self._file.tokens()
        return None if found is None else OAuthToken.model_validate(found)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep tokens of the server instead of those before.

        Raises:
            OAuthFlowError: The file cannot be written.
        """
        await self._file.set_tokens(plain(tokens))

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Give the client that was kept last for the server, or None.

        Raises:
            OAuthFlowError: The file cannot be read, or is none of tokens.
        """
        found = await self._file.client()
        return None if found is None else OAuthClientInformationFull.model_validate(found)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep a client for the server and the client's issuer.

        Raises:
            OAuthFlowError: The file cannot be written.
        """
        await self._file.set_client(plain(client_info))

    def __repr__(self) -> str:
        return f"FileTokenStorage({str(self._path)!r})"


class MemoryTokenStorage:
    """Keeps tokens for as long as the provider lives; what providers without a storage use."""

    __slots__ = ("_client", "_tokens")

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._tokens: Any = None
        self._client: Any = None

    async def get_tokens(self) -> Any:
        """Give the tokens."""
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep the tokens."""
        self._tokens = tokens

    async def get_client_info(self) -> Any:
        """Give the client."""
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep the client."""
        self._client = client_info
