"""The Streamable HTTP transport: every message a POST, answered by JSON or an event stream.

Follows the transport of the MCP specification, revisions 2025-03-26 to 2025-11-25, and the names
of ``mcp.client.streamable_http``: ``streamablehttp_client`` with three values as in SDK 1,
``streamable_http_client`` with two as in SDK 2 (SDK 1.30 has that name too, with three). HTTP
itself is the native module's, HTTP/2 where a server behind TLS offers it, else HTTP/1.1; this file
holds the signatures.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import check_bool
from toolbridge.mcp.client._http import (
    DEFAULT_MAXIMUM_MESSAGE_BYTES,
    HttpArguments,
    HttpTransport,
    unlimited,
)
from toolbridge.mcp.client._streams import TransportStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from typing import Any

__all__ = ["streamable_http_client", "streamablehttp_client"]


class _StreamableHttp(HttpTransport):
    """What both context managers do."""

    __slots__ = ("_terminate_on_close",)

    def __init__(
        self,
        arguments: HttpArguments,
        factory: Callable[..., Any] | None,
        auth: object,
        terminate_on_close: bool,
    ) -> None:
        super().__init__(arguments, factory, auth)
        self._terminate_on_close = check_bool("terminate_on_close", terminate_on_close)

    async def _open(self) -> _toolbridge.Connection:
        arguments = await self._prepare()
        self._connection = await _toolbridge.open_streamable_http(
            arguments, self._terminate_on_close
        )
        return self._connection

    def _session_id(self) -> str | None:
        return None if self._connection is None else self._connection.session_id()


class streamablehttp_client(_StreamableHttp):  # noqa: N801 - the official name
    """Connect over Streamable HTTP; an asynchronous context manager of three values.

    They are ``(read, write, get_session_id)``; the last is a function that gives the id of the
    session, or None while the server has given none. It may be closed from any task, thread or
    event loop, before or after the session. Redirects are followed to the same origin, with 307
    and 308. At most 256 requests of a session wait for their answers at once; the others wait to
    be sent.

    Args:
        url: The URL of the server's MCP endpoint.
        headers: Sent with every request. Default: none.
        timeout: How long a connection, and the delivery of a notification, may take, in seconds or
            as a ``timedelta``. Default: 30 s. None: without limit.
        sse_read_timeout: How long an answer may be silent before its call fails, in seconds or as
            a ``timedelta``. Default: 300 s. None: without limit.
        terminate_on_close: Whether the server is told, with a DELETE, that the session is over.
        httpx_client_factory: ``(headers, timeout, auth)``, gives an ``httpx.AsyncClient`` whose
            headers, credentials, timeouts and certificates are used; it sends nothing itself.
            Default: none is asked.
        auth: A bearer token, a ``(user, password)`` tuple, an ``httpx.BasicAuth`` or a provider of
            ``toolbridge.mcp.client.auth``. Default: none.
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
        ConfigurationError: ``url``, a header or a file with certificates cannot be used.
        TypeError: An argument has a type that it does not take.
        ValueError: The client of the factory has settings that are not used.
    """

    __slots__ = ()

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | float | None = 30,
        sse_read_timeout: timedelta | float | None = 300,
        terminate_on_close: bool = True,
        httpx_client_factory: Callable[..., Any] | None = None,
        auth: object = None,
        *,
        verify: bool | str = True,
        cert: str | None = None,
        proxy: str | None = None,
        uds: str | None = None,
        maximum_message_bytes: int = DEFAULT_MAXIMUM_MESSAGE_BYTES,
    ) -> None:
        """See the class."""
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
        super().__init__(arguments, httpx_client_factory, auth, terminate_on_close)

    async def __aenter__(
        self,
    ) -> tuple[TransportStream, TransportStream, Callable[[], str | None]]:
        """Prepare the connection; nothing is sent before the session's first request."""
        opened = await self._open()
        read, write = TransportStream(opened), TransportStream(opened)
        return read, write, self._session_id


class streamable_http_client(_StreamableHttp):  # noqa: N801 - the official name
    """Connect over Streamable HTTP; an asynchronous context manager of ``(read, write)``.

    As `streamablehttp_client`, without the third value and with keywords only.

    Args:
        url: The URL of the server's MCP endpoint.
        http_client: An ``httpx.AsyncClient`` whose headers, credentials, timeouts and certificates
            are used; it sends nothing itself. Default: the other arguments alone.
        terminate_on_close: Whether the server is told, with a DELETE, that the session is over.
        max_sse_event_size: The largest message that is read, in bytes. Default: 256 MiB. None:
            without limit. The caller of a larger answer gets a ``TransportError``.
        headers: Sent with every request, before those of ``http_client``. Default: none.
        timeout: How long a connection, and the delivery of a notification, may take, in seconds or
            as a ``timedelta``. Default: 30 s. None: without limit.
        sse_read_timeout: How long an answer may be silent before its call fails, in seconds or as
            a ``timedelta``. Default: 300 s. None: without limit.
        auth: A bearer token, a ``(user, password)`` tuple, an ``httpx.BasicAuth`` or a provider of
            ``toolbridge.mcp.client.auth``. Default: none.
        verify: False accepts anybody's certificate; a path is a file of PEM certificates that
            vouch for the server. Default: the certificates of the system.
        cert: A file with a client certificate and its key, both PEM. Default: none.
        proxy: The URL of an HTTP proxy, ``http://user:password@host:port``. Default: those of the
            environment (``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``).
        uds: The path of a Unix socket that is connected to instead of the host of ``url``; a
            ``url`` of ``http+unix://%2Fpath%2Fof.sock/mcp`` says the same. Default: none.

    Raises:
        ConfigurationError: ``url``, a header or a file with certificates cannot be used.
        TypeError: An argument has a type that it does not take.
        ValueError: ``http_client`` has settings that are not used; the message names them.
    """

    __slots__ = ()

    def __init__(
        self,
        url: str,
        *,
        http_client: Any = None,
        terminate_on_close: bool = True,
        max_sse_event_size: int | None = DEFAULT_MAXIMUM_MESSAGE_BYTES,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | float | None = 30,
        sse_read_timeout: timedelta | float | None = 300,
        auth: object = None,
        verify: bool | str = True,
        cert: str | None = None,
        proxy: str | None = None,
        uds: str | None = None,
    ) -> None:
        """See the class."""
        arguments = HttpArguments(
            url,
            headers,
            timeout,
            sse_read_timeout,
            auth,
            verify,
            cert,
            proxy,
            uds,
            ("max_sse_event_size", unlimited(max_sse_event_size)),
        )
        if http_client is not None:
            arguments.add_client("http_client", http_client)
        super().__init__(arguments, None, auth, terminate_on_close)

    async def __aenter__(self) -> tuple[TransportStream, TransportStream]:
        """Prepare the connection; nothing is sent before the session's first request."""
        opened = await self._open()
        return TransportStream(opened), TransportStream(opened)
