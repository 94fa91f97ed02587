"""How a run begins: what `toolbridge.Client.run` was given, as the engine takes it."""

from __future__ import annotations

from toolbridge._cassette import current
from toolbridge._completion.models import Plan
from toolbridge._completion.parameters import prepare
from toolbridge._toolbridge import start_run
from toolbridge.agent import Left, Run
from toolbridge.exceptions import ConfigurationError
from toolbridge.mcp.client._arguments import type_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from toolbridge._completion.models import Models
    from toolbridge._completion.observe import Watcher
    from toolbridge._completion.parameters import Request
    from toolbridge._toolbridge import AgentRun, Group, Verdict
    from toolbridge.agent import Event, RunResult, _Approve

__all__ = ["Given", "begin", "watcher"]

# OpenAI's deprecated names. A call that a model makes by them has no id, so no result goes back to it.
_WITHOUT_RESULTS = {"functions": "give them in tools", "function_call": "give tool_choice"}


def begin(
    group: Group,
    model: str,
    messages: Sequence[Any],
    *,
    tools: Sequence[str | Mapping[str, Any]] | None,
    settings: dict[str, Any],
    approve: _Approve | None,
    on_event: Callable[[Event], object] | None,
    stream: bool | None,
    resume: RunResult | Mapping[str, Any] | None,
    decisions: Mapping[str, object] | None,
    parameters: dict[str, Any],
) -> Run:
    """Check the arguments of ``Client.run``; nothing is asked of anybody yet.

    Raises:
        ConfigurationError: An argument has a value that cannot be used.
        TypeError: An argument has a type that it does not take.
    """
    for name, instead in _WITHOUT_RESULTS.items():
        if parameters.get(name) is not None:
            message = (
                f"a run takes no {name}: the calls that a model makes by it have no id that a result "
                f"could be given to; {instead}"
            )
            raise ConfigurationError(message)
    for name, callback in (("approve", approve), ("on_event", on_event)):
        if callback is not None and not callable(callback):
            raise type_error(name, "a function, a coroutine function or None", callback)
    if stream is not None and not isinstance(stream, bool):
        raise type_error("stream", "a bool or None", stream)
    for name in ("max_rounds", "max_parallel", "max_result_tokens"):
        if settings[name] is not None:
            _check_count(name, settings[name])
    if not isinstance(settings["search"], bool):
        _check_count("search", settings["search"])
    left = None
    if resume is not None:
        if messages:
            message = "messages and resume exclude each other: the result has its messages"
            raise ConfigurationError(message)
        left = Left(resume, decisions, asks=approve is not None)
        messages = left.messages
    elif decisions is not None:
        message = "decisions are about the calls of another run; give its result as resume"
        raise ConfigurationError(message)
    request = prepare({"model": model, "messages": messages, "kwargs": parameters})
    plan = Plan(model, request)
    choice = _choice(tools)
    tape = current()

    def start(listens: bool, ask: Callable[[dict[str, Any], Verdict], object] | None) -> AgentRun:
        streams = listens if stream is None else stream
        given = Given(
            group,
            plan.models(streams=streams),
            request.body["messages"],
            {**_said(settings), "streams": streams},
            choice,
            ask,
            None if left is None else (left.calls, left.decisions, left.rounds, left.usage),
            watcher(model, request, is_async=True),
        )
        given.cassette = tape
        return start_run(given, listens)

    return Run(start, approve, on_event)


def watcher(model: str, request: Request, *, is_async: bool) -> Watcher | None:
    """Who is told of the calls of the model; None where nobody wants to know."""
    if not request.is_watched:
        return None
    from toolbridge._completion.observe import Watcher

    return Watcher(model, request, is_async=is_async)


class Given:
    """What a run is made of, as the engine reads it."""

    __slots__ = (
        "approve",
        "cassette",
        "choice",
        "group",
        "left",
        "messages",
        "models",
        "settings",
        "watch",
    )

    def __init__(
        self,
        group: Group,
        models: Models,
        messages: Sequence[Any],
        settings: dict[str, Any],
        choice: tuple[list[str] | None, list[Any]],
        approve: Callable[[dict[str, Any], Verdict], object] | None,
        left: tuple[Any, ...] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self.group = group
        self.models = models
        self.messages = messages
        self.settings = settings
        self.choice = choice
        self.approve = approve
        self.left = left
        self.watch = watch
        self.cassette = current()


def _said(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise type_error(name, "an int", value)
    if not 1 <= value < 2**31:
        message = f"{name} is {value}; it takes an int of 1 or more"
        raise ConfigurationError(message)


def _choice(tools: Sequence[str | Mapping[str, Any]] | None) -> tuple[list[str] | None, list[Any]]:
    """Which tools are offered: names, or None for all; and the caller's own."""
    if tools is None:
        return None, []
    if isinstance(tools, str) or not isinstance(tools, (list, tuple)):
        raise type_error("tools", "a list of names and dicts, or None", tools)
    names: list[str] = []
    functions: list[Any] = []
    for position, tool in enumerate(tools):
        if isinstance(tool, str):
            names.append(tool)
        elif hasattr(tool, "keys"):
            functions.append(tool)
        else:
            raise type_error(f"tools[{position}]", "a name or a dict", tool)
    if functions and not names:
        # Whoever gives functions alone adds them to all the tools.
        return None, functions
    return names, functions
