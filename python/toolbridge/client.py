"""Many MCP servers at once: one list of tools, one place to call them.

Each server is reached on its own, in parallel, and stays reached: a connection that is lost is made
anew in the background, and a server that is down never takes the others with it.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge._cassette import is_replaying
from toolbridge._servers import Http, read_server, read_servers
from toolbridge.exceptions import ConfigurationError, ConnectionClosedError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import (
    check_bool,
    check_str,
    read_seconds,
    type_error,
)
from toolbridge.mcp.client._callbacks import CallbackQueue
from toolbridge.mcp.client._engine import Engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from os import PathLike
    from types import EllipsisType
    from typing import Any, Literal, Self, TextIO

    from toolbridge.agent import Event, Run, RunResult, _Approve
    from toolbridge.mcp.client.stdio import StdioServerParameters
    from toolbridge.objects import Object

    _ServerSource = (
        Mapping[str, Any]
        | str
        | PathLike[str]
        | StdioServerParameters
        | list[Any]
        | tuple[Any, ...]
    )

__all__ = ["Client", "Server", "Servers"]

_FORMATS = ("mcp", "openai", "openai_responses", "anthropic")


class Server(Engine):
    """One server of a `Client`; it has every request of a ``ClientSession``.

    A request waits, within its own time, while the server is connected anew. One that was under way
    when the connection was lost is sent again if it only reads, or if the tool that it calls says that
    it is idempotent or only reads; otherwise it raises a ``ConnectionClosedError`` which says that its
    outcome is unknown.
    """

    def __init__(self, config: _toolbridge.ServerConfig, **arguments: Any) -> None:
        """Made by `Client`."""
        super().__init__(**arguments)
        self._config = config
        self._server: _toolbridge.Server | None = None
        self._listed: tuple[Any, list[types.Tool]] | None = None

    def _begin(self, group: _toolbridge.Group, settings: dict[str, Any], errlog: object) -> None:
        self._callbacks = CallbackQueue()
        self._server = group.add(
            self._config,
            self._setup(),
            settings,
            errlog,
            self._on_notification,
            self._on_garbage,
            self._on_request,
        )
        self._session = self._server.session()

    @property
    def name(self) -> str:
        """The name that the server stands under."""
        return self._config.name

    @property
    def description(self) -> str | None:
        """What the configuration says that the server is for."""
        return self._config.description

    @property
    def status(self) -> str:
        """``"connecting"``, ``"ready"``, ``"reconnecting"``, ``"failed"``, ``"idle"``, ``"closed"``."""
        return "idle" if self._server is None else self._server.status()

    @property
    def last_error(self) -> BaseException | None:
        """Why there is no connection; None while there is one."""
        return None if self._server is None else self._server.last_error()

    @property
    def tools(self) -> list[types.Tool]:
        """The tools that are known, by their own names; none while the server is not reached.

        Nothing is asked of the server. ``await client.list_tools()`` is.
        """
        if self._server is None:
            return []
        return [types.Tool._wrap(tool) for tool in self._server.tools() or ()]

    @property
    def session(self) -> Self:
        """The server itself: it is a session."""
        return self

    def _described(self) -> dict[str, Any]:
        described = None if self._server is None else self._server.described()
        return described or {}

    @property
    def server_info(self) -> types.Implementation | None:
        """The server's name and version; None before it was reached, or if it did not say."""
        described = self._described()
        info = described.get("serverInfo")
        if info is None:
            info = (described.get("_meta") or {}).get("io.modelcontextprotocol/serverInfo")
        return None if info is None else types.Implementation._wrap(info)

    @property
    def server_capabilities(self) -> types.ServerCapabilities | None:
        """What the server can do; None before it was reached."""
        capabilities = self._described().get("capabilities")
        return None if capabilities is None else types.ServerCapabilities._wrap(capabilities)

    @property
    def instructions(self) -> str | None:
        """How the server wants to be used; None before it was reached or if it did not say."""
        return self._described().get("instructions")

    async def reconnect(self) -> None:
        """Connect anew, whatever the status is, and wait for the outcome.

        Raises:
            TransportError: The server could not be reached.
            MCPError: It refused, or did not answer in time.
            ConnectionClosedError: The client was closed.
        """
        await self._engine().reconnect()

    def _engine(self) -> _toolbridge.Server:
        if self._server is None:
            message = "the client has not been entered; use: async with Client(…) as client"
            raise RuntimeError(message)
        return self._server

    def __repr__(self) -> str:
        """Show the name, how it is reached without its secrets, and the status."""
        error = self.last_error
        shown = "" if error is None else f": {type(error).__name__}"
        return f"<Server {self.name!r} at {self._config.shown} {self.status}{shown}>"


