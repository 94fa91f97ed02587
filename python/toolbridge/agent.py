"""The tool loop: a model and the tools of MCP servers, until the model is done.

`toolbridge.Client.run` makes a `Run`. The loop itself is in the engine; what is here is how it is
told of: the events, the result, and how a call is approved.
"""

from __future__ import annotations

from toolbridge.exceptions import ConfigurationError, RoundLimitError
from toolbridge.mcp.types import CallToolResult  # noqa: TC001 - found here when it is read
from toolbridge.objects import Object
from toolbridge.types.chat import Message, ModelResponse, Usage  # noqa: TC001 - likewise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from typing import Any, ClassVar, Self

    from toolbridge import _toolbridge

    _Verdict = bool | str | Mapping[str, Any] | None
    _Approve = Callable[["ToolCall"], _Verdict | Awaitable[_Verdict]]

__all__ = [
    "Done",
    "Event",
    "FinishedCall",
    "ReasoningDelta",
    "RoundFinished",
    "Run",
    "RunResult",
    "TextDelta",
    "ToolCall",
    "ToolCallArguments",
    "ToolCallFinished",
    "ToolCallProgress",
    "ToolCallStarted",
]


class ToolCall(Object):
    """A call that a model wants to make.

    Attributes:
        id: The model's id of it.
        name: The tool, by the name in ``client.list_tools()``.
        server: The server that has it, or None.
        arguments: The arguments as the model wrote them, JSON text.
    """

    __slots__ = ()

    id: str
    name: str
    server: str | None
    arguments: str


class FinishedCall(Object):
    """A call that is over.

    Attributes:
        id: The model's id of it.
        name: The tool.
        server: The server that has it, or None.
        arguments: The arguments as the model wrote them, JSON text.
        changed_arguments: What it was made with instead, or None.
        result: What the tool gave. Where the call was not made, or failed, it says why.
        is_error: Whether it failed.
        seconds: How long it took.
    """

    __slots__ = ()

    id: str
    name: str
    server: str | None
    arguments: str
    changed_arguments: dict[str, Any] | None
    result: CallToolResult
    is_error: bool
    seconds: float


class RunResult(Object):
    """How a run ended. ``to_dict()`` of it is plain JSON, and goes into ``resume=`` of another run.

    Attributes:
        stop: ``"finished"``: the model answered. ``"approval"``: calls in ``pending`` wait for
            decisions. ``"function_calls"``: those in ``pending`` are of functions that the caller
            gave and carries out.
        response: The last answer of the model, or None.
        messages: The whole conversation, dicts: what was given, and what was said since.
        usage: What all rounds took together.
        rounds: How often the model was asked.
        calls: The calls that are over, in the order in which the model made them.
        pending: The calls that are not.
    """

    __slots__ = ()

    stop: str
    response: ModelResponse | None
    messages: list[Any]
    usage: Usage
    rounds: int
    calls: list[FinishedCall]
    pending: list[ToolCall]

    @property
    def is_finished(self) -> bool:
        """Whether the model answered and nothing is left to do."""
        return self.stop == "finished"

    @property
    def text(self) -> str:
        """What the model said last; empty if it said nothing."""
        response = self.response
        if response is None or not response.choices:
            return ""
        return response.choices[0].message.content or ""


class Event(Object):
    """What happens in a run.

    Attributes:
        type: Its name, as in ``"text_delta"``.
        round: Counts the questions to the model, from 1.
    """

    __slots__ = ()

    type: str
    round: int


class TextDelta(Event):
    """A piece of what the model says: ``text``."""

    __slots__ = ()

    text: str


class ReasoningDelta(Event):
    """A piece of what the model thinks: ``text``."""

    __slots__ = ()

    text: str


class ToolCallStarted(Event):
    """The model began to call a tool: ``id``, ``name``, and the ``server`` if it is known."""

    __slots__ = ()

    id: str
    name: str
    server: str | None


class ToolCallArguments(Event):
    """A piece of the arguments of a call: ``id``, and ``text``, a piece of JSON."""

    __slots__ = ()

    id: str
    text: str


class ToolCallProgress(Event):
    """A tool tells how far it is: ``id``, ``progress``, ``total`` and ``message`` if it says so."""

    __slots__ = ()

    id: str
    progress: float
    total: float | None
    message: str | None


