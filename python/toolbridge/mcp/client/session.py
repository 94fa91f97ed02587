"""The client session: every request of the protocol as a coroutine.

Follows the MCP specification 2025-11-25 and the names and signatures of the official SDK's
``ClientSession``, of both its majors. Results are session values (`toolbridge.mcp.types`) over
what the server sent, unknown fields included.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from toolbridge import _toolbridge
from toolbridge.exceptions import MCPError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import (
    check_number,
    check_object,
    check_str,
    read_page,
    read_seconds,
    read_uri,
    stream_error,
    type_error,
)
from toolbridge.mcp.client._callbacks import CallbackQueue, callback_context
from toolbridge.mcp.client._streams import TransportStream
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from types import TracebackType
    from typing import Any, Self

__all__ = ["ClientSession"]

_INTERNAL_ERROR = -32603
_METHOD_NOT_FOUND = -32601


class RequestContext:
    """What a callback for a request of the server is told beside the parameters.

    Attributes:
        session: The session that the request came in on.
        meta: The ``_meta`` of the request, or None.
    """

    __slots__ = ("meta", "session")

    def __init__(self, session: ClientSession, meta: dict[str, Any] | None) -> None:
        """See the class."""
        self.session = session
        self.meta = meta


class ClientSession:
    """A session with one MCP server; an asynchronous context manager.

    ``async with ClientSession(read, write) as session: await session.initialize()``. Calls may be
    made from any task; callbacks run on the event loop that entered the session.

    Args:
        read_stream: The first of the two streams of a transport of this package.
        write_stream: The second.
        read_timeout_seconds: How long each request waits for its answer, in seconds or as a
            ``timedelta``. Default: for as long as the connection lives.
        sampling_callback: ``(context, params) -> CreateMessageResult``; plain or ``async``.
        elicitation_callback: ``(context, params) -> ElicitResult``.
        list_roots_callback: ``(context) -> ListRootsResult``.
        logging_callback: ``(params)``, called with each log line of the server, in wire order.
        message_handler: ``(message)``, called with each notification (an object with ``method``
            and ``params``) and with an exception for what is not MCP.
        client_info: The name and version that the server is told. Default: this package's.
        sampling_capabilities: What the sampling callback can do. Default: nothing particular.

    Raises:
        TypeError: An argument has a type that it does not take; the message names it.
    """

    def __init__(
        self,
        read_stream: TransportStream,
        write_stream: TransportStream,
        read_timeout_seconds: timedelta | float | None = None,
        sampling_callback: Callable[..., Any] | None = None,
        elicitation_callback: Callable[..., Any] | None = None,
        list_roots_callback: Callable[..., Any] | None = None,
        logging_callback: Callable[..., Any] | None = None,
        message_handler: Callable[..., Any] | None = None,
        client_info: Mapping[str, Any] | Object | None = None,
        *,
        sampling_capabilities: Mapping[str, Any] | Object | None = None,
    ) -> None:
        """See the class."""
        for name, stream in (("read_stream", read_stream), ("write_stream", write_stream)):
            if not isinstance(stream, TransportStream):
                raise stream_error(name, stream)
        callbacks = {
            "sampling_callback": sampling_callback,
            "elicitation_callback": elicitation_callback,
            "list_roots_callback": list_roots_callback,
            "logging_callback": logging_callback,
            "message_handler": message_handler,
        }
        for name, callback in callbacks.items():
            if callback is not None and not callable(callback):
                raise type_error(name, "a function, a coroutine function or None", callback)
        for name, described in (
            ("client_info", client_info),
            ("sampling_capabilities", sampling_capabilities),
        ):
            if described is not None:
                check_object(name, described)
        if read_stream._connection is not write_stream._connection:
            message = "read_stream and write_stream belong to different connections"
            raise ValueError(message)
        self._connection = read_stream._connection
        self._timeout = read_seconds("read_timeout_seconds", read_timeout_seconds)
        self._sampling_callback = sampling_callback
        self._elicitation_callback = elicitation_callback
        self._list_roots_callback = list_roots_callback
        self._logging_callback = logging_callback
        self._message_handler = message_handler
        self._client_info = client_info
        self._sampling_capabilities = sampling_capabilities
        self._session: _toolbridge.Session | None = None
        self._callbacks: CallbackQueue | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._initialize_result: types.InitializeResult | None = None

    async def __aenter__(self) -> Self:
        """Start the session; nothing is sent yet."""
        self._callbacks = CallbackQueue()
        self._session = _toolbridge.Session(
            self._connection,
            self._on_notification,
            self._on_garbage,
            self._on_request,
            self._setup(),
        )
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the session and the server under it."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the session and the server under it; from any task, thread or loop, in any order.

        Every waiting call gets a ``ConnectionClosedError``. Closing twice does nothing.
        """
        closing = None if self._session is None else self._session.close()
        if closing is None:
            return
        await closing
        for request in tuple(self._requests):
            # A callback on a loop that was closed meanwhile has ended with it.
            with suppress(RuntimeError):
                request.get_loop().call_soon_threadsafe(request.cancel)

    # The lifecycle.

    async def initialize(self) -> types.InitializeResult:
        """Introduce the client to the server; the first request of a session.

        Returns:
            What the server says of itself; a second call gives the first answer again.

        Raises:
            MCPError: The server refused, or speaks only revisions that this client does not.
        """
        if self._initialize_result is not None:
            return self._initialize_result
        answer = await self._native().connect("legacy")
        self._initialize_result = types.InitializeResult._wrap(answer)
        return self._initialize_result

    @property
    def initialize_result(self) -> types.InitializeResult | None:
        """What the server said of itself; None before `initialize`."""
        return self._initialize_result

    @property
    def server_info(self) -> types.Implementation | None:
        """The server's name and version; None before `initialize`."""
        result = self._initialize_result
        return None if result is None else result.serverInfo

    @property
    def server_capabilities(self) -> types.ServerCapabilities | None:
        """What the server can do; None before `initialize`."""
        result = self._initialize_result
        return None if result is None else result.capabilities

    @property
    def instructions(self) -> str | None:
        """How the server wants to be used; None before `initialize` or if it did not say."""
        result = self._initialize_result
        return None if result is None else result.instructions

    @property
    def protocol_version(self) -> str | None:
        """The revision of MCP that was agreed on; None before `initialize`."""
        result = self._initialize_result
        return None if result is None else result.protocolVersion

    def get_server_capabilities(self) -> types.ServerCapabilities | None:
        """Return what the server can do; None before `initialize`."""
        return self.server_capabilities

    def _setup(self) -> dict[str, Any]:
        own = {"name": "toolbridge", "version": _toolbridge.__version__}
        return {
            "client_info": self._client_info or own,
            "capabilities": self._capabilities(),
            "log_level": None,
            "timeout": self._timeout,
            "patience": 10.0,
            "maximum_rounds": 10,
        }

    def _capabilities(self) -> dict[str, Any]:
        capabilities: dict[str, Any] = {}
        if self._sampling_callback is not None:
            capabilities["sampling"] = self._sampling_capabilities or {}
        if self._elicitation_callback is not None:
            capabilities["elicitation"] = {"form": {}, "url": {}}
        if self._list_roots_callback is not None:
            capabilities["roots"] = {"listChanged": True}
        return capabilities

    # Requests of the client.

    async def send_ping(self) -> types.EmptyResult:
        """Ask the server for a sign of life.

        Returns:
            An empty result.

        Raises:
            MCPTimeoutError: No answer within the session's ``read_timeout_seconds``.
            ConnectionClosedError: The connection ended.
        """
        return types.EmptyResult._wrap(await self._request("ping", None))

    async def list_tools(
        self, cursor: str | None = None, *, params: types.PaginatedRequestParams | None = None
    ) -> types.ListToolsResult:
        """List one page of the server's tools.

        Args:
            cursor: ``nextCursor`` of the page before. Default: the first page.
            params: The same as an object, as in the official SDK.

        Returns:
            The page: ``tools``, and ``nextCursor`` if there is another page.

        Raises:
            MCPError: The server refused.
        """
        answer = await self._request("tools/list", read_page(cursor, params))
        return types.ListToolsResult._wrap(answer)

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
    ) -> types.CallToolResult:
        """Call a tool.

        Args:
            name: The tool's name.
            arguments: Its arguments. Default: none.
            read_timeout_seconds: How long to wait for the answer, in seconds or as a
                ``timedelta``. Default: the session's.
            progress_callback: ``(progress, total, message)``, plain or ``async``; called in wire
                order, and always before this call returns.
            meta: Sent as ``_meta`` of the request. Default: none.

        Returns:
            The result. A tool that failed gives a result whose ``isError`` is true, not an
            exception.

        Raises:
            TypeError: An argument has a type that it does not take.
            MCPError: The server refused the call.
            MCPTimeoutError: No answer in time; the server is told that the call is cancelled.
            ConnectionClosedError: The connection ended first.
        """
        if type(name) is not str and not isinstance(name, str):
            raise type_error("name", "a str", name)
        if arguments is not None and not isinstance(arguments, (dict, Object)):
            raise type_error("arguments", "a dict or None", arguments)
        params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
        answer = await self._request(
            "tools/call", params, read_timeout_seconds, progress_callback, meta
        )
        return types.CallToolResult._wrap(answer)

    async def list_prompts(
        self, cursor: str | None = None, *, params: types.PaginatedRequestParams | None = None
    ) -> types.ListPromptsResult:
        """List one page of the server's prompts; see `list_tools`."""
        answer = await self._request("prompts/list", read_page(cursor, params))
        return types.ListPromptsResult._wrap(answer)

    async def get_prompt(
        self, name: str, arguments: dict[str, str] | None = None
    ) -> types.GetPromptResult:
        """Fill in a prompt.

        Args:
            name: The prompt's name.
            arguments: Its arguments. Default: none.

        Returns:
            Its messages.

        Raises:
            MCPError: The server refused, as it does for an unknown prompt.
        """
        check_str("name", name)
        if arguments is not None:
            check_object("arguments", arguments)
        params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
        return types.GetPromptResult._wrap(await self._request("prompts/get", params))

    async def list_resources(
        self, cursor: str | None = None, *, params: types.PaginatedRequestParams | None = None
    ) -> types.ListResourcesResult:
        """List one page of the server's resources; see `list_tools`."""
        answer = await self._request("resources/list", read_page(cursor, params))
        return types.ListResourcesResult._wrap(answer)

    async def list_resource_templates(
        self, cursor: str | None = None, *, params: types.PaginatedRequestParams | None = None
    ) -> types.ListResourceTemplatesResult:
        """List one page of the server's resource templates; see `list_tools`."""
        answer = await self._request("resources/templates/list", read_page(cursor, params))
        return types.ListResourceTemplatesResult._wrap(answer)

    async def read_resource(self, uri: object) -> types.ReadResourceResult:
        """Read a resource.

        Args:
            uri: Its URI, a str or an object whose ``str()`` is one.

        Returns:
            Its contents.

        Raises:
            MCPError: The server refused, as it does for an unknown resource.
        """
        return types.ReadResourceResult._wrap(
            await self._request("resources/read", {"uri": read_uri(uri)})
        )

    async def subscribe_resource(self, uri: object) -> types.EmptyResult:
        """Ask to be told when a resource changes; the notifications reach ``message_handler``."""
        return types.EmptyResult._wrap(
            await self._request("resources/subscribe", {"uri": read_uri(uri)})
        )

    async def unsubscribe_resource(self, uri: object) -> types.EmptyResult:
        """Ask to be told no longer when a resource changes."""
        return types.EmptyResult._wrap(
            await self._request("resources/unsubscribe", {"uri": read_uri(uri)})
        )

    async def complete(
        self,
        ref: Mapping[str, Any] | Object,
        argument: dict[str, str],
        context_arguments: dict[str, str] | None = None,
    ) -> types.CompleteResult:
        """Ask how an argument of a prompt or resource template may go on.

        Args:
            ref: A ``PromptReference`` or ``ResourceTemplateReference``, or a dict of its fields.
            argument: ``{"name": …, "value": what was typed so far}``.
            context_arguments: Arguments that are already known. Default: none.

        Returns:
            The completion: ``completion.values``, ``completion.total``, ``completion.hasMore``.

        Raises:
            MCPError: The server refused.
        """
        check_object("ref", ref)
        check_object("argument", argument)
        params: dict[str, Any] = {"ref": ref, "argument": argument}
        if context_arguments is not None:
            check_object("context_arguments", context_arguments)
            params["context"] = {"arguments": context_arguments}
        return types.CompleteResult._wrap(await self._request("completion/complete", params))

    async def set_logging_level(self, level: str) -> types.EmptyResult:
        """Ask for log lines of this level and above: ``"debug"``, ``"info"``, … ``"emergency"``."""
        check_str("level", level)
        return types.EmptyResult._wrap(await self._request("logging/setLevel", {"level": level}))

    # Notifications of the client.

    async def send_progress_notification(
        self,
        progress_token: str | int,
        progress: float,
        total: float | None = None,
        message: str | None = None,
    ) -> None:
        """Report the progress of a request of the server."""
        if not isinstance(progress_token, (str, int)):
            raise type_error("progress_token", "a str or an int", progress_token)
        check_number("progress", progress)
        if total is not None:
            check_number("total", total)
        if message is not None:
            check_str("message", message)
        params = {"progressToken": progress_token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        await self._notify("notifications/progress", params)

    async def send_roots_list_changed(self) -> None:
        """Tell the server that the roots have changed."""
        await self._notify("notifications/roots/list_changed", None)

    # The engine.

    def _native(self) -> _toolbridge.Session:
        if self._session is None:
            message = "the session has not been entered; use: async with ClientSession(read, write)"
            raise RuntimeError(message)
        return self._session

    async def _request(
        self,
        method: str,
        params: dict[str, Any] | None,
        timeout: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        if meta is not None and not isinstance(meta, (dict, Object)):
            raise type_error("meta", "a dict or None", meta)
        seconds = (
            self._timeout if timeout is None else read_seconds("read_timeout_seconds", timeout)
        )
        session = self._session or self._native()
        if progress_callback is None:
            answer = await session.request(method, params, meta, seconds, None)
        else:
            if not callable(progress_callback):
                raise type_error("progress_callback", "a function or None", progress_callback)
            answer = await self._request_with_progress(
                progress_callback, session, method, params, meta, seconds
            )
        callbacks = self._callbacks
        if callbacks is not None and callbacks._task is not None:
            await callbacks.drained()
        if type(answer) is not dict:
            message = (
                f"the server answered {method} with a {type(answer).__name__}, not with an object"
            )
            raise MCPError(code=_INTERNAL_ERROR, message=message)
        return answer

    async def _request_with_progress(
        self,
        callback: Callable[..., Any],
        session: _toolbridge.Session,
        method: str,
        params: dict[str, Any] | None,
        meta: dict[str, Any] | None,
        seconds: float | None,
    ) -> object:
        queue = self._callbacks
        if queue is None or not queue.is_running_here():
            queue = CallbackQueue()
        context = callback_context()

        def listener(report: dict[str, Any]) -> None:
            arguments = (report.get("progress"), report.get("total"), report.get("message"))
            queue.put("progress callback", callback, *arguments, context=context)

        answer = await session.request(method, params, meta, seconds, listener)
        await queue.drained()
        return answer

    async def _notify(self, method: str, params: dict[str, Any] | None) -> None:
        await self._native().notify(method, params)

    # What the server says unasked; called on the loop's thread, in wire order.

    def _on_notification(self, method: str, params: dict[str, Any] | None) -> None:
        callbacks = self._callbacks
        if callbacks is None:
            return
        if method == "notifications/message" and self._logging_callback is not None:
            line = types.LoggingMessageNotificationParams._wrap(params or {})
            callbacks.put("logging callback", self._logging_callback, line)
        if self._message_handler is not None:
            notification = Object._wrap({"method": method, "params": params or {}})
            callbacks.put("message handler", self._message_handler, notification)

    def _on_garbage(self, preview: str, reason: str) -> None:
        import logging

        message = f"the MCP server wrote something that is not MCP, skipped: {preview!r} ({reason})"
        logging.getLogger("toolbridge.mcp").warning("%s", message)
        if self._message_handler is not None and self._callbacks is not None:
            self._callbacks.put("message handler", self._message_handler, ValueError(message))

    def _on_request(
        self, method: str, params: dict[str, Any] | None, responder: _toolbridge.Responder
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(method, params or {}, responder))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _answer(
        self, method: str, params: dict[str, Any], responder: _toolbridge.Responder
    ) -> None:
        from inspect import isawaitable

        context = RequestContext(self, params.get("_meta"))
        try:
            if method == "sampling/createMessage" and self._sampling_callback is not None:
                wrapped = types.CreateMessageRequestParams._wrap(params)
                outcome = self._sampling_callback(context, wrapped)
            elif method == "elicitation/create" and self._elicitation_callback is not None:
                outcome = self._elicitation_callback(
                    context, types.ElicitRequestParams._wrap(params)
                )
            elif method == "roots/list" and self._list_roots_callback is not None:
                outcome = self._list_roots_callback(context)
            else:
                message = f"this client does not handle {method}"
                responder.refuse(_METHOD_NOT_FOUND, message, None)
                return
            if isawaitable(outcome):
                outcome = await outcome
            if _is_error_data(outcome):
                responder.refuse(outcome.code, outcome.message, getattr(outcome, "data", None))
            else:
                responder.answer(outcome)
        except Exception as failure:
            import logging

            logging.getLogger("toolbridge.mcp").exception("the callback for %s failed", method)
            responder.refuse(_INTERNAL_ERROR, f"{type(failure).__name__}: {failure}", None)


def _is_error_data(outcome: Any) -> bool:
    """Tell an ErrorData, ours or an official one, from a result."""
    return isinstance(outcome, types.ErrorData) or type(outcome).__name__ == "ErrorData"