class Servers(dict[str, Server]):
    """The servers of a `Client` by their names; an unknown name says which there are."""

    def __missing__(self, name: str) -> Server:
        """Name the servers that there are."""
        known = ", ".join(map(repr, self)) or "none"
        message = f"there is no server {name!r}; there are {known}"
        raise KeyError(message)

    def __repr__(self) -> str:
        """One line for each server."""
        lines = "\n ".join(map(repr, self.values()))
        return f"{{{lines}}}"


class Client:
    """Many MCP servers; an asynchronous context manager.

    ``async with Client({"mcpServers": {"git": {"command": "uvx", "args": ["mcp-server-git"]}}})``.
    Entering it connects to all servers at once, waits for each no longer than that may take, and does
    not fail when one of them does: ``client.servers["git"].status`` and ``.last_error`` say how it
    went. It may be entered in one cell of a notebook and used in others, and from several tasks.

    Args:
        servers: A dict or file in the ``mcpServers`` form of desktop clients (``servers`` as in VS
            Code), a gateway's ``config.yaml`` with its section ``mcp_servers``, a URL, a
            ``StdioServerParameters``, a dict of those by their names, or a list of them. Default: none
            yet; see `add_server`.
        read_timeout_seconds: How long each request waits for its answer, a reconnection included, in
            seconds or as a ``timedelta``. Default: what the configuration says, or without limit.
        sampling_callback: ``(context, params) -> CreateMessageResult``; plain or ``async``.
            ``context.session`` is the `Server` that asks. `toolbridge.SamplingModel` asks a model.
        elicitation_callback: ``(context, params) -> ElicitResult``.
        list_roots_callback: ``(context) -> ListRootsResult``.
        logging_callback: ``(params)``, called with each log line of a server, in wire order.
        message_handler: ``(message)``, called with each notification.
        client_info: The name and version that servers are told. Default: this package's.
        sampling_capabilities: What the sampling callback can do. Default: what it says, or nothing.
        on_change: ``(server, what)``, plain or ``async``, called when something became different at a
            server: ``"status"``, ``"tools"``, ``"prompts"`` or ``"resources"``.
        mode: ``"auto"``, ``"legacy"`` or ``"2026-07-28"``, as in ``toolbridge.mcp.Client``. Default:
            what the configuration says, or ``"auto"``.
        headers: Sent to every server behind a URL; those of its own entry come first. Default: none.
        auth: Credentials for those without any of their own, as in ``streamable_http_client``; an
            ``OAuthClientProvider`` is for one server. An entry of ``servers`` has its own under
            ``"auth"``. Default: none.
        verify: Whose certificates they may have, likewise. Default: those that the system trusts.
        connect_timeout: How long one attempt to connect may take, in seconds or as a ``timedelta``;
            the time in which a provider asks a person is not counted, that has a ``timeout`` of its
            own. Default: what the configuration says, or 30 s.
        keep_alive: How often a server that is silent is asked for a sign of life, likewise. Default:
            what the configuration says: every 30 s over HTTP unless the revision has no ``ping``,
            never over stdio, where the end of the process tells.
        idle_close: After how long without a request a connection is closed until the next one,
            likewise. Default: what the configuration says, or never.
        restart: Whether child processes that died are started anew. Default: what the configuration
            says, or False.
        errlog: Where the standard error of child processes goes: a text file, or None for nowhere; its
            last lines stand in the error of a server that ended. Default: nowhere.
        separator: What stands between server and tool in names. Default: the environment variable
            ``MCP_TOOL_PREFIX_SEPARATOR``, or ``"-"``.

    Raises:
        ConfigurationError: The configuration cannot be used; the message names the file, the line and
            the key, what was found and what is accepted.
        TypeError: An argument has a type that it does not take.
    """

    def __init__(
        self,
        servers: _ServerSource | None = None,
        *,
        read_timeout_seconds: timedelta | float | None = None,
        sampling_callback: Callable[..., Any] | None = None,
        elicitation_callback: Callable[..., Any] | None = None,
        list_roots_callback: Callable[..., Any] | None = None,
        logging_callback: Callable[..., Any] | None = None,
        message_handler: Callable[..., Any] | None = None,
        client_info: Mapping[str, Any] | Object | None = None,
        sampling_capabilities: Mapping[str, Any] | Object | None = None,
        on_change: Callable[..., Any] | None = None,
        mode: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: object = None,
        verify: bool | str = True,
        connect_timeout: timedelta | float | None = None,
        keep_alive: timedelta | float | None = None,
        idle_close: timedelta | float | None = None,
        restart: bool | None = None,
        errlog: TextIO | EllipsisType | None = None,
        separator: str | None = None,
    ) -> None:
        """See the class."""
        if on_change is not None and not callable(on_change):
            raise type_error("on_change", "a function, a coroutine function or None", on_change)
        if errlog is not ... and errlog is not None and not hasattr(errlog, "write"):
            raise type_error("errlog", "a text file or None", errlog)
        self._engine_arguments: dict[str, Any] = {
            "read_timeout_seconds": read_timeout_seconds,
            "sampling_callback": sampling_callback,
            "elicitation_callback": elicitation_callback,
            "list_roots_callback": list_roots_callback,
            "logging_callback": logging_callback,
            "message_handler": message_handler,
            "client_info": client_info,
            "sampling_capabilities": sampling_capabilities,
        }
        # Checks them.
        Engine(**self._engine_arguments)
        self._settings: dict[str, Any] = {
            name: seconds
            for name, limit in (
                ("connect_timeout", connect_timeout),
                ("keep_alive", keep_alive),
                ("idle_close", idle_close),
            )
            if (seconds := read_seconds(name, limit)) is not None
        }
        if mode is not None:
            check_str("mode", mode)
            self._settings["mode"] = mode
        if restart is not None:
            self._settings["restart"] = check_bool("restart", restart)
        self._http = Http(headers, auth, verify)
        self._errlog = errlog
        self._separator = _separator(separator)
        self._on_change_callback = on_change
        self._group: _toolbridge.Group | None = None
        self._is_closed = False
        self._changes: CallbackQueue | None = None
        self._untold: set[tuple[str, str]] = set()
        self._merged: tuple[int, list[dict[str, Any]]] = (0, [])
        self._entries: dict[str, dict[str, Any]] = {}
        self.servers = Servers()
        for config, settings in read_servers(servers, self._http):
            self._take(config, settings)

    def _take(self, config: _toolbridge.ServerConfig, settings: dict[str, Any]) -> Server:
        if config.name in self.servers:
            message = f"there is a server {config.name!r} already"
            raise ConfigurationError(message)
        server = Server(config, **self._engine_arguments)
        self.servers[config.name] = server
        self._entries[config.name] = {**self._settings, **settings}
        return server

    async def __aenter__(self) -> Self:
        """Connect to all servers; none of them makes it fail.

        Raises:
            ConfigurationError: A setting of a server cannot be used, such as a revision that is none.
            RuntimeError: The client was entered before.
        """
        if self._group is not None:
            message = "this Client was entered before; make a new one for other connections"
            raise RuntimeError(message)
        self._changes = CallbackQueue()
        self._group = _toolbridge.Group(self._separator, self._on_change)
        if is_replaying():
            # What its servers said is on the cassette.
            return self
        try:
            for server in tuple(self.servers.values()):
                server._begin(self._group, self._entries[server.name], self._native_errlog())
            await self._group.settled()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close every connection, whatever state it is in."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection, whatever state it is in; closing twice does nothing."""
        self._is_closed = self._group is not None
        closing = None if self._group is None else self._group.close()
        if closing is not None:
            await closing

    async def list_tools(
        self,
        format: Literal["mcp", "openai", "openai_responses", "anthropic"] = "mcp",  # noqa: A002
    ) -> list[Any]:
        """List the tools of all servers that are reached, under the names that they are called by.

        A list that a server did not change is not asked for again.

        Args:
            format: ``"mcp"`` for tools as the servers gave them, else the dicts of
                ``transform_mcp_tool_to_openai_tool`` and its siblings.

        Returns:
            The tools, in the order of the servers. A name is ``server-tool``, at most 64 characters of
            ``[A-Za-z0-9_-]``, the same in every run. The tools of a server that is not reached are
            not among them.

        Raises:
            ConfigurationError: An unknown ``format``, or a tool that cannot be described in it.
            ConnectionClosedError: The client was closed.
            RuntimeError: The client has not been entered.
        """
        if format not in _FORMATS:
            accepted = ", ".join(map(repr, _FORMATS))
            message = f"format takes {accepted}, not {format!r}"
            raise ConfigurationError(message)
        self._check_open("the tools cannot be listed")
        version, tools = await self._native().tools(self._merged[0])
        if tools is not None:
            self._merged = (version, tools)
        _, known = self._merged
        if format == "mcp":
            from copy import deepcopy

            # A caller that changes a tool does not change the list of the next one.
            return [types.Tool._wrap(tool) for tool in deepcopy(known)]
        from toolbridge.experimental_mcp_client.tools import _described

        return _described(format, known)

    async def search_tools(self, query: str, limit: int = 10) -> list[types.Tool]:
        """Find tools by words, in their names, descriptions and parameters (BM25).

        Args:
            query: The words.
            limit: How many tools are wanted at most.

        Returns:
            The tools as in `list_tools`, the one that fits best first; none where no word fits.

        Raises:
            ConnectionClosedError: The client was closed.
            RuntimeError: The client has not been entered.
        """
        check_str("query", query)
        self._check_open("its tools cannot be searched")
        return [types.Tool._wrap(tool) for tool in await self._native().search(query, limit)]

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
        task_timeout_seconds: timedelta | float | None = None,
    ) -> types.CallToolResult:
        """Call a tool by the name in `list_tools`, or by its own name if one server alone has it.

        Args:
            name: The tool's name.
            arguments: Its arguments. Default: none.
            read_timeout_seconds: How long to wait for the answer, a reconnection included, in seconds
                or as a ``timedelta``. Default: the client's.
            progress_callback: ``(progress, total, message)``, plain or ``async``.
            meta: Sent as ``_meta`` of the request. Default: none.
            task_timeout_seconds: How long to wait for the end of a task that the call became; then it
                is cancelled. Default: as long as the server keeps it.

        Returns:
            The result. A tool that failed gives a result whose ``isError`` is true, not an exception.

        Raises:
            ConfigurationError: No server has such a tool, several have, or it is not allowed.
            ConnectionClosedError: The connection was lost, and the outcome is unknown.
            MCPError: The server refused, or did not answer in time (``MCPTimeoutError``).
        """
        check_str("name", name)
        group = self._native()
        found = group.find_known(name)
        server, tool = await group.find(name) if found is None else found
        return await self.servers[server].call_tool(
            tool,
            arguments,
            read_timeout_seconds,
            progress_callback,
            meta=meta,
            task_timeout_seconds=task_timeout_seconds,
        )

    async def call_openai_tool(
        self, tool_call: Any, *, strict: bool = True
    ) -> types.CallToolResult:
        """Call the tool that a model asked for.

        Args:
            tool_call: The tool call, as in ``response.choices[0].message.tool_calls[0]``: an object of
                toolbridge, openai or litellm, or a dict.
            strict: False calls the tool without arguments when the model sent none that can be used.

        Returns:
            The result, as of `call_tool`.

        Raises:
            ToolCallArgumentsError: The arguments are not a JSON object.
            ConfigurationError: The tool call names no tool, or none of these servers.
            MCPError: As for `call_tool`.
        """
        from toolbridge.experimental_mcp_client import tools

        params = tools.transform_openai_tool_call_request_to_mcp_tool_call_request(
            tool_call, strict=strict
        )
        return await self.call_tool(params.name, params.arguments)

    def run(
        self,
        model: str,
        messages: Sequence[Any] = (),
        *,
        tools: Sequence[str | Mapping[str, Any]] | None = None,
        max_rounds: int = 20,
        max_parallel: int = 16,
        tool_timeout: timedelta | float | None = None,
        max_result_tokens: int | None = None,
        search: bool | int = 100,
        approve: _Approve | None = None,
        on_event: Callable[[Event], object] | None = None,
        stream: bool | None = None,
        resume: RunResult | Mapping[str, Any] | None = None,
        decisions: Mapping[str, object] | None = None,
        **parameters: Any,
    ) -> Run:
        """Ask a model, call the tools that it calls, give it the results, until it is done.

        Arguments that a model sends are checked against the schema that the server wrote; what does
        not fit, a tool that fails, one that there is not: the model is told, and can try again.

        Args:
            model: As for ``acompletion``.
            messages: The conversation so far; not with ``resume``.
            tools: Which tools are offered: names of tools as in `list_tools`, names of servers, and
                function tools of the caller's own, dicts as for ``acompletion``. When the model calls
                one of those, the run stops with ``"function_calls"``. Default: all tools.
            max_rounds: How often the model is asked at most.
            max_parallel: How many calls of one round are under way at once.
            tool_timeout: How long one call may take, in seconds or as a ``timedelta``; then the model
                is told so. Default: what holds for the server.
            max_result_tokens: How much of one result the model is shown at once; it can read on with
                the tool ``read_more``. Default: all of it.
            search: With more tools than this, the model is told of two instead, ``search_tools`` and
                ``call_tool``, and finds the others by words; True: always, False: never.
            approve: ``(call)``, plain or ``async``, asked before each call, one after another: True,
                False, a text that says why not, a dict of other arguments, or None: the run stops
                with ``"approval"``, and can go on later. Default: every call is made.
            on_event: ``(event)``, plain or ``async``, called with each event.
            stream: Whether the model is asked for a stream. Default: if somebody hears the events.
            resume: The result of a run that stopped, or its ``to_dict()``: this one goes on there.
            decisions: What was decided about the calls that wait there, by their ids; as for
                ``approve``. One that nothing was decided about waits on, unless ``approve`` is given.
            **parameters: All others go to the completion call, as in ``acompletion``: ``api_key``,
                ``temperature``, … Each question is such a call, with its own ``fallbacks`` (none once a
                stream has begun), callbacks and spans; a schema is checked in the last answer.

        Returns:
            The run: ``await`` it for its result, or ``async for event in`` it. It begins when either
            is done for the first time, and raises then:

        Raises:
            RoundLimitError: The model still calls tools after ``max_rounds``.
            ConfigurationError: A name in ``tools`` stands for nothing, or an argument cannot be used.
            APIError: As for ``acompletion``, by its class; ``error.run_result`` is how far it came.
            RuntimeError: The client has not been entered.
        """
        from toolbridge._agent import begin

        return begin(
            self._native(),
            model,
            messages,
            tools=tools,
            settings={
                "max_rounds": max_rounds,
                "max_parallel": max_parallel,
                "tool_timeout": read_seconds("tool_timeout", tool_timeout),
                "max_result_tokens": max_result_tokens,
                "search": search,
            },
            approve=approve,
            on_event=on_event,
            stream=stream,
            resume=resume,
            decisions=decisions,
            parameters=parameters,
        )

    async def add_server(self, name: str, server: Any) -> Server:
        """Add a server, and connect to it if the client has been entered.

        Args:
            name: What it is called; no other server has that name.
            server: A dict as in ``mcpServers``, a URL or a ``StdioServerParameters``.

        Returns:
            The server, ready or not; see its ``status``.

        Raises:
            ConfigurationError: There is one of that name, or the configuration cannot be used.
            ConnectionClosedError: The client was closed.
        """
        # Nobody would close its connection.
        self._check_open(f"the server {name!r} cannot be added")
        entries = list(read_server(name, server, self._http))
        if not entries:
            message = f"the server {name!r} is switched off by its configuration"
            raise ConfigurationError(message)
        ((config, settings),) = entries
        added = self._take(config, settings)
        if self._group is not None:
            try:
                added._begin(self._group, self._entries[name], self._native_errlog())
            except BaseException:
                del self.servers[name]
                raise
            await self._group.settled()
        return added

    async def remove_server(self, name: str) -> None:
        """Take a server away and close its connection.

        Raises:
            KeyError: There is none of that name; the message names those that there are.
        """
        server = self.servers[name]
        if self._group is not None:
            await self._group.remove(server.name)
        self.servers.pop(name, None)

    def _native(self) -> _toolbridge.Group:
        if self._group is None:
            message = "the client has not been entered; use: async with Client(…) as client"
            raise RuntimeError(message)
        return self._group

    def _check_open(self, what: str) -> None:
        if self._is_closed:
            message = f"this Client was closed, so {what}; make a new one"
            raise ConnectionClosedError(message)

    def _native_errlog(self) -> object:
        if self._errlog is None:
            return None
        from toolbridge.mcp.client.stdio import _native_errlog

        return _native_errlog(self._errlog)

    def _on_change(self, server: str, what: str) -> None:
        if self._on_change_callback is not None and self._changes is not None:
            # A server may change without an end; what was not told yet is told once.
            change = (server, what)
            if change not in self._untold:
                self._untold.add(change)
                self._changes.put(
                    "on_change callback", self._tell, self._on_change_callback, change
                )

    def _tell(self, callback: Callable[[str, str], object], change: tuple[str, str]) -> object:
        self._untold.discard(change)
        return callback(*change)

    def __iter__(self) -> Iterator[Server]:
        """Go through the servers."""
        return iter(self.servers.values())

    def __repr__(self) -> str:
        """Show the servers and how each of them stands; no secrets."""
        if not self.servers:
            return "<Client without servers>"
        lines = "".join(f"\n  {server!r}" for server in self.servers.values())
        return f"<Client of {len(self.servers)}{lines}>"


def _separator(given: str | None) -> str:
    if given is not None:
        check_str("separator", given)
        return given
    import os

    return os.environ.get("MCP_TOOL_PREFIX_SEPARATOR") or "-"