class ToolCallFinished(Event):
    """A call is over: the fields of `FinishedCall`, ``arguments`` as an object or None."""

    __slots__ = ()

    id: str
    name: str
    server: str | None
    arguments: dict[str, Any] | None
    result: CallToolResult
    is_error: bool
    seconds: float


class RoundFinished(Event):
    """The model has said all of a round: ``message``, ``finish_reason``, ``usage`` or None."""

    __slots__ = ()

    message: Message
    finish_reason: str | None
    usage: Usage | None


class Done(Event):
    """The run is over: ``result``. The last event, unless the run fails."""

    __slots__ = ()

    result: RunResult


_EVENTS: dict[str, type[Event]] = {
    "text_delta": TextDelta,
    "reasoning_delta": ReasoningDelta,
    "tool_call_started": ToolCallStarted,
    "tool_call_arguments": ToolCallArguments,
    "tool_call_progress": ToolCallProgress,
    "tool_call_finished": ToolCallFinished,
    "round_finished": RoundFinished,
}


class Run:
    """A run of the tool loop; made by `toolbridge.Client.run`.

    ``await run`` gives the `RunResult`. ``async for event in run`` gives what happens as it happens,
    `TextDelta` and its siblings, `Done` at the end; the result is ``run.result`` then. It begins
    when it is first awaited or iterated over. A run that is given up (its task is cancelled, the
    ``async with`` block around it ends, nothing refers to it any more) ends the request of the model
    and cancels the calls of tools.
    """

    def __init__(
        self,
        begin: Callable[[bool, Callable[..., None] | None], _toolbridge.AgentRun],
        approve: _Approve | None,
        on_event: Callable[[Event], object] | None,
    ) -> None:
        """Made by `toolbridge.Client.run`."""
        self._begin = begin
        self._asker = None if approve is None else Asker(approve)
        self._on_event = on_event
        self._native: _toolbridge.AgentRun | None = None
        self._waiting: list[dict[str, Any]] = []
        self._has_ended = False
        self._result: RunResult | None = None
        self._error: BaseException | None = None

    @property
    def result(self) -> RunResult | None:
        """The result, or how far the run came if it failed; None while it goes on."""
        return self._result

    @property
    def response(self) -> ModelResponse | None:
        """The last answer of the model; None while the run goes on."""
        return None if self._result is None else self._result.response

    @property
    def messages(self) -> list[Any]:
        """The whole conversation; empty while the run goes on."""
        return [] if self._result is None else self._result.messages

    @property
    def usage(self) -> Usage | None:
        """What all rounds took together; None while the run goes on."""
        return None if self._result is None else self._result.usage

    def __await__(self) -> Generator[Any, Any, RunResult]:
        """Run to the end."""
        return self._finish().__await__()

    def __aiter__(self) -> Self:
        """Go through the events."""
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event.

        Raises:
            StopAsyncIteration: There are no more.
            RoundLimitError: As for ``await run``, as are all others.
        """
        if self._has_ended and not self._waiting:
            raise StopAsyncIteration
        native = self._started(listens=True)
        if not self._waiting:
            batch = await native.events()
            if batch is None:
                self._has_ended = True
                event: Event = Done._wrap({"type": "done", "result": await self._ended()})
                event["round"] = event["result"]["rounds"]
                await self._tell(event)
                return event
            batch.reverse()
            self._waiting = batch
        data = self._waiting.pop()
        event = _EVENTS.get(data["type"], Event)._wrap(data)
        await self._tell(event)
        return event

    async def _tell(self, event: Event) -> None:
        if self._on_event is None:
            return
        try:
            outcome: Any = self._on_event(event)
            if hasattr(outcome, "__await__"):
                await outcome
        except BaseException:
            self.close()
            raise

    async def _finish(self) -> RunResult:
        if self._on_event is not None:
            async for _ in self:
                pass
        elif self._result is None:
            self._started(listens=False)
        return await self._ended()

    def _started(self, *, listens: bool) -> _toolbridge.AgentRun:
        if self._native is None:
            ask = None if self._asker is None else self._asker.ask
            self._native = self._begin(listens, ask)
        return self._native

    async def _ended(self) -> RunResult:
        if self._result is None:
            native = self._started(listens=False)
            try:
                data, error, facts = await native.outcome()
            except BaseException:
                self.close()
                raise
            self._result = RunResult._wrap(data)
            if facts is not None and self._result.response is not None:
                self._result.response._hidden_params = facts
            self._error = error
            if data["stop"] == "round_limit":
                self._error = RoundLimitError.of(self._result)
        if self._error is not None:
            self._error.run_result = self._result  # type: ignore[attr-defined]
            raise self._error
        return self._result

    def close(self) -> None:
        """End the run, whatever it does. Closing twice does nothing."""
        self._has_ended = True
        self._waiting = []
        if self._native is not None:
            self._native.close()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    async def __aenter__(self) -> Self:
        """Give the run; it ends with the block."""
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """End the run."""
        self.close()

    def __repr__(self) -> str:
        """Say how far it is."""
        if self._result is not None:
            return f"<Run {self._result.stop} after {self._result.rounds} rounds>"
        return "<Run not begun>" if self._native is None else "<Run under way>"


class Asker:
    """Asks a callback of the user's about calls, for the engine."""

    __slots__ = ("_approve", "_tasks")

    def __init__(self, approve: _Approve) -> None:
        """Of the callback, a function or a coroutine function."""
        self._approve = approve
        self._tasks: set[Any] = set()

    def ask(self, call: dict[str, Any], verdict: _toolbridge.Verdict) -> None:
        """Ask about a call, in a task: the callback may be a coroutine function."""
        import asyncio

        task = asyncio.get_running_loop().create_task(self._decide(call, verdict))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _decide(self, call: dict[str, Any], verdict: _toolbridge.Verdict) -> None:
        try:
            decision: Any = self._approve(ToolCall._wrap(call))
            if hasattr(decision, "__await__"):
                decision = await decision
            verdict.give(*read_decision(decision))
        except BaseException as failure:
            verdict.fail(failure)
            if not isinstance(failure, Exception):
                raise


