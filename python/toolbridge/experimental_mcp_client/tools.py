"""MCP tools for models, the tool calls of models for MCP, and the results of tools for models.

Every function that takes a session takes :class:`toolbridge.mcp.ClientSession` and the
``mcp.ClientSession`` of the official package, 1.x and 2.x; with an official session the official
objects come back. The transforms themselves are in the engine.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.exceptions import (
    ConfigurationError,
    MCPError,
    MCPTimeoutError,
    ToolCallArgumentsError,
)
from toolbridge.experimental_mcp_client.results import (
    to_anthropic_block,
    to_bedrock_block,
    to_gemini_parts,
    to_openai_message,
    to_openai_messages,
    to_openai_responses_item,
)
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, overload

    from toolbridge.mcp.types import CallToolRequestParams

__all__ = [
    "call_mcp_tool",
    "call_openai_tool",
    "list_tools_with_pagination",
    "load_mcp_tools",
    "read_tool_arguments",
    "to_anthropic_block",
    "to_bedrock_block",
    "to_gemini_parts",
    "to_openai_message",
    "to_openai_messages",
    "to_openai_responses_item",
    "transform_mcp_tool_to_anthropic_tool",
    "transform_mcp_tool_to_openai_responses_api_tool",
    "transform_mcp_tool_to_openai_tool",
    "transform_openai_tool_call_request_to_mcp_tool_call_request",
]

_LISTING_DEADLINE = 60.0
_LISTING_PAGES = 1000
_INTERNAL_ERROR = -32603


if TYPE_CHECKING:

    @overload
    def transform_mcp_tool_to_openai_tool(
        mcp_tool: Any, *, strict: bool = False, report: Literal[False] = False
    ) -> dict[str, Any]: ...

    @overload
    def transform_mcp_tool_to_openai_tool(
        mcp_tool: Any, *, strict: bool = False, report: Literal[True]
    ) -> tuple[dict[str, Any], list[dict[str, str]]]: ...


def transform_mcp_tool_to_openai_tool(
    mcp_tool: Any, *, strict: bool = False, report: bool = False
) -> Any:
    """Describes an MCP tool as a tool of OpenAI's chat completions.

    Args:
        mcp_tool: a tool of toolbridge or of the official ``mcp`` package, or a dict.
        strict: True asks for OpenAI's strict mode: what may be left out has to be sent as ``null``,
            and what cannot be listed as JSON text. :func:`read_tool_arguments` undoes both. A schema
            that strict mode cannot hold is sent without it.
        report: True returns what was changed as well.

    Returns:
        ``{"type": "function", "function": {"name", "description", "parameters", "strict"}}``. What
        OpenAI demands at the root of a schema (``type``, ``properties``) is added when it is
        missing, and ``additionalProperties: false`` likewise. A schema that OpenAI takes stays what
        it is but for that; what OpenAI refuses is said in other words or in the description.
        With ``report`` a pair: that, and a list of changes, each a dict with ``path`` (a JSON pointer
        into the schema), ``keyword``, ``action`` (``rewritten``, ``added``, ``repaired``,
        ``described``, ``widened``, ``narrowed`` or ``dropped``) and ``detail``. Without it changes
        are told to the logger ``toolbridge.schema``.

    Raises:
        TypeError: ``mcp_tool`` is no tool.
        ConfigurationError: the tool has no name, or its schema is not an object.
    """
    return _transformed("openai", mcp_tool, strict=strict, report=report)


if TYPE_CHECKING:

    @overload
    def transform_mcp_tool_to_openai_responses_api_tool(
        mcp_tool: Any, *, strict: bool = False, report: Literal[False] = False
    ) -> dict[str, Any]: ...

    @overload
    def transform_mcp_tool_to_openai_responses_api_tool(
        mcp_tool: Any, *, strict: bool = False, report: Literal[True]
    ) -> tuple[dict[str, Any], list[dict[str, str]]]: ...


def transform_mcp_tool_to_openai_responses_api_tool(
    mcp_tool: Any, *, strict: bool = False, report: bool = False
) -> Any:
    """Describes an MCP tool as a function tool of OpenAI's Responses API.

    Args:
        mcp_tool: a tool of toolbridge or of the official ``mcp`` package, or a dict.
        strict: True asks for strict mode, as in :func:`transform_mcp_tool_to_openai_tool`.
        report: True returns what was changed as well.

    Returns:
        ``{"name", "parameters", "strict", "type": "function", "description"}``, the schema completed
        and changed as by :func:`transform_mcp_tool_to_openai_tool`; with ``report`` a pair likewise.

    Raises:
        TypeError: ``mcp_tool`` is no tool.
        ConfigurationError: the tool has no name, or its schema is not an object.
    """
    return _transformed("openai_responses", mcp_tool, strict=strict, report=report)


if TYPE_CHECKING:

    @overload
    def transform_mcp_tool_to_anthropic_tool(
        mcp_tool: Any, *, report: Literal[False] = False
    ) -> dict[str, Any]: ...

    @overload
    def transform_mcp_tool_to_anthropic_tool(
        mcp_tool: Any, *, report: Literal[True]
    ) -> tuple[dict[str, Any], list[dict[str, str]]]: ...


def transform_mcp_tool_to_anthropic_tool(mcp_tool: Any, *, report: bool = False) -> Any:
    """Describes an MCP tool as a tool of Anthropic's Messages API.

    Args:
        mcp_tool: a tool of toolbridge or of the official ``mcp`` package, or a dict.
        report: True returns what was changed as well.

    Returns:
        ``{"name", "description", "input_schema", "type": "custom"}``. The type at the root of the
        schema is made ``object``; what Anthropic refuses is said in other words or in the
        description, and all else stays. With ``report`` a pair: that, and the changes as
        :func:`transform_mcp_tool_to_openai_tool` lists them.

    Raises:
        TypeError: ``mcp_tool`` is no tool.
        ConfigurationError: the tool has no name, or its schema is not an object.
    """
    return _transformed("anthropic", mcp_tool, strict=False, report=report)


def read_tool_arguments(mcp_tool: Any, arguments: Any, *, strict: bool = False) -> dict[str, Any]:
    """Reads what a model sent as the arguments of a tool, and checks it against the tool's own schema.

    Args:
        mcp_tool: the tool, as the server lists it: of toolbridge, of the official ``mcp`` package, or
            a dict.
        arguments: what the model sent: a text or a dict; None is no arguments.
        strict: whether the tool was described with ``strict=True``: what strict mode made of them is
            undone.

    Returns:
        The arguments for the server. A schema that is no JSON Schema checks nothing.

    Raises:
        TypeError: ``mcp_tool`` is no tool.
        ToolCallArgumentsError: they do not fit; ``message`` says where and what fits, for the model to
            repair them.
    """
    tool = _definition(mcp_tool)
    sent = "" if arguments is None else arguments
    read, told = _toolbridge.read_arguments("openai", tool, sent, strict)
    if read is None:
        shown = sent if isinstance(sent, str) else repr(sent)
        raise ToolCallArgumentsError(told or "", tool.get("name"), shown)
    return read


async def load_mcp_tools(session: Any, format: Literal["mcp", "openai"] = "mcp") -> list[Any]:  # noqa: A002
    """Lists all the tools of an MCP server, every page of them.

    Args:
        session: a session of toolbridge or of the official ``mcp`` package.
        format: ``"mcp"`` for the tools as the session gives them, ``"openai"`` for the dicts of
            :func:`transform_mcp_tool_to_openai_tool`.

    Returns:
        The tools.

    Raises:
        TypeError: ``session`` is no session.
        ConfigurationError: an unknown ``format``, or a tool that cannot be transformed.
        MCPError: the server refused, or did not answer in time (:class:`MCPTimeoutError`).
    """
    if format not in ("mcp", "openai"):
        raise ConfigurationError(f'format takes "mcp" or "openai", not {format!r}')
    if format == "mcp":
        return await list_tools_with_pagination(session)
    described: list[Any] = []
    for page in await _pages(session, None, require_complete=False):
        described += _described("openai", _definitions(page))
    return described


async def list_tools_with_pagination(
    session: Any, listing_deadline: float | None = None, *, require_complete: bool = False
) -> list[Any]:
    """Lists all the tools of an MCP server, every page of them.

    A catalogue that repeats a cursor, does not end within ``MCP_TOOL_LISTING_MAX_PAGES`` pages (an
    environment variable, 1000 by default) or takes longer than the deadline is cut there.

    Args:
        session: a session of toolbridge or of the official ``mcp`` package.
        listing_deadline: seconds for the whole listing; None means 60.
        require_complete: raises instead of returning a part of the catalogue.

    Returns:
        The tools, as the session gives them. When the catalogue was cut, a warning is logged.

    Raises:
        TypeError: ``session`` is no session, or ``listing_deadline`` is no number.
        ConfigurationError: ``listing_deadline`` or ``MCP_TOOL_LISTING_MAX_PAGES`` is not positive.
        MCPTimeoutError: not even the first page came in time.
        MCPError: the server refused, or the catalogue was cut and ``require_complete`` is set.
    """
    tools: list[Any] = []
    for page in await _pages(session, listing_deadline, require_complete=require_complete):
        tools += page.tools
    return tools


async def call_mcp_tool(session: Any, call_tool_request_params: Any) -> Any:
    """Calls a tool over MCP.

    Args:
        session: a session of toolbridge or of the official ``mcp`` package.
        call_tool_request_params: the name and the arguments: a ``CallToolRequestParams`` of
            toolbridge or of the official package, or a dict.

    Returns:
        What ``session.call_tool`` returns. A tool that failed says so in ``isError``; it is not
        raised.

    Raises:
        TypeError: ``session`` is no session, or the parameters are none.
        MCPError: the server refused the call.
    """
    _check_session(session)
    params = call_tool_request_params
    if isinstance(params, (dict, Object)):
        name, arguments = params.get("name"), params.get("arguments")
    else:
        name, arguments = getattr(params, "name", None), getattr(params, "arguments", None)
    if not isinstance(name, str):
        raise TypeError(
            "call_tool_request_params takes a CallToolRequestParams or a dict with a name,"
            f" not {_kind(params)}"
        )
    return await session.call_tool(name=name, arguments=arguments)


async def call_openai_tool(session: Any, openai_tool: Any, *, strict: bool = True) -> Any:
    """Calls over MCP the tool that a model asked for.

    Args:
        session: a session of toolbridge or of the official ``mcp`` package.
        openai_tool: the tool call, as in ``response.choices[0].message.tool_calls[0]``: an object of
            toolbridge, openai or litellm, or a dict.
        strict: False calls the tool without arguments when the model sent none that can be used.

    Returns:
        What ``session.call_tool`` returns. A tool that failed says so in ``isError``; it is not
        raised.

    Raises:
        TypeError: ``session`` is no session, or ``openai_tool`` is no tool call.
        ConfigurationError: the tool call names no tool.
        ToolCallArgumentsError: the arguments are not a JSON object.
        MCPError: the server refused the call.
    """
    _check_session(session)
    params = transform_openai_tool_call_request_to_mcp_tool_call_request(openai_tool, strict=strict)
    return await session.call_tool(name=params.name, arguments=params.arguments)


def transform_openai_tool_call_request_to_mcp_tool_call_request(
    openai_tool: Any, *, strict: bool = True
) -> CallToolRequestParams:
    """Reads the tool call of a model as the parameters of an MCP call.

    Args:
        openai_tool: the tool call: an object of toolbridge, openai or litellm, or a dict, of chat
            completions (``{"function": {"name", "arguments"}}``) or flat as in the Responses API
            (``{"type": "function_call", "name", "arguments"}``).
        strict: False makes ``{}`` of arguments that are not a JSON object, as LiteLLM does.

    Returns:
        The parameters, with ``name`` and ``arguments``; arguments that are absent, null or empty are
        ``{}``.

    Raises:
        TypeError: ``openai_tool`` is no tool call.
        ConfigurationError: the tool call names no tool.
        ToolCallArgumentsError: the arguments are not a JSON object; the error shows what they are.
    """
    from toolbridge.mcp.types import CallToolRequestParams

    name, sent = _toolbridge.read_tool_call(_call(openai_tool))
    try:
        arguments = _arguments(sent)
    except ValueError as problem:
        if strict:
            shown = sent if isinstance(sent, str) else repr(sent)
            raise ToolCallArgumentsError(
                f"the arguments for the tool {name!r} are {problem}", name, shown
            ) from None
        arguments = {}
    return CallToolRequestParams._wrap({"name": name, "arguments": arguments})


def _transformed(format_name: str, mcp_tool: Any, *, strict: bool, report: bool) -> Any:
    tools = [_definition(mcp_tool)]
    if not report:
        return _described(format_name, tools, strict=strict)[0]
    ((described, changes),) = _toolbridge.transform_tools(format_name, tools, strict)
    return described, changes or []


def _described(format_name: str, tools: list[Any], *, strict: bool = False) -> list[dict[str, Any]]:
    """Describes tools, and logs which schemas could not stay what they were."""
    described = []
    for tool, changes in _toolbridge.transform_tools(format_name, tools, strict):
        described.append(tool)
        if changes and any(change["action"] != "added" for change in changes):
            _log_changes(format_name, tool, changes)
    return described


def _log_changes(format_name: str, tool: dict[str, Any], changes: list[dict[str, str]]) -> None:
    import logging

    logging.getLogger("toolbridge.schema").info(
        "the schema of the tool %r is changed for %s in %d places: %s",
        tool.get("name") or tool.get("function", {}).get("name"),
        format_name,
        len(changes),
        "; ".join(
            f"{change['path'] or 'root'}: {change['keyword']} {change['action']}"
            for change in changes[:5]
        ),
    )


def _definition(tool: Any) -> dict[str, Any]:
    """Reads a tool of any package as the dict that it is on the wire."""
    if isinstance(tool, (dict, Object)):
        fields = tool._data if isinstance(tool, Object) else tool
        if "inputSchema" in fields or "input_schema" not in fields:
            return fields
        return {**fields, "inputSchema": fields["input_schema"]}
    for spelling in ("inputSchema", "input_schema"):
        schema = getattr(tool, spelling, None)
        if schema is not None and hasattr(tool, "name") and not isinstance(tool, type):
            description = getattr(tool, "description", None)
            return {"name": tool.name, "description": description, "inputSchema": schema}
    raise TypeError(
        "mcp_tool takes a tool of toolbridge or of the mcp package, or a dict with name and"
        f" inputSchema, not {_kind(tool)}"
    )


def _definitions(page: Any) -> list[Any]:
    """Reads the tools of a page as they are on the wire, without making objects of them."""
    if isinstance(page, Object):
        tools = page._data.get("tools")
        if tools is None or isinstance(tools, list):
            return tools or []
        raise MCPError(
            _INTERNAL_ERROR, f"the server's answer to tools/list holds {_kind(tools)}, not a list"
        )
    return [_definition(tool) for tool in page.tools]


def _call(openai_tool: Any) -> Any:
    """Reads a tool call of any package as a dict."""
    call = openai_tool
    if not isinstance(call, (dict, Object)):
        if isinstance(call, type) or not hasattr(call, "model_dump"):
            raise TypeError(
                "openai_tool takes a tool call of toolbridge, openai or litellm, or a dict,"
                f" not {_kind(call)}"
            )
        return call.model_dump()
    function: Any = call.get("function")
    if hasattr(function, "model_dump") and not isinstance(function, Object):
        return {**call, "function": function.model_dump()}
    return call


def _arguments(sent: Any) -> dict[str, Any]:
    """Decodes what a model sent as arguments."""
    if sent is None:
        return {}
    if isinstance(sent, str):
        decoded: dict[str, Any] = _toolbridge.tool_arguments(sent)
        return decoded
    if isinstance(sent, dict):
        return sent
    raise ValueError(f"{_kind(sent)} instead of a JSON object")


async def _pages(
    session: Any, listing_deadline: float | None, *, require_complete: bool
) -> list[Any]:
    """Lists the pages of a catalogue, and guards against catalogues without an end."""
    import asyncio

    _check_session(session)
    deadline = _positive("listing_deadline", listing_deadline, _LISTING_DEADLINE)
    most_pages = _most_pages()
    pages: list[Any] = []
    seen: set[str] = set()
    cursor: str | None = None
    problem = f"the catalogue did not end within {most_pages} pages"
    limit = asyncio.timeout(deadline)
    try:
        async with limit:
            while len(pages) < most_pages:
                pages.append(await _page(session, cursor))
                cursor = _next_cursor(pages[-1])
                if not cursor:
                    return pages
                if cursor in seen:
                    problem = "the server repeated a cursor"
                    break
                seen.add(cursor)
    except TimeoutError:
        if not limit.expired():
            raise
        problem = f"the catalogue did not end within {deadline:g} seconds"
        if not pages:
            raise MCPTimeoutError(
                f"the server did not answer tools/list within {deadline:g} seconds"
            ) from None
    if require_complete:
        raise MCPError(_INTERNAL_ERROR, f"the list of tools is not complete: {problem}")
    import logging

    logging.getLogger("toolbridge").warning(
        "the list of tools is not complete, %d pages are used: %s", len(pages), problem
    )
    return pages


async def _page(session: Any, cursor: str | None) -> Any:
    if cursor is None:
        return await session.list_tools()
    if any(base.__module__.partition(".")[0] == "mcp" for base in type(session).__mro__):
        # The one form that both major versions of the official package take.
        from importlib import import_module

        params = import_module("mcp.types").PaginatedRequestParams(cursor=cursor)
        return await session.list_tools(params=params)
    return await session.list_tools(cursor=cursor)


def _next_cursor(page: Any) -> str | None:
    """Reads the cursor by either spelling; what is no text ends the listing."""
    cursor = getattr(page, "nextCursor", None) or getattr(page, "next_cursor", None)
    return cursor if isinstance(cursor, str) else None


def _check_session(session: Any) -> None:
    listing, calling = getattr(session, "list_tools", None), getattr(session, "call_tool", None)
    if isinstance(session, type) or not (callable(listing) and callable(calling)):
        raise TypeError(
            "session takes a ClientSession of toolbridge.mcp or of the mcp package,"
            f" not {_kind(session)}"
        )


def _positive(argument: str, value: Any, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{argument} takes seconds as a number or None, not {_kind(value)}")
    if not value > 0:
        raise ConfigurationError(f"{argument} takes a number of seconds above 0, not {value!r}")
    return float(value)


def _most_pages() -> int:
    import os

    text = os.environ.get("MCP_TOOL_LISTING_MAX_PAGES")
    if text is None:
        return _LISTING_PAGES
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ConfigurationError(
        f"MCP_TOOL_LISTING_MAX_PAGES takes a number of pages above 0, not {text!r}"
    )


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
