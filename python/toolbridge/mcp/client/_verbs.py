"""The requests and notifications of the protocol, as methods: one place for whatever is a session.

Follows the MCP specification, revisions 2024-11-05 to 2026-07-28, and the signatures of the official
SDK, of both its majors. Results are session values (`toolbridge.mcp.types`) over what the server
sent, unknown fields included.
"""

from __future__ import annotations

from typing import overload

from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import (
    check_log_level,
    check_number,
    check_object,
    check_str,
    read_page,
    read_seconds,
    read_uri,
    type_error,
)
from toolbridge.mcp.client.caching import read_cache_mode
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from typing import Any, Literal

    from toolbridge.mcp.client.caching import CacheMode


class Verbs:
    """Every request and notification of a client; a subclass sends them."""

    __slots__ = ()

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
        """Send a request; the object that answers it."""
        raise NotImplementedError

    async def _notify(self, method: str, params: dict[str, Any] | None) -> None:
        """Send a notification."""
        raise NotImplementedError

    # Requests.

    async def send_ping(self, *, meta: dict[str, Any] | None = None) -> types.EmptyResult:
        """Ask the server for a sign of life.

        In revision 2026-07-28, which has no ``ping``, the question is ``server/discover``.

        Args:
            meta: Sent as ``_meta`` of the request. Default: none.

        Returns:
            An empty result.

        Raises:
            MCPTimeoutError: No answer within the session's ``read_timeout_seconds``.
            ConnectionClosedError: The connection ended.
        """
        return types.EmptyResult._wrap(await self._request("ping", None, meta=meta))

    async def list_tools(
        self,
        cursor: str | None = None,
        *,
        params: types.PaginatedRequestParams | None = None,
        meta: dict[str, Any] | None = None,
        cache_mode: CacheMode = "use",
    ) -> types.ListToolsResult:
        """List one page of the server's tools.

        Args:
            cursor: ``nextCursor`` of the page before. Default: the first page.
            params: The same as an object, as in the official SDK.
            meta: Sent as ``_meta`` of the request, which then always reaches the server. Default:
                none.
            cache_mode: ``"use"`` takes a result that the server allows to be kept, ``"refresh"``
                asks the server and keeps the answer, ``"bypass"`` does neither.

        Returns:
            The page: ``tools``, and ``nextCursor`` if there is another page.

        Raises:
            MCPError: The server refused.
        """
        answer = await self._request(
            "tools/list", read_page(cursor, params), meta=meta, how=read_cache_mode(cache_mode)
        )
        return types.ListToolsResult._wrap(answer)

    @overload
    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: Literal[False] = False,
        task_timeout_seconds: timedelta | float | None = None,
    ) -> types.CallToolResult: ...

    @overload
    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: bool,
        task_timeout_seconds: timedelta | float | None = None,
    ) -> types.CallToolResult | types.InputRequiredResult: ...

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: bool = False,
        task_timeout_seconds: timedelta | float | None = None,
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Call a tool.

        In revision 2026-07-28 a server may answer with a wish for input. The callbacks of the session
        are asked for it, and the call is repeated with what they say. A call that the server runs as a
        task is waited for; to cancel the call cancels the task.

        Args:
            name: The tool's name.
            arguments: Its arguments. Default: none.
            read_timeout_seconds: How long to wait for each answer, in seconds or as a
                ``timedelta``. Default: the session's.
            progress_callback: ``(progress, total, message)``, plain or ``async``; called in wire
                order, and always before this call returns.
            meta: Sent as ``_meta`` of the request. Default: none.
            input_responses: Answers to the ``inputRequests`` of an earlier result. Default: none.
            request_state: The ``requestState`` of that result, unchanged. Default: none.
            allow_input_required: Whether a wish for input is returned, as an
                ``InputRequiredResult``, instead of being answered by the callbacks.
            task_timeout_seconds: How long to wait for the end of a task that the call became, in
                seconds or as a ``timedelta``; then the task is cancelled. Default: as long as the
                server keeps it (its ``ttl``).

        Returns:
            The result. A tool that failed gives a result whose ``isError`` is true, not an
            exception.

        Raises:
            TypeError: An argument has a type that it does not take.
            MCPError: The server refused the call, or a callback refused its wish.
            ToolOutputError: The result does not fit the output schema of the tool.
            MCPTimeoutError: No answer, or no end of the task, in time; the server is told that the
                call is cancelled.
            ConnectionClosedError: The connection ended first.
        """
        if type(name) is not str and not isinstance(name, str):
            raise type_error("name", "a str", name)
        if arguments is not None and not isinstance(arguments, (dict, Object)):
            raise type_error("arguments", "a dict or None", arguments)
        params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
        if input_responses is not None or request_state is not None:
            _add_round(params, input_responses, request_state)
        limit = read_seconds("task_timeout_seconds", task_timeout_seconds)
        how = None if limit is None else {"task_timeout": limit}
        answer = await self._request(
            "tools/call",
            params,
            read_timeout_seconds,
            progress_callback,
            meta,
            allow_input_required,
            how,
        )
        if allow_input_required and _wants_input(answer):
            return types.InputRequiredResult._wrap(answer)
        return types.CallToolResult._wrap(answer)

    async def list_prompts(
        self,
        cursor: str | None = None,
        *,
        params: types.PaginatedRequestParams | None = None,
        meta: dict[str, Any] | None = None,
        cache_mode: CacheMode = "use",
    ) -> types.ListPromptsResult:
        """List one page of the server's prompts; see `list_tools`."""
        answer = await self._request(
            "prompts/list", read_page(cursor, params), meta=meta, how=read_cache_mode(cache_mode)
        )
        return types.ListPromptsResult._wrap(answer)

    @overload
    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, str] | None = None,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: Literal[False] = False,
    ) -> types.GetPromptResult: ...

    @overload
    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, str] | None = None,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: bool,
    ) -> types.GetPromptResult | types.InputRequiredResult: ...

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, str] | None = None,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: bool = False,
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """Fill in a prompt.

        Args:
            name: The prompt's name.
            arguments: Its arguments. Default: none.
            meta: Sent as ``_meta`` of the request. Default: none.
            input_responses: As for `call_tool`.
            request_state: As for `call_tool`.
            allow_input_required: As for `call_tool`.

        Returns:
            Its messages.

        Raises:
            MCPError: The server refused, as it does for an unknown prompt.
        """
        check_str("name", name)
        if arguments is not None:
            check_object("arguments", arguments)
        params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
        _add_round(params, input_responses, request_state)
        answer = await self._request(
            "prompts/get", params, meta=meta, allow_input_required=allow_input_required
        )
        if allow_input_required and _wants_input(answer):
            return types.InputRequiredResult._wrap(answer)
        return types.GetPromptResult._wrap(answer)

    async def list_resources(
        self,
        cursor: str | None = None,
        *,
        params: types.PaginatedRequestParams | None = None,
        meta: dict[str, Any] | None = None,
        cache_mode: CacheMode = "use",
    ) -> types.ListResourcesResult:
        """List one page of the server's resources; see `list_tools`."""
        answer = await self._request(
            "resources/list", read_page(cursor, params), meta=meta, how=read_cache_mode(cache_mode)
        )
        return types.ListResourcesResult._wrap(answer)

    async def list_resource_templates(
        self,
        cursor: str | None = None,
        *,
        params: types.PaginatedRequestParams | None = None,
        meta: dict[str, Any] | None = None,
        cache_mode: CacheMode = "use",
    ) -> types.ListResourceTemplatesResult:
        """List one page of the server's resource templates; see `list_tools`."""
        page = read_page(cursor, params)
        answer = await self._request(
            "resources/templates/list", page, meta=meta, how=read_cache_mode(cache_mode)
        )
        return types.ListResourceTemplatesResult._wrap(answer)

    @overload
    async def read_resource(
        self,
        uri: object,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: Literal[False] = False,
        cache_mode: CacheMode = "use",
    ) -> types.ReadResourceResult: ...

    @overload
    async def read_resource(
        self,
        uri: object,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: bool,
        cache_mode: CacheMode = "use",
    ) -> types.ReadResourceResult | types.InputRequiredResult: ...

    async def read_resource(
        self,
        uri: object,
        *,
        meta: dict[str, Any] | None = None,
        input_responses: dict[str, Any] | None = None,
        request_state: str | None = None,
        allow_input_required: bool = False,
        cache_mode: CacheMode = "use",
    ) -> types.ReadResourceResult | types.InputRequiredResult:
        """Read a resource.

        Args:
            uri: Its URI, a str or an object whose ``str()`` is one.
            meta: Sent as ``_meta`` of the request. Default: none.
            input_responses: As for `call_tool`.
            request_state: As for `call_tool`.
            allow_input_required: As for `call_tool`.
            cache_mode: As for `list_tools`.

        Returns:
            Its contents.

        Raises:
            MCPError: The server refused, as it does for an unknown resource.
        """
        params: dict[str, Any] = {"uri": read_uri(uri)}
        _add_round(params, input_responses, request_state)
        answer = await self._request(
            "resources/read",
            params,
            meta=meta,
            allow_input_required=allow_input_required,
            how=read_cache_mode(cache_mode),
        )
        if allow_input_required and _wants_input(answer):
            return types.InputRequiredResult._wrap(answer)
        return types.ReadResourceResult._wrap(answer)

    async def subscribe_resource(
        self, uri: object, *, meta: dict[str, Any] | None = None
    ) -> types.EmptyResult:
        """Ask to be told when a resource changes; the notifications reach ``message_handler``.

        Revisions to 2025-11-25 only; later ones have ``listen``.
        """
        params = {"uri": read_uri(uri)}
        return types.EmptyResult._wrap(
            await self._request("resources/subscribe", params, meta=meta)
        )

    async def unsubscribe_resource(
        self, uri: object, *, meta: dict[str, Any] | None = None
    ) -> types.EmptyResult:
        """Ask to be told no longer when a resource changes; see `subscribe_resource`."""
        params = {"uri": read_uri(uri)}
        return types.EmptyResult._wrap(
            await self._request("resources/unsubscribe", params, meta=meta)
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

    async def set_logging_level(
        self, level: str, *, meta: dict[str, Any] | None = None
    ) -> types.EmptyResult:
        """Ask for log lines of this level and above: ``"debug"``, ``"info"``, … ``"emergency"``.

        In revision 2026-07-28 nothing is sent now: the level goes with each request that follows.

        Raises:
            ConfigurationError: ``level`` is no level of the protocol.
        """
        check_log_level("level", level)
        params = {"level": level}
        return types.EmptyResult._wrap(await self._request("logging/setLevel", params, meta=meta))

    # Notifications.

    async def send_progress_notification(
        self,
        progress_token: str | int,
        progress: float,
        total: float | None = None,
        message: str | None = None,
    ) -> None:
        """Report the progress of a request of the server; revision 2026-07-28 has none of those."""
        if isinstance(progress_token, bool) or not isinstance(progress_token, (str, int)):
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
        """Tell the server that the roots have changed; in revision 2026-07-28 it asks when it must."""
        await self._notify("notifications/roots/list_changed", None)


def _wants_input(answer: dict[str, Any]) -> bool:
    return answer.get("resultType") == "input_required"


def _add_round(
    params: dict[str, Any], input_responses: dict[str, Any] | None, request_state: str | None
) -> None:
    """Go on with a call whose wish for input came earlier."""
    if input_responses is not None:
        check_object("input_responses", input_responses)
        params["inputResponses"] = input_responses
    if request_state is not None:
        check_str("request_state", request_state)
        params["requestState"] = request_state
