"""Chat responses and stream chunks of the OpenAI shape, with the names and habits of LiteLLM.

Fields follow OpenAI's chat completion objects. ``content``, ``tool_calls`` and ``function_call``
read as None when they are absent; the fields that providers add (``reasoning_content``, ``audio``
and their like) raise AttributeError when they are absent or null, so that
``getattr(message, "reasoning_content", None)`` and ``hasattr`` work as with LiteLLM.
"""

from __future__ import annotations

from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, SupportsIndex

__all__ = [
    "ChatCompletionDeltaToolCall",
    "ChatCompletionMessageToolCall",
    "ChatCompletionTokenLogprob",
    "ChoiceLogprobs",
    "Choices",
    "CompletionTokensDetails",
    "Delta",
    "Function",
    "FunctionCall",
    "Message",
    "ModelResponse",
    "ModelResponseStream",
    "PromptTokensDetails",
    "StreamingChoices",
    "TopLogprob",
    "Usage",
]


class FunctionCall(Object):
    """The function that a message calls, in the shape that tool calls have replaced."""

    __slots__ = ()

    name: str | None
    arguments: str = ""


class Function(Object):
    """The function of a tool call: its name, and its arguments as JSON text."""

    __slots__ = ()

    name: str | None
    arguments: str = ""

    def __init__(
        self, arguments: dict[str, Any] | str | None = None, name: str | None = None, **fields: Any
    ) -> None:
        if isinstance(arguments, dict):
            import json

            arguments = json.dumps(arguments)
        super().__init__(arguments=arguments or "", name=name, **fields)


class ChatCompletionMessageToolCall(Object):
    """One tool call of a message."""

    __slots__ = ()

    id: str
    type: str = "function"
    function: Function

    def __init__(
        self,
        function: Function | dict[str, Any],
        id: str | None = None,  # noqa: A002 - LiteLLM's name
        type: str | None = None,  # noqa: A002 - LiteLLM's name
        **fields: Any,
    ) -> None:
        if isinstance(function, dict):
            function = Function(**function)
        super().__init__(
            function=function, id=id or _new_call_id(), type=type or "function", **fields
        )

    def __getattr__(self, name: str) -> Any:
        if name == "id" and self._data.get("id") is None:
            # Some servers leave it out, and the answer to a call must name it.
            made = self._data["id"] = _new_call_id()
            return made
        return super().__getattr__(name)


class ChatCompletionDeltaToolCall(Object):
    """A piece of a tool call in a stream; pieces of one call share their ``index``."""

    __slots__ = ()

    id: str | None
    function: Function
    type: str = "function"
    index: int = 0


class Message(Object):
    """The answer of the model."""

    __slots__ = ()

    _hidden_when_none: ClassVar[frozenset[str]] = frozenset(
        {
            "audio",
            "images",
            "annotations",
            "refusal",
            "reasoning_content",
            "reasoning_items",
            "thinking_blocks",
        }
    )
    _always_dumped: ClassVar[dict[str, Any]] = {
        "content": None,
        "role": "assistant",
        "tool_calls": None,
        "function_call": None,
    }

    content: str | None
    role: str = "assistant"
    tool_calls: list[ChatCompletionMessageToolCall] | None
    function_call: FunctionCall | None
    audio: Object
    images: list[Object]
    annotations: list[Object]
    refusal: str
    reasoning_content: str
    reasoning_items: list[Object]
    thinking_blocks: list[Object]
    provider_specific_fields: dict[str, Any] | None

    def __getattr__(self, name: str) -> Any:
        return _reasoning(self, name) or super().__getattr__(name)


class Delta(Object):
    """What one chunk adds to the message."""

    __slots__ = ()

    _hidden_when_none: ClassVar[frozenset[str]] = Message._hidden_when_none - {"audio"}
    _always_dumped: ClassVar[dict[str, Any]] = {
        "provider_specific_fields": None,
        "content": None,
        "role": None,
        "function_call": None,
        "tool_calls": None,
        "audio": None,
    }

    content: str | None
    role: str | None
    function_call: FunctionCall | None
    tool_calls: list[ChatCompletionDeltaToolCall] | None
    audio: Object | None
    images: list[Object]
    annotations: list[Object]
    refusal: str
    reasoning_content: str
    reasoning_items: list[Object]
    thinking_blocks: list[Object]
    provider_specific_fields: dict[str, Any] | None

    def __getattr__(self, name: str) -> Any:
        return _reasoning(self, name) or super().__getattr__(name)


class TopLogprob(Object):
    """One of the likeliest tokens at a place."""

    __slots__ = ()

    token: str
    bytes: list[int] | None
    logprob: float


class ChatCompletionTokenLogprob(Object):
    """A token of the answer, with the likeliest ones at its place."""

    __slots__ = ()

    token: str
    bytes: list[int] | None
    logprob: float
    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(Object):
    """The log probabilities of the tokens of a choice."""

    __slots__ = ()

    content: list[ChatCompletionTokenLogprob] | None
    refusal: list[ChatCompletionTokenLogprob] | None


class Choices(Object):
    """One of the answers of a response."""

    __slots__ = ()

    _hidden_when_none: ClassVar[frozenset[str]] = frozenset(
        {"logprobs", "provider_specific_fields"}
    )

    finish_reason: str | None
    index: int = 0
    message: Message
    logprobs: ChoiceLogprobs
    provider_specific_fields: dict[str, Any]


