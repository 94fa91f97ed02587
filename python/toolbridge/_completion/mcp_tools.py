"""Tools of the type ``mcp`` in a completion call: the tool loop over their servers, seen as one answer.

A tool is OpenAI's: ``{"type": "mcp", "server_url": …, "server_label": …, "headers": …,
"allowed_tools": […], "require_approval": …}``. One whose ``server_url`` is no URL, as LiteLLM's
``litellm_proxy``, stands for the servers of a gateway, and is the provider's to understand.
"""

from __future__ import annotations

from toolbridge._toolbridge import run_completion, run_completion_stream
from toolbridge.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from toolbridge._completion.parameters import Request
    from toolbridge.agent import ToolCall

__all__ = ["Servers", "arun", "is_of_mcp", "run", "take"]

# What says how the loop goes; not sent to the provider.
OPTIONS = ("mcp_max_rounds", "mcp_max_parallel", "mcp_tool_timeout", "mcp_stream")
_DETAILS = ("final", "answer", "everything")


def is_of_mcp(tool: Any) -> bool:
    """Tell whether a tool is a server that is called from here."""
    return (
        isinstance(tool, dict)
        and tool.get("type") == "mcp"
        and str(tool.get("server_url")).startswith(("http://", "https://"))
    )


class Servers:
    """The servers among the tools of a call, and the other tools."""

    __slots__ = ("approvals", "described", "options", "others")

    def __init__(self, tools: Sequence[Any], options: dict[str, Any]) -> None:
        """Sort the tools.

        Raises:
            ConfigurationError: One of them has a value that cannot be used.
        """
        self.described: dict[str, dict[str, Any]] = {}
        self.approvals: dict[str, Any] = {}
        self.others: list[Any] = []
        self.options = options
        for position, tool in enumerate(tools):
            if is_of_mcp(tool):
                self._add(tool, position)
            else:
                self.others.append(tool)

    def _add(self, tool: Mapping[str, Any], position: int) -> None:
        label = tool.get("server_label") or f"server{position}"
        if not isinstance(label, str):
            message = f"server_label of tools[{position}] is {label!r}; it takes a text"
            raise ConfigurationError(message)
        if label in self.described:
            message = f"tools has two MCP servers with the server_label {label!r}; rename one"
            raise ConfigurationError(message)
        described: dict[str, Any] = {"url": tool["server_url"]}
        headers = dict(tool.get("headers") or {})
        if tool.get("authorization"):
            headers["Authorization"] = f"Bearer {tool['authorization']}"
        if headers:
            described["headers"] = headers
        allowed = tool.get("allowed_tools")
        if isinstance(allowed, dict):
            allowed = allowed.get("tool_names")
        if allowed is not None:
            described["allowed_tools"] = list(allowed)
        self.described[label] = described
        self.approvals[label] = _approval(tool.get("require_approval"), position)

    @property
    def asks(self) -> bool:
        """Whether any call needs a decision."""
        return any(approval != "never" for approval in self.approvals.values())

    async def decide(self, call: ToolCall) -> Any:
        """Decide about a call as its server's ``require_approval`` says."""
        approval = self.approvals.get(call.server or "", "never")
        if approval == "never":
            return True
        if callable(approval):
            decision: Any = approval(call)
            return await decision if hasattr(decision, "__await__") else decision
        if isinstance(approval, frozenset):
            own = call.name.removeprefix(f"{call.server}-")
            return True if own in approval else None
        return None


def _approval(given: Any, position: int) -> Any:
    """``"never"``, ``"always"``, a function, or the names of the tools that need none."""
    if given is None or given == "always":
        # As at OpenAI: a call that nobody said a word about is not made.
        return "always"
    if given == "never" or callable(given):
        return given
    if isinstance(given, dict):
        never = given.get("never")
        if isinstance(never, dict):
            return frozenset(never.get("tool_names") or ())
        return "always"
    message = (
        f'require_approval of tools[{position}] is {given!r}; it takes "never", "always", '
        '{"never": {"tool_names": […]}} or a function that is asked about each call'
    )
    raise ConfigurationError(message)


def take(body: dict[str, Any]) -> Servers | None:
    """Take the servers out of the body of a call; None if there are none."""
    tools = body.get("tools")
    if not tools or not any(is_of_mcp(tool) for tool in tools):
        return None
    options = {name: body.pop(name) for name in OPTIONS if name in body}
    servers = Servers(body.pop("tools"), options)
    detail = options.get("mcp_stream", _DETAILS[0])
    if detail not in _DETAILS:
        message = f"mcp_stream is {detail!r}; it takes one of {', '.join(map(repr, _DETAILS))}"
        raise ConfigurationError(message)
    return servers


async def arun(
    model: str, request: Request, *, is_async: bool = True
) -> tuple[Any, dict[str, Any]]:
    """Run the loop; what `chat_completion` or `chat_stream` gives."""
    from toolbridge._agent import Given, watcher
    from toolbridge._completion.models import Plan
    from toolbridge.agent import Asker
    from toolbridge.client import Client

    servers = request.mcp
    if servers is None or request.router is not None:
        message = "a Router takes no tools of the type mcp; give them to acompletion"
        raise ConfigurationError(message)
    is_stream = "stream" in request.body
    plan = Plan(model, request)
    options = servers.options
    settings = {
        name: options[f"mcp_{name}"]
        for name in ("max_rounds", "max_parallel", "tool_timeout")
        if f"mcp_{name}" in options
    }
    client = Client(servers.described)
    ask = Asker(servers.decide).ask if servers.asks else None
    is_under_way = False
    await client.__aenter__()
    try:
        _check_reached(client, servers.described)
        given = Given(
            client._native(),
            # As without the loop, a stream is not checked.
            plan.models(streams=is_stream, checks=not is_stream),
            request.body["messages"],
            {**settings, "streams": is_stream},
            (None, servers.others),
            ask,
            watch=watcher(model, request, is_async=is_async),
        )
        if not is_stream:
            return await run_completion(given)
        begun = await run_completion_stream(given, options.get("mcp_stream", _DETAILS[0]))
        # The connections live as long as the run that holds them.
        is_under_way = True
        return begun
    finally:
        if not is_under_way:
            await client.aclose()


def run(model: str, request: Request) -> tuple[Any, dict[str, Any]]:
    """Run the loop for a caller that waits, in a thread and a loop of its own.

    Raises:
        ConfigurationError: A stream is asked for; it would have nobody to go on in.
    """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    if "stream" in request.body:
        message = "completion() with tools of the type mcp does not stream; use acompletion"
        raise ConfigurationError(message)

    async def answer() -> tuple[Any, dict[str, Any]]:
        try:
            return await arun(model, request, is_async=False)
        finally:
            if request.is_watched:
                from toolbridge._completion.observe import settled

                await settled()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, answer()).result()


def _check_reached(client: Any, described: Mapping[str, Any]) -> None:
    """A server that was asked for by name and is not there is an error of the call."""
    for label in described:
        error = client.servers[label].last_error
        if error is not None:
            raise error
