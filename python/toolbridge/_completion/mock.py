"""``mock_response`` and its siblings: answers without a provider, as LiteLLM gives them.

Nothing is sent and no key is needed. Texts such as ``"litellm.RateLimitError"`` (or
``"toolbridge.RateLimitError"``) raise that error, an exception is raised as it is, a text is the
answer, a dict or a ``ModelResponse`` is the whole response; each of them can be streamed.
"""

from __future__ import annotations

from toolbridge import _toolbridge, exceptions
from toolbridge._completion.streaming import CustomStreamWrapper
from toolbridge._completion.timeouts import Timeouts
from toolbridge.objects import Object, _plain
from toolbridge.types.chat import (
    ChatCompletionMessageToolCall,
    ModelResponse,
    ModelResponseStream,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from toolbridge._completion.parameters import Request

__all__ = ["answer", "facts", "wait_time"]

_DEFAULT_TEXT = "This is a mock request"
_PIECE = 3
_PROMPT_TOKENS, _COMPLETION_TOKENS = 10, 20
_OVERLOADED = 529
_CONTENT_FILTER = "Exception: content_filter_policy"
_STREAMING_ERROR = "Exception: mock_streaming_error"
_BY_STATUS = {
    400: exceptions.BadRequestError,
    401: exceptions.AuthenticationError,
    402: exceptions.PaymentRequired,
    403: exceptions.PermissionDeniedError,
    404: exceptions.NotFoundError,
    408: exceptions.Timeout,
    409: exceptions.ConflictError,
    422: exceptions.UnprocessableEntityError,
    429: exceptions.RateLimitError,
    502: exceptions.BadGatewayError,
    503: exceptions.ServiceUnavailableError,
}


def wait_time(request: Request) -> float:
    """Seconds to wait before the mock answers.

    Raises:
        TypeError: ``mock_delay`` or ``timeout`` is no number of seconds.
    """
    mock = request.mock
    if mock is None:
        return 0.0
    if mock.timeout is not None:
        limit = mock.timeout
        if isinstance(limit, dict):
            limit = Timeouts(**limit)
        if isinstance(limit, Timeouts):
            limit = limit.total or limit.first_token
        limit = getattr(limit, "connect", limit)
        return _seconds("timeout", 0 if limit is None else limit)
    return 0.0 if mock.delay is None else _seconds("mock_delay", mock.delay)


def answer(model: str, request: Request) -> ModelResponse | CustomStreamWrapper:
    """Gives the answer that the mock parameters ask for.

    Args:
        model: the model, as the caller named it.
        request: the call, sorted; it has a mock.

    Raises:
        APIError: the mock parameters ask for an error.
        TypeError: ``mock_response`` is of a type that it does not take.
    """
    mock = request.mock
    provider, name = _provider(model, request)
    if mock is None:
        raise TypeError("the call has no mock_response, mock_tool_calls or mock_timeout")
    if mock.timeout is not None:
        raise exceptions.Timeout("This is a mock timeout error", name, provider)
    response = _DEFAULT_TEXT if mock.response is None else mock.response
    _raise_if_error(response, name, provider)
    is_stream = bool(request.body.get("stream"))
    known = facts(model, request)
    if isinstance(response, str) and response.startswith(_STREAMING_ERROR):
        error = exceptions.ServiceUnavailableError(
            "This is a mock error raised mid-stream", provider, name, status_code=_OVERLOADED
        )
        if not is_stream:
            raise error
        return _stream(iter([error]), known)
    if isinstance(response, ModelResponse) and not is_stream:
        return response
    if isinstance(response, ModelResponseStream):
        if not is_stream:
            raise TypeError("mock_response is a chunk of a stream: it takes stream=True")
        return _stream(iter([response]), known)
    data = _response_data(response, name, request)
    if is_stream:
        options = request.body.get("stream_options") or {}
        is_text = isinstance(response, str)
        pieces = _chunks(data, _PIECE if is_text else None, bool(options.get("include_usage")))
        return _stream(pieces, known)
    made = ModelResponse._wrap(data)
    made._hidden_params = known
    return made


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} takes a number of seconds, not {type(value).__name__}")
    return float(value)


def _provider(model: str, request: Request) -> tuple[str, str]:
    """Provider and wire name; a mock also stands in for providers that are not there."""
    custom = request.options.get("custom_llm_provider")
    try:
        return _toolbridge.model_provider(model, custom, request.options.get("api_base"))
    except exceptions.BadRequestError:
        prefix, slash, name = model.partition("/")
        return (custom or prefix, name) if slash else (custom or "openai", model)


def facts(model: str, request: Request) -> dict[str, Any]:
    """What ``_hidden_params`` of a mock has."""
    import os

    return {
        "custom_llm_provider": _provider(model, request)[0],
        "litellm_model_name": model,
        "api_base": None,
        "model_id": None,
        "response_cost": None,
        "litellm_call_id": os.urandom(16).hex(),
        "_response_ms": 0.0,
        "additional_headers": {},
    }