class StreamingChoices(Object):
    """One of the answers of a stream, as far as one chunk takes it."""

    __slots__ = ()

    _always_dumped: ClassVar[dict[str, Any]] = {
        "finish_reason": None,
        "index": 0,
        "delta": None,
        "logprobs": None,
    }

    finish_reason: str | None
    index: int = 0
    delta: Delta
    logprobs: ChoiceLogprobs | None

    def __getattr__(self, name: str) -> Any:
        if name == "delta" and self._data.get("delta") is None:
            # A chunk may carry a finish reason alone.
            made = self._data["delta"] = Delta._wrap({})
            return made
        return super().__getattr__(name)


class CompletionTokensDetails(Object):
    """What the tokens of the answer were."""

    __slots__ = ()

    accepted_prediction_tokens: int | None
    audio_tokens: int | None
    reasoning_tokens: int | None
    rejected_prediction_tokens: int | None
    text_tokens: int | None
    image_tokens: int | None


class PromptTokensDetails(Object):
    """What the tokens of the question were."""

    __slots__ = ()

    audio_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    text_tokens: int | None
    image_tokens: int | None


class Usage(Object):
    """How many tokens a response took."""

    __slots__ = ()

    _hidden_when_none: ClassVar[frozenset[str]] = frozenset({"cost", "server_tool_use"})
    _always_dumped: ClassVar[dict[str, Any]] = {
        "completion_tokens": 0,
        "prompt_tokens": 0,
        "total_tokens": 0,
        "completion_tokens_details": None,
        "prompt_tokens_details": None,
    }

    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    completion_tokens_details: CompletionTokensDetails | None
    prompt_tokens_details: PromptTokensDetails | None
    server_tool_use: Object
    cost: float


class _Response(Object):
    """A response with the facts about the call that LiteLLM users read in ``_hidden_params``."""

    __slots__ = ("_hidden_params_slot",)

    _hidden_params_slot: dict[str, Any]

    @property
    def _hidden_params(self) -> dict[str, Any]:
        return _facts(self)

    @_hidden_params.setter
    def _hidden_params(self, facts: dict[str, Any]) -> None:
        self._hidden_params_slot = facts

    @property
    def _response_ms(self) -> float | None:
        return _facts(self).get("_response_ms")

    def _like(self, data: dict[str, Any]) -> Self:
        made = super()._like(data)
        made._hidden_params = dict(_facts(self))
        return made

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Any, ...]:
        return _restore_response, (type(self), self._data, _facts(self))


class ModelResponse(_Response):
    """The answer to a completion call.

    ``_hidden_params`` holds facts about the call that are not part of the answer; what it cost
    (``response_cost``, in US dollars) is computed when they are first read.
    """

    __slots__ = ()

    _hidden_when_none: ClassVar[frozenset[str]] = frozenset({"usage"})
    _always_dumped: ClassVar[dict[str, Any]] = {"system_fingerprint": None}

    id: str
    created: int
    model: str | None
    object: str = "chat.completion"
    system_fingerprint: str | None
    service_tier: str | None
    choices: list[Choices]
    usage: Usage

    def __init__(self, **fields: Any) -> None:
        _describe(fields, "chat.completion")
        super().__init__(**fields)

    @property
    def _hidden_params(self) -> dict[str, Any]:
        facts = _facts(self)
        if facts.get("response_cost", ...) is None and self._data.get("usage"):
            from toolbridge.catalogue import response_cost

            cost = response_cost(self)
            if cost is not None:
                facts["response_cost"] = cost
        return facts

    @_hidden_params.setter
    def _hidden_params(self, facts: dict[str, Any]) -> None:
        self._hidden_params_slot = facts


class ModelResponseStream(_Response):
    """One chunk of a streamed answer."""

    __slots__ = ()

    _hidden_when_none: ClassVar[frozenset[str]] = frozenset({"usage"})
    _always_dumped: ClassVar[dict[str, Any]] = {
        "system_fingerprint": None,
        "provider_specific_fields": None,
        "citations": None,
    }

    id: str
    created: int
    model: str | None
    object: str = "chat.completion.chunk"
    system_fingerprint: str | None
    service_tier: str | None
    choices: list[StreamingChoices]
    provider_specific_fields: dict[str, Any] | None
    citations: list[Any] | None
    usage: Usage

    def __init__(self, **fields: Any) -> None:
        _describe(fields, "chat.completion.chunk")
        super().__init__(**fields)


def _facts(response: _Response) -> dict[str, Any]:
    """Gives the facts about the call, as far as they are known."""
    try:
        return response._hidden_params_slot
    except AttributeError:
        response._hidden_params_slot = {}
        return response._hidden_params_slot


def _new_call_id() -> str:
    import os

    return f"call_{os.urandom(12).hex()}"


def _describe(fields: dict[str, Any], kind: str) -> None:
    """Gives a response that a caller makes the fields that every response has."""
    import os
    import time

    if fields.get("id") is None:
        fields["id"] = f"chatcmpl-{os.urandom(12).hex()}"
    if fields.get("created") is None:
        fields["created"] = int(time.time())
    fields.setdefault("object", kind)
    fields.setdefault("choices", [])


def _reasoning(value: Object, name: str) -> Any:
    """Reads the reasoning where some servers put it, in ``reasoning``."""
    return value._data.get("reasoning") if name == "reasoning_content" else None


def _restore_response(
    cls: type[_Response], data: dict[str, Any], hidden_params: dict[str, Any]
) -> _Response:
    """Makes a pickled response again."""
    restored = cls._wrap(data)
    restored._hidden_params = hidden_params
    return restored
