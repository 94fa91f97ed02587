"""The client session over the streams of a transport.

Follows the MCP specification, revisions 2024-11-05 to 2026-07-28, and the names and signatures of the
official SDK's ``ClientSession``, of both its majors.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import (
    check_object,
    check_str,
    read_seconds,
    stream_error,
)
from toolbridge.mcp.client._callbacks import CallbackQueue
from toolbridge.mcp.client._engine import DEFAULT_MAXIMUM_ROUNDS, Engine, RequestContext
from toolbridge.mcp.client._streams import TransportStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType
    from typing import Any, Self

    from toolbridge.mcp.client._http import HttpArguments
    from toolbridge.mcp.client.subscriptions import Listening
    from toolbridge.mcp.client.tasks import TaskHandle
    from toolbridge.objects import Object

__all__ = ["ClientSession", "RequestContext"]

_SERVER_INFO = "io.modelcontextprotocol/serverInfo"


class ClientSession(Engine):
    """A session with one MCP server; an asynchronous context manager.

    ``async with ClientSession(read, write) as session: await session.initialize()``. Calls may be
    made from any task; callbacks run on the event loop that entered the session. ``Client`` finds
    out by itself which revision a server speaks.

    Args:
        read_stream: The first of the two streams of a transport of this package.
        write_stream: The second.
        read_timeout_seconds: How long each request waits for its answer, in seconds or as a
            ``timedelta``. Default: for as long as the connection lives.
        sampling_callback: ``(context, params) -> CreateMessageResult``; plain or ``async``. A
            `toolbridge.SamplingModel` is one that asks a model.
        elicitation_callback: ``(context, params) -> ElicitResult``.
        list_roots_callback: ``(context) -> ListRootsResult``.
        logging_callback: ``(params)``, called with each log line of the server, in wire order.
        message_handler: ``(message)``, called with each notification (an object with ``method``
            and ``params``) and with an exception for what is not MCP.
        client_info: The name and version that the server is told. Default: this package's.
        sampling_capabilities: What the sampling callback can do. Default: what it says itself, as a
            `toolbridge.SamplingModel` does, or nothing particular.
        log_level: The least important log lines that are wanted, as in ``"warning"``, of a server
            that speaks 2026-07-28. Default: none are.
        input_required_max_rounds: How often one call is repeated because the server wants input.
        validate_output: Whether structured results are checked against the output schema of their
            tool; one that does not fit is a ``ToolOutputError``, which is a ``RuntimeError``.

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
        log_level: str | None = None,
        input_required_max_rounds: int = DEFAULT_MAXIMUM_ROUNDS,
        validate_output: bool = True,
    ) -> None:
        """See the class."""
        for name, stream in (("read_stream", read_stream), ("write_stream", write_stream)):
            if not isinstance(stream, TransportStream):
                raise stream_error(name, stream)
        super().__init__(
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
            validate_output=validate_output,
        )
        if read_stream._connection is not write_stream._connection:
            message = "read_stream and write_stream belong to different connections"
            raise ValueError(message)
        self._forget()
        self._connection: _toolbridge.Connection | None = read_stream._connection

    def _forget(self) -> None:
        self._connection = None
        self._session = None
        self._renewals = 0
        self._version: str | None = None
        self._initialize_result: types.InitializeResult | None = None
        self._discover_result: types.DiscoverResult | None = None

    @classmethod
    def _unopened(cls, **arguments: Any) -> Self:
        """Make a session that has no connection yet; the arguments are those of `Engine`."""
        session = cls.__new__(cls)
        Engine.__init__(session, **arguments)
        session._forget()
        return session

    def _start(self, connection: _toolbridge.Connection) -> None:
        """Take an open connection; nothing is sent yet."""
        self._callbacks = CallbackQueue()
        self._session = _toolbridge.Session(
            connection,
            self._on_notification,
            self._on_garbage,
            self._on_request,
            self._setup(),
        )

    async def _connect_http(
        self,
        arguments: HttpArguments,
        mode: str,
        known: types.DiscoverResult | None,
        *,
        terminate_on_close: bool,
    ) -> None:
        """Open whichever HTTP transport the server speaks, and run the lifecycle."""
        self._callbacks = CallbackQueue()
        self._session, described = await _toolbridge.connect_http(
            arguments,
            terminate_on_close,
            mode,
            None if known is None else _plain(known),
            self._setup(),
            self._on_notification,
            self._on_garbage,
            self._on_request,
        )
        self._describe(described)

    async def _connect(self, mode: str) -> None:
        """Run the lifecycle."""
        self._describe(await self._native().connect(mode))

    def _describe(self, described: dict[str, Any]) -> None:
        """Keep what the server said of itself."""
        session = self._native()
        self._renewals, self._version = session.renewals(), session.version()
        self._initialize_result = self._discover_result = None
        if "supportedVersions" in described:
            self._discover_result = types.DiscoverResult._wrap(described)
        else:
            self._initialize_result = types.InitializeResult._wrap(described)

    def _follow(self) -> None:
        """Keep what the server said of itself on the connection that is in force by now."""
        session = self._session
        if session is not None and session.renewals() != self._renewals:
            described = session.described()
            if described is not None:
                self._describe(described)

    async def __aenter__(self) -> Self:
        """Start the session; nothing is sent yet."""
        if self._connection is not None:
            self._start(self._connection)
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the session and the server under it."""
        await self.aclose()

    # The lifecycle.

    async def initialize(self) -> types.InitializeResult:
        """Introduce the client to the server; the first request of a session to 2025-11-25.

        Returns:
            What the server says of itself; a second call gives the first answer again.

        Raises:
            MCPError: The server refused, or speaks only revisions that this client does not.
        """
        if self._initialize_result is None:
            await self._connect("legacy")
        assert self._initialize_result is not None  # noqa: S101 - the engine gives nothing else
        return self._initialize_result

    async def discover(self) -> types.DiscoverResult:
        """Ask the server of revision 2026-07-28 what it can do, and go on in that revision.

        Returns:
            What the server says of itself; a second call gives the first answer again.

        Raises:
            MCPError: The server refused, as those of earlier revisions do, or there is no revision
                in common.
        """
        if self._discover_result is None:
            await self._connect("discover")
        assert self._discover_result is not None  # noqa: S101 - the engine gives nothing else
        return self._discover_result

    def adopt(self, result: types.InitializeResult | types.DiscoverResult) -> None:
        """Go on with what the server said of itself earlier; nothing is sent.

        Args:
            result: What `initialize` or `discover` gave, on this session or another.

        Raises:
            MCPError: It names no revision that this client speaks.
        """
        check_object("result", result)
        described = _plain(result)
        self._native().adopt(described)
        self._describe(described)

    @property
    def initialize_result(self) -> types.InitializeResult | None:
        """What `initialize` gave; None before it, and after `discover`."""
        self._follow()
        return self._initialize_result

    @property
    def discover_result(self) -> types.DiscoverResult | None:
        """What `discover` gave; None before it, and after `initialize`."""
        self._follow()
        return self._discover_result

    @property
    def server_info(self) -> types.Implementation | None:
        """The server's name and version; None before the lifecycle, or if it did not say."""
        result = self.initialize_result
        if result is not None:
            return result.server_info if "serverInfo" in result else None
        return None if self._discover_result is None else self._discover_result.server_info

    @property
    def server_capabilities(self) -> types.ServerCapabilities | None:
        """What the server can do; None before the lifecycle."""
        result = self.initialize_result or self._discover_result
        return result.capabilities if result is not None and "capabilities" in result else None

    @property
    def instructions(self) -> str | None:
        """How the server wants to be used; None before the lifecycle or if it did not say."""
        result = self.initialize_result or self._discover_result
        return None if result is None else result.instructions

    @property
    def protocol_version(self) -> str | None:
        """The revision of MCP that was agreed on; None before the lifecycle."""
        self._follow()
        return self._version

    def get_server_capabilities(self) -> types.ServerCapabilities | None:
        """Return what the server can do; None before the lifecycle."""
        return self.server_capabilities

    # Tasks.

    async def call_tool_as_task(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
    ) -> TaskHandle:
        """Call a tool, and do not wait for its result if the server runs the call as a task.

        In revision 2026-07-28 the server decides whether it does (extension
        ``io.modelcontextprotocol/tasks``). In 2025-11-25 it is asked to, where the tool and the
        server offer it; the tools have to be listed before. In every other case the call is waited
        for, and the handle has the result.

        Args:
            name: As for `call_tool`, as are all the arguments.
            arguments: Likewise.
            read_timeout_seconds: Likewise; for each request about the task too.
            progress_callback: Likewise; hears what comes before this returns.
            meta: Likewise.

        Returns:
            The task: ``await task.result()``, ``await task.cancel()``, ``task.status``.

        Raises:
            MCPError: The server refused the call.
        """
        from toolbridge.mcp.client.tasks import handle_of

        check_str("name", name)
        if arguments is not None:
            check_object("arguments", arguments)
        params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
        timeout = read_timeout_seconds
        how = {"hands_out_task": True}
        answer = await self._request(
            "tools/call", params, timeout, progress_callback, meta, how=how
        )
        seconds = self._timeout
        if timeout is not None:
            seconds = read_seconds("read_timeout_seconds", timeout)
        return handle_of(self, name, seconds, answer)

    def task(self, task_id: str, tool: str | None = None) -> TaskHandle:
        """Take up a task that an earlier connection began; nothing is sent yet.

        Args:
            task_id: The server's name of the task.
            tool: The tool that was called, whose output schema the result is checked against.
                Default: it is not checked.
        """
        from toolbridge.mcp.client.tasks import handle_of_earlier

        return handle_of_earlier(self, task_id, tool, self._timeout)

    def listen(
        self,
        *,
        tools_list_changed: bool = False,
        prompts_list_changed: bool = False,
        resources_list_changed: bool = False,
        resource_subscriptions: Sequence[str] = (),
    ) -> Listening:
        """Subscribe to changes at the server; an asynchronous context manager of a `Subscription`.

        Follows ``subscriptions/listen`` of revision 2026-07-28. ``async with session.listen(…) as
        changes: async for change in changes: …``. The notifications reach ``message_handler`` too.

        Args:
            tools_list_changed: Whether a change of the list of tools is told.
            prompts_list_changed: Whether one of the list of prompts is.
            resources_list_changed: Whether one of the list of resources is.
            resource_subscriptions: The URIs of resources whose changes are told.

        Raises:
            ListenNotSupportedError: The server speaks an earlier revision.
            MCPError: The server refused.
            MCPTimeoutError: No acknowledgment within ``read_timeout_seconds``.
            SubscriptionLost: The subscription ended before it was acknowledged.
        """
        from toolbridge.mcp.client.subscriptions import Listening

        return Listening(
            self._native(),
            self._timeout,
            tools_list_changed,
            prompts_list_changed,
            resources_list_changed,
            resource_subscriptions,
        )


def _plain(result: Any) -> dict[str, Any]:
    """Give what a server said of itself as the dict that it was."""
    dump = getattr(result, "model_dump", None)
    described: dict[str, Any] = (
        dict(result) if dump is None else dump(by_alias=True, exclude_none=True)
    )
    return described