def _raise_if_error(response: Any, model: str, provider: str) -> None:
    if isinstance(response, BaseException):
        theirs = any(cls.__module__.partition(".")[0] == "openai" for cls in type(response).__mro__)
        if theirs or isinstance(response, exceptions.ToolbridgeError):
            raise response
        if not isinstance(response, Exception):
            raise TypeError(f"mock_response takes an Exception, not {type(response).__name__}")
        status = getattr(response, "status_code", 500)
        error_class = _BY_STATUS.get(status, exceptions.InternalServerError)
        text = str(getattr(response, "text", response))
        raise error_class(
            text, llm_provider=provider, model=model, status_code=status
        ) from response
    if not isinstance(response, str):
        return
    package, _, class_name = response.partition(".")
    if package in {"litellm", "toolbridge"} and class_name in exceptions.__all__:
        error_class = getattr(exceptions, class_name)
        if issubclass(error_class, exceptions.APIError):
            words = "".join(f" {c.lower()}" if c.isupper() else c for c in class_name)
            raise error_class(f"this is a mock{words}", llm_provider=provider, model=model)
    if response.startswith(_CONTENT_FILTER):
        raise exceptions.ContentPolicyViolationError(response, model, provider)


def _response_data(response: Any, model: str, request: Request) -> dict[str, Any]:
    """The response as a plain dict, the fields that every response has filled in."""
    if isinstance(response, str):
        data = _text_response(response, model, request)
    elif isinstance(response, (dict, Object)):
        data = _plain(response)
    elif hasattr(response, "model_dump") and not isinstance(response, type):
        data = response.model_dump()
    else:
        raise TypeError(
            "mock_response takes a str, a dict, a ModelResponse or an Exception, "
            f"not {type(response).__name__}"
        )
    filled = ModelResponse(**data)._data
    if filled.get("model") is None:
        filled["model"] = model
    for index, choice in enumerate(filled["choices"]):
        choice.setdefault("index", index)
        choice.setdefault("finish_reason", "stop")
        choice.setdefault("message", {}).setdefault("role", "assistant")
    return filled


def _text_response(text: str, model: str, request: Request) -> dict[str, Any]:
    tool_calls = request.mock.tool_calls if request.mock else None
    choices = []
    for index in range(request.body.get("n") or 1):
        message: dict[str, Any] = {"content": text, "role": "assistant"}
        reason = "stop"
        if tool_calls and index == 0:
            reason = "tool_calls"
            message["tool_calls"] = [
                _plain(call if isinstance(call, Object) else ChatCompletionMessageToolCall(**call))
                for call in tool_calls
            ]
        choices.append({"finish_reason": reason, "index": index, "message": message})
    usage = {
        "completion_tokens": _COMPLETION_TOKENS,
        "prompt_tokens": _PROMPT_TOKENS,
        "total_tokens": _PROMPT_TOKENS + _COMPLETION_TOKENS,
    }
    return {"model": model, "choices": choices, "usage": usage}


def _chunks(
    data: dict[str, Any], piece: int | None, has_usage: bool
) -> Iterator[ModelResponseStream]:
    """Takes a response apart: the texts in pieces, then the finish reasons, then the usage."""

    def chunk(choices: list[dict[str, Any]], **fields: Any) -> ModelResponseStream:
        return ModelResponseStream._wrap(
            {
                "id": data["id"],
                "created": data["created"],
                "model": data["model"],
                "object": "chat.completion.chunk",
                "choices": choices,
                **fields,
            }
        )

    for choice in data["choices"]:
        index = choice["index"]
        fields = {name: value for name, value in choice["message"].items() if value is not None}
        text = fields.pop("content", None)
        calls = fields.pop("tool_calls", None)
        size = piece or max(len(text or ""), 1)
        starts = range(0, len(text), size) if text else ()
        for start in starts:
            delta = {**fields, "content": text[start : start + size]}
            fields = {}
            yield chunk([{"index": index, "delta": delta, "finish_reason": None}])
        if calls:
            fields["tool_calls"] = [{**call, "index": n} for n, call in enumerate(calls)]
        if fields:
            yield chunk([{"index": index, "delta": fields, "finish_reason": None}])
    yield chunk(
        [
            {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
            for choice in data["choices"]
        ]
    )
    if has_usage and data.get("usage"):
        yield chunk([], usage=data["usage"])


class _MockStream(CustomStreamWrapper):
    """A stream of chunks that are there already; an error among them is raised in its place."""

    _pieces: Iterator[Any] = iter(())

    def __next__(self) -> ModelResponseStream:
        piece: ModelResponseStream | Exception = next(self._pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def __anext__(self) -> ModelResponseStream:
        try:
            return self.__next__()
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Ends the stream."""
        self._pieces = iter(())


def _stream(pieces: Iterator[Any], facts: dict[str, Any]) -> CustomStreamWrapper:
    stream = _MockStream()
    stream._pieces = pieces
    stream._hidden_params = facts
    return stream