def read_decision(decision: object) -> tuple[str, str | None, dict[str, Any] | None]:
    """Say what a decision of the user means.

    Args:
        decision: True: the call is made. False, or a text that says why: it is not. A dict: it is
            made with these arguments. None: it is not decided yet, and the run stops before it.

    Raises:
        TypeError: It is something else.
    """
    from collections.abc import Mapping

    if decision is True:
        return "allow", None, None
    if decision is False:
        return "refuse", None, None
    if decision is None:
        return "defer", None, None
    if isinstance(decision, str):
        return "refuse", decision, None
    if isinstance(decision, Mapping):
        return "allow", None, dict(decision)
    raise TypeError(
        "a decision about a tool call is True, False, a str that says why not, a dict of other "
        f"arguments, or None for later, not {type(decision).__name__}"
    )


class Left:
    """What another run left, as the engine takes it."""

    __slots__ = ("calls", "decisions", "messages", "rounds", "usage")

    KEYS: ClassVar[tuple[str, ...]] = ("messages", "pending", "rounds", "usage")

    def __init__(
        self,
        result: RunResult | Mapping[str, Any],
        decisions: Mapping[str, object] | None,
        *,
        asks: bool,
    ) -> None:
        """Read it.

        Args:
            result: The result of the other run, or its ``to_dict()``.
            decisions: What was decided, by the ids of the calls.
            asks: Whether somebody is asked about the calls that nothing was decided about.

        Raises:
            ConfigurationError: It is no such result, or an id is of none of its calls.
            TypeError: A decision is none.
        """
        data = result.to_dict() if isinstance(result, Object) else dict(result)
        missing = [key for key in self.KEYS if key not in data]
        if missing:
            message = (
                "resume takes the result of another run, or its to_dict(); "
                f"this has no {', '.join(map(repr, missing))}"
            )
            raise ConfigurationError(message)
        self.messages: list[Any] = data["messages"]
        self.calls: list[dict[str, Any]] = data["pending"]
        self.rounds: int = data["rounds"]
        self.usage: dict[str, Any] = data["usage"] or {}
        given = dict(decisions or {})
        self.decisions: list[tuple[str, str, str | None, dict[str, Any] | None]] = []
        for call in self.calls:
            if call["id"] in given:
                self.decisions.append((call["id"], *read_decision(given.pop(call["id"]))))
            elif not asks:
                self.decisions.append((call["id"], "defer", None, None))
        if given:
            waiting = ", ".join(repr(call["id"]) for call in self.calls) or "none"
            message = f"decisions has {next(iter(given))!r}; the calls that wait are {waiting}"
            raise ConfigurationError(message)
