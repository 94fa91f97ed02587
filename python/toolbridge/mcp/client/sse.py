"""The HTTP+SSE transport of revision 2024-11-05: one event stream, and POSTs beside it.

Follows the transport of that revision of the MCP specification and the names of
``mcp.client.sse``. HTTP itself is the native module's; this file holds the signature.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import type_error
from toolbridge.mcp.client._http import (
    DEFAULT_MAXIMUM_MESSAGE_BYTES,
    HttpArguments,
    HttpTransport,
)
from toolbridge.mcp.client._streams import TransportStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from typing import Any

__all__ = ["sse_client"]


class sse_client(HttpTransport):  # noqa: N801 - the official name of this context manager
    """Connect to a server over HTTP+SSE; an asynchronous context manager of ``(read, write)``.

    It may be closed from any task, thread or event loop, before or after the session. Redirects are
    followed to the same origin, with 307 and 308.

    Args:
        url: The URL of the event stream.
        headers: Sent with every request. Default: none.
        timeout: How long a connection, and the delivery of a message, may take, in seconds or as a
            ``timedelta``. Default: 5 s. None: without limit.
        sse_read_timeout: How long the stream may be silent before the connection ends, in seconds
            or as a ``timedelta``. Default: 300 s. None: without limit.
        httpx_client_factory: ``(headers, timeout, auth)``, gives an ``httpx.AsyncClient`` whose
            headers, credentials, timeouts and certificates are used; it sends nothing itself.
            Default: none is asked.
        auth: A bearer token, a ``(user, password)`` tuple, an ``httpx.BasicAuth`` or a provider of
            ``toolbridge.mcp.client.auth``. Default: none.
        on_session_created: ``(session_id)``, called once if the server names the session.
        verify: False accepts anybody's certificate; a path is a file of PEM certificates that
            vouch for the server. Default: the certificates of the system.
        cert: A file with a client certificate and its key, both PEM. Default: none.
        proxy: The URL of an HTTP proxy, ``http://user:password@host:port``. Default: those of the
            environment (``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``).
        uds: The path of a Unix socket that is connected to instead of the host of ``url``; a
            ``url`` of ``http+unix://%2Fpath%2Fof.sock/mcp`` says the same. Default: none.
        maximum_message_bytes: The largest message that is read, in bytes. Default: 256 MiB. The
            caller of a larger answer gets a ``TransportError``.

    Raises:
        TransportError: The server could not be reached, refused, or is none of this transport;
            the message names its origin.
        ConfigurationError: ``url``, a header or a file with certificates cannot be used.
        TypeError: An argument has a type that it does not take.
        ValueError: The client of the factory has settings that are not used.
    """

    __slots__ = ("_on_session_created",)

    def __init__(
        self,
        url: str,
        headers: Mapping[str, Any] | None = None,
        timeout: timedelta | float | None = 5.0,
        sse_read_timeout: timedelta | float | None = 300.0,
        httpx_client_factory: Callable[..., Any] | None = None,
        auth: object = None,
        on_session_created: Callable[[str], object] | None = None,
        *,
        verify: bool | str = True,
        cert: str | None = None,
        proxy: str | None = None,
        uds: str | None = None,
        maximum_message_bytes: int = DEFAULT_MAXIMUM_MESSAGE_BYTES,
    ) -> None:
        """See the class."""
        if on_session_created is not None and not callable(on_session_created):
            raise type_error("on_session_created", "a function or None", on_session_created)
        arguments = HttpArguments(
            url,
            headers,
            timeout,
            sse_read_timeout,
            None if httpx_client_factory is not None else auth,
            verify,
            cert,
            proxy,
            uds,
            ("maximum_message_bytes", maximum_message_bytes),
        )
        super().__init__(arguments, httpx_client_factory, auth)
        self._on_session_created = on_session_created

    async def __aenter__(self) -> tuple[TransportStream, TransportStream]:
        """Open the event stream."""
        arguments = await self._prepare()
        self._connection = await _toolbridge.open_sse(arguments, self._on_session_created)
        session_id = self._connection.session_id()
        if self._on_session_created is not None and session_id is not None:
            self._on_session_created(session_id)
        return TransportStream(self._connection), TransportStream(self._connection)
