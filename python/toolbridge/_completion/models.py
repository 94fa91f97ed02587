"""Who answers the requests of the tool loop: what a call says of its models, as the engine takes it.

A run asks a model many times. Each time it is a completion call: other models may stand in for the
one that fails, answers may be known before, and may have to fit a schema.
"""

from __future__ import annotations

from toolbridge._completion.around import next_call
from toolbridge._completion.parameters import Mock, Request
from toolbridge.exceptions import ConfigurationError
from toolbridge.objects import _plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Candidate", "Models", "Plan"]

# What is the same for all models of a run.
_OF_THE_RUN = ("messages", "tools", "stream")


class Candidate:
    """One of the models, as the engine reads it."""

    __slots__ = ("answers", "body", "facts", "model", "options", "schema", "wait")

    def __init__(self, model: str, request: Request, *, streams: bool, checks: bool) -> None:
        """Of a call of its own; ``checks`` says whether its schema counts."""
        self.model = model
        # The engine takes options of the provider out of it.
        self.body = {name: value for name, value in request.body.items() if name != "messages"}
        self.options = request.options
        if streams and request.stream_timeout is not None:
            self.options = {**self.options, "timeout": request.stream_timeout}
        self.schema: Any = request.schema if checks else None
        self.facts: dict[str, Any] | None = None
        self.answers: list[Any] | None = None
        self.wait = 0.0
        if request.charge is not None:
            # Costs count when they are asked for.
            self.facts = {**request.charge, "response_cost": None}


class Models:
    """The models that may be asked: the first, and places of those that stand in for others."""

    __slots__ = ("candidates", "order", "wider")

    def __init__(
        self, candidates: list[Candidate], order: list[int], wider: dict[int, int]
    ) -> None:
        self.candidates = candidates
        self.order = order
        self.wider = wider


class Plan:
    """Which models a call may ask; each of them is prepared once."""

    def __init__(self, model: str, request: Request) -> None:
        """Read what the call says of them.

        Raises:
            ConfigurationError: One of them is to get other messages or tools.
            TypeError: The arguments of one are of types that they do not take.
        """
        self._model, self._request = model, request
        self._asked = [(model, request)]
        self._order = [self._add(other) for other in request.fallbacks]
        self._wider: dict[int, int] = {}
        made: dict[str, int] = {}
        # Those for longer messages may have one for still longer ones.
        for place, (name, _) in enumerate(self._asked):
            other = request.context_window.get(name)
            if other is not None:
                if name not in made:
                    made[name] = self._add(other)
                self._wider[place] = made[name]

    def _add(self, other: Any) -> int:
        if not isinstance(other, str):
            for name in _OF_THE_RUN:
                if name in other:
                    message = (
                        f"a fallback has {name}; the tool loop goes on with the same messages and "
                        "tools whoever answers, so leave it out"
                    )
                    raise ConfigurationError(message)
        self._asked.append(next_call(self._model, self._request, other))
        return len(self._asked) - 1

    def models(self, *, streams: bool, checks: bool = True) -> Models:
        """What the engine takes; ``streams`` says whether the models are asked for streams."""
        candidates = []
        for model, request in self._asked:
            candidate = Candidate(model, request, streams=streams, checks=checks)
            if request.mock is not None:
                _play(candidate, request, request.mock, streams=streams)
            candidates.append(candidate)
        return Models(candidates, list(self._order), dict(self._wider))


def _play(candidate: Candidate, request: Request, given: Mock, *, streams: bool) -> None:
    """Gives it the answers of a mock. The calls of tools that it has are made once, as by LiteLLM."""
    from toolbridge._completion import mock

    body = dict(request.body)
    if streams:
        body["stream"] = True
    played = Request(body, request.options)
    played.mock = given
    candidate.wait = mock.wait_time(played)
    candidate.facts = {**mock.facts(candidate.model, played), **(candidate.facts or {})}
    candidate.answers = [_answer(candidate.model, played)]
    if given.tool_calls is not None:
        last = Mock()
        last.response, last.timeout, last.delay = given.response, given.timeout, given.delay
        played.mock = last
        candidate.answers.append(_answer(candidate.model, played))


def _answer(model: str, request: Request) -> Any:
    """A response as a dict, the chunks of a stream as a list, or the exception that is raised."""
    from toolbridge._completion import mock

    try:
        given = mock.answer(model, request)
    except Exception as error:  # noqa: BLE001 - it is raised where the model is asked
        return error
    if "stream" not in request.body:
        return _plain(given)
    chunks: list[Any] = []
    try:
        chunks.extend(_plain(chunk) for chunk in given)
    except Exception as error:  # noqa: BLE001 - likewise
        chunks.append(error)
    return chunks
