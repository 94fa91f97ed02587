"""One server, whatever it is and whichever revision it speaks.

The names and signatures are those of ``mcp.Client``; the rules by which the revision and the
transport are found are those of the MCP specification 2026-07-28.
"""

from __future__ import annotations

from toolbridge.exceptions import ConfigurationError, ConnectionClosedError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import (
    check_bool,
    check_object,
    check_url,
    stream_error,
    type_error,
)
from toolbridge.mcp.client._engine import DEFAULT_MAXIMUM_ROUNDS
from toolbridge.mcp.client._streams import TransportStream
from toolbridge.mcp.client._verbs import Verbs
from toolbridge.mcp.client.caching import DEFAULT_CACHE, read_cache
from toolbridge.mcp.client.session import ClientSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta
    from types import TracebackType
    from typing import Any, Self

    from toolbridge.mcp.client.caching import CacheConfig
    from toolbridge.mcp.client.stdio import StdioServerParameters
    from toolbridge.mcp.client.streamable_http import streamable_http_client
    from toolbridge.mcp.client.subscriptions import Listening
    from toolbridge.mcp.client.tasks import TaskHandle
    from toolbridge.objects import Object

__all__ = ["Client"]

LEGACY_PROTOCOL_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_PROTOCOL_VERSIONS = ("2026-07-28",)


