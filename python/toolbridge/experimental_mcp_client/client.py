"""One MCP server under the names of LiteLLM's ``MCPClient``.

LiteLLM opens a connection, and starts a process, for every single operation. This client keeps one
open: it is made at the first use, connected anew when it is lost, and ends with `aclose`, with
``async with`` or with the interpreter.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.client import Client, Server
from toolbridge.exceptions import ConfigurationError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import read_seconds, type_error
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType
    from typing import Any, Self, TypeVar

    _Result = TypeVar("_Result")

__all__ = ["MCPClient", "PersistentMCPSession"]

_TRANSPORTS = ("http", "sse", "stdio")
_NO_HEADER = frozenset({"none", "aws_sigv4", "true_passthrough"})
_BEARER = frozenset({"bearer_token", "oauth2", "oauth2_token_exchange", "oauth2_id_jag"})
_LISTS = {
    "tools": "list_tools",
    "prompts": "list_prompts",
    "resources": "list_resources",
    "resource_templates": "list_resource_templates",
}


class MCPClient:
    """One MCP server, reached at the first use and kept open.

    Args:
        server_url: Its URL, for ``http`` and ``sse``.
        transport_type: ``"http"``, ``"sse"`` or ``"stdio"``, or an enum with such values. With
            ``"http"`` a server that speaks HTTP+SSE alone is found out.
        auth_type: How ``auth_value`` becomes a header: ``"bearer_token"``, ``"basic"``,
            ``"api_key"``, ``"authorization"``, ``"token"`` or ``"oauth2"``. Default: not at all.
        auth_value: The credentials, or a dict of headers.
        auth_header_name: The header that they go into. Default: that of ``auth_type``.
        timeout: How long each operation waits, in seconds. Default: the environment variable
            ``LITELLM_MCP_CLIENT_TIMEOUT``, or 60.
        stdio_config: ``{"command", "args", "env"}``, for ``stdio``.
        extra_headers: Headers that stand over those of ``auth_type``.
        ssl_verify: False accepts anybody's certificate; a path is a file of PEM certificates. Default:
            those that the system trusts.
        aws_auth: Credentials that an HTTP transport takes as ``auth``.
        resolved_auth: The same; it stands over ``aws_auth``.
        sampling_callback: ``(context, params) -> CreateMessageResult``; plain or ``async``. A
            `toolbridge.SamplingModel` is one that asks a model.
        elicitation_callback: ``(context, params) -> ElicitResult``.
        logging_callback: ``(params)``, called with each log line.
        protocol_version: ``"auto"``, ``"2026-07-28"``, or a revision that begins with a handshake.
        upstream_transport: Not used; the transports are the engine's.

    Raises:
        ConfigurationError: ``transport_type``, ``auth_type`` or ``protocol_version`` is none.
    """

    def __init__(
        self,
        server_url: str = "",
        transport_type: str = "http",
        auth_type: str | None = None,
        auth_value: str | dict[str, str] | None = None,
        auth_header_name: str | None = None,
        timeout: float | None = None,
        stdio_config: Mapping[str, Any] | None = None,
        extra_headers: dict[str, str] | None = None,
        ssl_verify: bool | str | None = None,
        aws_auth: object = None,
        resolved_auth: object = None,
        sampling_callback: Callable[..., Any] | None = None,
        elicitation_callback: Callable[..., Any] | None = None,
        logging_callback: Callable[..., Any] | None = None,
        protocol_version: str = "auto",
        upstream_transport: object = None,
    ) -> None:
        """See the class."""
        self.server_url = server_url
        self.transport_type = _word("transport_type", transport_type, _TRANSPORTS)
        self.auth_type = None if auth_type is None else str(getattr(auth_type, "value", auth_type))
        self.auth_header_name = auth_header_name
        self.timeout = read_seconds("timeout", timeout) or _default_timeout()
        if stdio_config is not None and not hasattr(stdio_config, "items"):
            raise type_error("stdio_config", "a dict with a command, or None", stdio_config)
        if extra_headers is not None and not hasattr(extra_headers, "items"):
            raise type_error("extra_headers", "a dict of str to str, or None", extra_headers)
        self.stdio_config = stdio_config
        self.extra_headers = extra_headers
        self.ssl_verify = ssl_verify
        self.protocol_version = protocol_version
        self.upstream_transport = upstream_transport
        self._auth = aws_auth if resolved_auth is None else resolved_auth
        self._callbacks: dict[str, Any] = {
            "sampling_callback": sampling_callback,
            "elicitation_callback": elicitation_callback,
            "logging_callback": logging_callback,
        }
        self._auth_value: str | dict[str, str] | None = None
        self._mode = self._read_mode()
        self._client: Client | None = None
        self._lock: asyncio.Lock | None = None
        self._loop: Any = None
        if auth_value:
            self.update_auth_value(auth_value)

    def _read_mode(self) -> str:
        version = self.protocol_version
        if version in {"auto", "legacy"}:
            return version
        if version == "2026-07-28":
            if self.transport_type == "sse":
                message = "protocol_version 2026-07-28 has no transport_type 'sse'; take 'http'"
                raise ConfigurationError(message)
            return version
        if version in {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}:
            return "legacy"
        message = f"protocol_version is {version!r}; it takes 'auto' or a revision of MCP"
        raise ConfigurationError(message)

    def update_auth_value(self, mcp_auth_value: str | dict[str, str]) -> None:
        """Take other credentials; the next connection uses them.

        A connection that is open is left to its calls and replaced at the next one.
        """
        self._auth_value = mcp_auth_value
        self._get_auth_headers()
        self._loop = None

    def _get_auth_headers(self) -> dict[str, str]:
        """Make the headers that the credentials stand for."""
        headers: dict[str, str] = {}
        value = self._auth_value
        if isinstance(value, dict):
            headers.update(value)
        elif value and self.auth_type is not None and self.auth_type not in _NO_HEADER:
            kinds = ("api_key", "basic", "authorization", "token", *sorted(_BEARER))
            kind = _word("auth_type", self.auth_type, kinds)
            name, text = _toolbridge.authorization_header(kind, value)
            headers[self.auth_header_name or name] = text
        headers.update(self.extra_headers or {})
        return {name.strip(): text.strip() for name, text in headers.items()}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            TransportError: The server could not be reached.
        """
        await self._server()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the connection."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the connection; the next use makes another one. Closing twice does nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _server(self) -> Server:
        """Give the connected server; one client serves one event loop after another."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            self._lock, self._loop = asyncio.Lock(), loop
            old, self._client = self._client, None
            if old is not None:
                await old.aclose()
        async with self._lock:
            if self._client is None:
                client = Client(
                    {"server": self._described()},
                    read_timeout_seconds=self.timeout,
                    connect_timeout=self.timeout,
                    auth=self._auth,
                    verify=True if self.ssl_verify is None else self.ssl_verify,
                    restart=True,
                    mode=self._mode,
                    **self._callbacks,
                )
                await client.__aenter__()
                self._client = client
            server = self._client.servers["server"]
            if server.status in {"failed", "reconnecting"}:
                # Whoever calls now wants to know now.
                await server.reconnect()
            return server

    def _described(self) -> Any:
        from toolbridge._servers import Described

        if self.transport_type == "stdio":
            if not self.stdio_config:
                message = "stdio_config is needed for the transport_type 'stdio'"
                raise ConfigurationError(message)
            return Described({**self.stdio_config, "type": "stdio"})
        described: dict[str, Any] = {"url": self.server_url, "headers": self._get_auth_headers()}
        if self.transport_type == "sse":
            described["type"] = "sse"
        return Described(described)

    async def run_with_session(self, operation: Callable[[Any], Awaitable[_Result]]) -> _Result:
        """Run a coroutine function on the session.

        Args:
            operation: ``(session)``; the session has every request of a ``ClientSession``.

        Returns:
            What it returns.
        """
        return await operation(await self._server())

    async def open_persistent_session(self) -> PersistentMCPSession:
        """Connect, and give a handle of the connection that this client keeps anyway."""
        await self._server()
        return PersistentMCPSession(self)

    async def list_tools(self, raise_on_error: bool = False) -> list[types.Tool]:
        """List all the tools of the server.

        Args:
            raise_on_error: False gives an empty list, and a log line, for a server that fails.

        Returns:
            The tools, by the server's own names.
        """
        from toolbridge.experimental_mcp_client.tools import list_tools_with_pagination

        try:
            tools: list[types.Tool] = await self.run_with_session(list_tools_with_pagination)
        except Exception as failure:
            if raise_on_error:
                raise
            self._log("list_tools", failure)
            return []
        return tools

    async def call_tool(
        self,
        call_tool_request_params: Any,
        host_progress_callback: Callable[..., Any] | None = None,
        raise_on_error: bool = False,
        allow_input_required: bool = False,
        persistent_session: object = None,  # noqa: ARG002 - LiteLLM's signature
    ) -> types.CallToolResult:
        """Call a tool.

        Args:
            call_tool_request_params: Name and arguments: a ``CallToolRequestParams`` or a dict.
            host_progress_callback: ``(progress, total)``, plain or ``async``.
            raise_on_error: False gives a result whose ``isError`` is true for a call that fails.
            allow_input_required: Hand out an answer that asks for input.
            persistent_session: Not needed: the connection is kept open in any case.

        Returns:
            The result.
        """
        params = call_tool_request_params
        if isinstance(params, (dict, Object)):
            name, arguments = params.get("name"), params.get("arguments")
        else:
            name, arguments = getattr(params, "name", None), getattr(params, "arguments", None)
        if not isinstance(name, str):
            accepted = "a CallToolRequestParams or a dict with a name"
            raise type_error("call_tool_request_params", accepted, params)

        def progress(done: float, total: float | None, _message: str | None) -> Any:
            return None if host_progress_callback is None else host_progress_callback(done, total)

        heard = None if host_progress_callback is None else progress
        more: dict[str, Any] = {"allow_input_required": True} if allow_input_required else {}
        try:
            # LiteLLM's signature has one type of result.
            call: Callable[..., Any] = (await self._server()).call_tool
            result: types.CallToolResult = await call(
                name, arguments, progress_callback=heard, **more
            )
        except Exception as failure:
            if raise_on_error:
                raise
            self._log(f"call_tool {name}", failure)
            return self.error_tool_result(failure)
        return result

    @staticmethod
    def error_tool_result(exc: BaseException) -> types.CallToolResult:
        """Make the result that stands for a call that failed."""
        text = f"{type(exc).__name__}: {exc}"
        content = [{"type": "text", "text": text}]
        return types.CallToolResult._wrap({"content": content, "isError": True})

    async def list_page(self, kind: str, cursor: str | None = None) -> Any:
        """List one page of ``"tools"``, ``"prompts"``, ``"resources"`` or ``"resource_templates"``."""
        verb = _LISTS[_word("kind", kind, tuple(_LISTS))]
        server = await self._server()
        return await getattr(server, verb)(cursor)

    async def list_tools_page(self, cursor: str | None = None) -> types.ListToolsResult:
        """List one page of the tools."""
        return await (await self._server()).list_tools(cursor)

    async def list_prompts_result(self, cursor: str | None = None) -> types.ListPromptsResult:
        """List one page of the prompts."""
        return await (await self._server()).list_prompts(cursor)

    async def list_resources_result(self, cursor: str | None = None) -> types.ListResourcesResult:
        """List one page of the resources."""
        return await (await self._server()).list_resources(cursor)

    async def list_resource_templates_result(
        self, cursor: str | None = None
    ) -> types.ListResourceTemplatesResult:
        """List one page of the resource templates."""
        return await (await self._server()).list_resource_templates(cursor)

    async def list_prompts(self) -> list[types.Prompt]:
        """List the prompts; an empty list, and a log line, for a server that fails."""
        return await self._all("prompts", "prompts")

    async def list_resources(self) -> list[types.Resource]:
        """List the resources; an empty list, and a log line, for a server that fails."""
        return await self._all("resources", "resources")

    async def list_resource_templates(self) -> list[types.ResourceTemplate]:
        """List the resource templates; an empty list, and a log line, for a server that fails."""
        return await self._all("resource_templates", "resourceTemplates")

    async def _all(self, kind: str, field: str) -> list[Any]:
        found: list[Any] = []
        seen: set[str] = set()
        cursor: str | None = None
        try:
            while True:
                page = await self.list_page(kind, cursor)
                found += getattr(page, field)
                cursor = page.get("nextCursor")
                if not cursor or cursor in seen:
                    return found
                seen.add(cursor)
        except Exception as failure:  # noqa: BLE001 - as LiteLLM does
            self._log(f"list_{kind}", failure)
            return []

    async def get_prompt(self, get_prompt_request_params: Any) -> types.GetPromptResult:
        """Fill in a prompt.

        Args:
            get_prompt_request_params: Name and arguments, as an object or a dict.
        """
        params = get_prompt_request_params
        if isinstance(params, (dict, Object)):
            name, arguments = params.get("name"), params.get("arguments")
        else:
            name, arguments = getattr(params, "name", None), getattr(params, "arguments", None)
        if not isinstance(name, str):
            accepted = "a GetPromptRequestParams or a dict with a name"
            raise type_error("get_prompt_request_params", accepted, params)
        return await (await self._server()).get_prompt(name, arguments)

    async def read_resource(self, url: object) -> types.ReadResourceResult:
        """Read a resource by its URI."""
        return await (await self._server()).read_resource(url)

    def _log(self, what: str, failure: BaseException) -> None:
        import logging

        shown = "the server" if self._client is None else repr(self._client.servers["server"])
        logging.getLogger("toolbridge.mcp").warning(
            "%s of %s failed: %s: %s", what, shown, type(failure).__name__, failure
        )

    def __repr__(self) -> str:
        """Show the transport and the status; no URL, for it may hold a key."""
        status = "idle" if self._client is None else self._client.servers["server"].status
        return f"<MCPClient over {self.transport_type} {status}>"


class PersistentMCPSession:
    """A handle of the connection that an `MCPClient` keeps open; calls run concurrently."""

    __slots__ = ("_owner",)

    def __init__(self, owner: MCPClient) -> None:
        """Made by `MCPClient.open_persistent_session`."""
        self._owner = owner

    async def run(self, operation: Callable[[Any], Awaitable[_Result]]) -> _Result:
        """Run a coroutine function on the session."""
        return await self._owner.run_with_session(operation)

    async def aclose(self) -> None:
        """End the connection."""
        await self._owner.aclose()

    close = aclose

    async def __aenter__(self) -> Self:
        """Give the handle."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the connection."""
        await self.aclose()


def _word(name: str, value: object, accepted: tuple[str, ...]) -> str:
    word = str(getattr(value, "value", value))
    if word not in accepted:
        shown = ", ".join(map(repr, accepted))
        message = f"{name} is {word!r}; it takes {shown}"
        raise ConfigurationError(message)
    return word


def _default_timeout() -> float:
    import os

    text = os.environ.get("LITELLM_MCP_CLIENT_TIMEOUT")
    if not text:
        return 60.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        message = f"LITELLM_MCP_CLIENT_TIMEOUT is {text!r}; it takes a number of seconds above 0"
        raise ConfigurationError(message)
    return seconds