class Client(Verbs):
    """A client of one server; an asynchronous context manager.

    ``async with Client("https://example.com/mcp") as client: await client.call_tool("add", {…})``.
    Entering it connects and agrees on a revision; leaving it closes everything. It is entered once.

    Args:
        server: A URL, a ``StdioServerParameters``, or the context manager of a transport of this
            package, such as ``sse_client(…)``.
        mode: ``"auto"`` speaks the latest revision that the server knows, and over a URL whichever
            HTTP transport; what it finds is remembered for the process. ``"legacy"`` begins with
            ``initialize``, as revisions to 2025-11-25 do. ``"2026-07-28"`` speaks that revision
            without asking first.
        read_timeout_seconds: How long each request waits for its answer, in seconds or as a
            ``timedelta``. Default: for as long as the connection lives.
        sampling_callback: ``(context, params) -> CreateMessageResult``; plain or ``async``. A
            `toolbridge.SamplingModel` is one that asks a model.
        sampling_capabilities: What the sampling callback can do. Default: what it says itself, as a
            `toolbridge.SamplingModel` does, or nothing particular.
        list_roots_callback: ``(context) -> ListRootsResult``.
        logging_callback: ``(params)``, called with each log line of the server, in wire order.
        log_level: The least important log lines that are wanted, as in ``"warning"``, of a server
            that speaks 2026-07-28. Default: none are.
        message_handler: ``(message)``, called with each notification and with an exception for what
            is not MCP.
        client_info: The name and version that the server is told. Default: this package's.
        prior_discover: What the server said of itself earlier, for ``mode="2026-07-28"``. Default:
            nothing is known of it.
        elicitation_callback: ``(context, params) -> ElicitResult``.
        input_required_max_rounds: How often one call is repeated because the server wants input.
        discover_timeout_seconds: How long a child process may be silent about ``server/discover``
            before it counts as one that does not know it, in seconds or as a ``timedelta``.
        validate_output: Whether structured results are checked against the output schema of their
            tool; one that does not fit is a ``ToolOutputError``, which is a ``RuntimeError``.
        cache: How results are kept that the server allows to be (``ttlMs``, ``cacheScope`` of
            2026-07-28). Default: for as long as it says, for this client alone. None keeps nothing.
        http_client: For a URL, as are all that follow: see ``streamable_http_client``.
        headers: Sent with every request. Default: none.
        timeout: How long a connection may take, in seconds or as a ``timedelta``. Default: 30 s.
        sse_read_timeout: How long an answer may be silent, likewise. Default: 300 s.
        auth: Credentials. Default: none.
        verify: Whose certificates are accepted. Default: those that the system trusts.
        cert: A client certificate. Default: none.
        max_sse_event_size: The largest message that is read, in bytes. Default: 256 MiB.
        terminate_on_close: Whether the server is told that a session is over. Default: True.

    Raises:
        TypeError: An argument has a type that it does not take; the message names it.
        ValueError: ``mode`` is none of those, or an argument that is for a URL was given without one.
    """

    def __init__(
        self,
        server: str | StdioServerParameters | AbstractAsyncContextManager[Any],
        *,
        mode: str = "auto",
        read_timeout_seconds: timedelta | float | None = None,
        sampling_callback: Callable[..., Any] | None = None,
        sampling_capabilities: Mapping[str, Any] | Object | None = None,
        list_roots_callback: Callable[..., Any] | None = None,
        logging_callback: Callable[..., Any] | None = None,
        log_level: str | None = None,
        message_handler: Callable[..., Any] | None = None,
        client_info: Mapping[str, Any] | Object | None = None,
        prior_discover: types.DiscoverResult | None = None,
        elicitation_callback: Callable[..., Any] | None = None,
        input_required_max_rounds: int = DEFAULT_MAXIMUM_ROUNDS,
        discover_timeout_seconds: timedelta | float = 10,
        validate_output: bool = True,
        cache: CacheConfig | None = DEFAULT_CACHE,
        http_client: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | float | None = 30,
        sse_read_timeout: timedelta | float | None = 300,
        auth: object = None,
        verify: bool | str = True,
        cert: str | None = None,
        max_sse_event_size: int | None = None,
        terminate_on_close: bool = True,
    ) -> None:
        """See the class."""
        _check_mode(mode)
        if prior_discover is not None:
            check_object("prior_discover", prior_discover)
        http = {
            "http_client": http_client,
            "headers": headers,
            "timeout": timeout,
            "sse_read_timeout": sse_read_timeout,
            "auth": auth,
            "verify": verify,
            "cert": cert,
            "max_sse_event_size": max_sse_event_size,
            "terminate_on_close": terminate_on_close,
        }
        self._transport = _transport(server, http)
        self._is_url = _is_url(server)
        self._is_stdio = hasattr(server, "command")
        self._mode = mode
        self._terminate_on_close = check_bool("terminate_on_close", terminate_on_close)
        self._prior_discover = prior_discover
        self._made = ClientSession._unopened(
            read_timeout_seconds=read_timeout_seconds,
            sampling_callback=sampling_callback,
            elicitation_callback=elicitation_callback,
            list_roots_callback=list_roots_callback,
            logging_callback=logging_callback,
            message_handler=message_handler,
            client_info=client_info,
            sampling_capabilities=sampling_capabilities,
            log_level=log_level,
            input_required_max_rounds=input_required_max_rounds,
            discover_timeout_seconds=discover_timeout_seconds,
            validate_output=validate_output,
            cache=read_cache(cache, str(server) if _is_url(server) else None),
        )
        self._entered: Any = None
        self._connected: ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Connect, and agree on a revision.

        Raises:
            TransportError: The server could not be reached; nothing is left open.
            MCPError: The server refused, or there is no revision in common.
        """
        if self._entered is not None:
            message = "this Client was entered before; make a new one for another connection"
            raise RuntimeError(message)
        self._entered = self._transport
        try:
            if self._is_url:
                await self._enter_url()
            else:
                await self._enter_transport(self._mode)
        except ConnectionClosedError:
            if not self._is_stdio or self._mode != "auto":
                raise
            # There are servers that end when the first message is not the handshake.
            self._transport = self._entered = self._transport._again()
            self._made._forget()
            try:
                await self._enter_transport("legacy")
            except BaseException:
                await self._leave()
                raise
        except BaseException:
            await self._leave()
            raise
        self._connected = self._made
        return self

    async def _enter_url(self) -> None:
        arguments = await self._transport._prepare()
        await self._made._connect_http(
            arguments, self._mode, self._known(), terminate_on_close=self._terminate_on_close
        )

    def _known(self) -> types.DiscoverResult | None:
        """What is known of the server without asking it."""
        return None if self._mode in {"auto", "legacy"} else self._prior_discover

    async def _enter_transport(self, mode: str) -> None:
        streams = await self._transport.__aenter__()
        if not isinstance(streams, tuple):
            # Another context manager; `toolbridge.Client` takes many servers.
            raise stream_error("read_stream", streams)
        for name, stream in zip(("read_stream", "write_stream"), streams, strict=False):
            if not isinstance(stream, TransportStream):
                raise stream_error(name, stream)
        self._made._start(streams[0]._connection)
        known = self._known()
        if known is None:
            await self._made._connect(mode)
        else:
            self._made.adopt(known)

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the session and all that is under it."""
        self._connected = None
        await self._leave()

    async def _leave(self) -> None:
        try:
            await self._made.aclose()
        finally:
            if not self._is_url:
                await self._entered.__aexit__(None, None, None)

    @property
    def session(self) -> ClientSession:
        """The session under the client.

        Raises:
            RuntimeError: The client has not been entered, or was left.
        """
        if self._connected is None:
            message = "the client is not connected; use: async with Client(…) as client"
            raise RuntimeError(message)
        return self._connected

    @property
    def protocol_version(self) -> str:
        """The revision of MCP that was agreed on."""
        version = self.session.protocol_version
        assert version is not None  # noqa: S101 - a connected session has one
        return version

    @property
    def server_info(self) -> types.Implementation | None:
        """The server's name and version, if it said."""
        return self.session.server_info

    @property
    def server_capabilities(self) -> types.ServerCapabilities:
        """What the server can do."""
        capabilities = self.session.server_capabilities
        return types.ServerCapabilities._wrap({}) if capabilities is None else capabilities

    @property
    def instructions(self) -> str | None:
        """How the server wants to be used, if it said."""
        return self.session.instructions

    def listen(
        self,
        *,
        tools_list_changed: bool = False,
        prompts_list_changed: bool = False,
        resources_list_changed: bool = False,
        resource_subscriptions: Sequence[str] = (),
    ) -> Listening:
        """Subscribe to changes at the server; see ``ClientSession.listen``."""
        return self.session.listen(
            tools_list_changed=tools_list_changed,
            prompts_list_changed=prompts_list_changed,
            resources_list_changed=resources_list_changed,
            resource_subscriptions=resource_subscriptions,
        )

    async def call_tool_as_task(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
    ) -> TaskHandle:
        """Call a tool without waiting for a task; see ``ClientSession.call_tool_as_task``."""
        return await self.session.call_tool_as_task(
            name, arguments, read_timeout_seconds, progress_callback, meta=meta
        )

    def task(self, task_id: str, tool: str | None = None) -> TaskHandle:
        """Take up a task that an earlier connection began; see ``ClientSession.task``."""
        return self.session.task(task_id, tool)

    async def _request(
        self,
        method: str,
        params: dict[str, Any] | None,
        timeout: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        meta: dict[str, Any] | None = None,
        allow_input_required: bool = False,
        how: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        return await self.session._request(
            method, params, timeout, progress_callback, meta, allow_input_required, how
        )

    async def _notify(self, method: str, params: dict[str, Any] | None) -> None:
        await self.session._notify(method, params)


def _check_mode(mode: object) -> None:
    if not isinstance(mode, str):
        raise type_error("mode", "a str", mode)
    if mode in {"auto", "legacy", *MODERN_PROTOCOL_VERSIONS}:
        return
    hint = ""
    if mode in LEGACY_PROTOCOL_VERSIONS:
        hint = ": that revision begins with initialize, which is mode 'legacy'"
    accepted = ", ".join(repr(one) for one in ("auto", "legacy", *MODERN_PROTOCOL_VERSIONS))
    message = f"mode is {mode!r}; it takes {accepted}{hint}"
    raise ConfigurationError(message)


def _is_url(server: object) -> bool:
    # The URL classes of pydantic, yarl and httpx are no str.
    return isinstance(server, str) or hasattr(server, "host")


_HTTP_DEFAULTS = {
    "http_client": None,
    "headers": None,
    "timeout": 30,
    "sse_read_timeout": 300,
    "auth": None,
    "verify": True,
    "cert": None,
    "max_sse_event_size": None,
    "terminate_on_close": True,
}


def _transport(server: Any, http: dict[str, Any]) -> Any:
    """Make the context manager of the transport."""
    if _is_url(server):
        check_url("server", str(server))
        from toolbridge.mcp.client.streamable_http import streamable_http_client

        given = {name: value for name, value in http.items() if value is not None}
        # None lifts these limits.
        given.update({name: http[name] for name in ("timeout", "sse_read_timeout")})
        transport: streamable_http_client = streamable_http_client(str(server), **given)
        return transport
    for name, value in http.items():
        if value is not _HTTP_DEFAULTS[name] and value != _HTTP_DEFAULTS[name]:
            message = f"{name} is for a server behind a URL; give it to the transport instead"
            raise ValueError(message)
    if hasattr(server, "command"):
        from toolbridge.mcp.client.stdio import stdio_client

        return stdio_client(server)
    if hasattr(server, "__aenter__") and hasattr(server, "__aexit__"):
        return server
    accepted = "a URL, a StdioServerParameters or a transport such as sse_client(…)"
    raise type_error("server", accepted, server)
