"""Judges of answers, one for each protocol: what is wrong with a fixture, by the provider's official SDK.

``answer`` takes a whole answer, ``event`` one event of a stream. What our own conversions make is judged
as OpenAI's, whose form it has.
"""

import functools
import json

from judges import requests
from judges.shapes import problems


def answer(protocol, value):
    """What is wrong with a whole answer."""
    if protocol == "bedrock":
        return requests.by_service_model(value, _converse("Converse").output_shape)
    return problems(value, _shapes(protocol)[0], "answer")


def event(protocol, value):
    """What is wrong with an event of a stream."""
    if protocol == "bedrock":
        return requests.by_service_model(
            value, _converse("ConverseStream").output_shape.members["stream"]
        )
    if protocol == "replicate":
        # Its SDK reads names and texts; these are the names.
        shape = _shapes(protocol)[1]
        return [] if value["event"] in {kind.value for kind in shape} else [f"no event {value}"]
    return problems(value, _shapes(protocol)[1], "event")


def _converse(operation):
    return requests.bedrock_operation(operation)


@functools.cache
def _shapes(protocol):
    """The types of a whole answer and of an event."""
    return _SHAPES[protocol]()


def _chat():
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    return ChatCompletion, ChatCompletionChunk


def _responses():
    from openai.types.responses import Response, ResponseStreamEvent

    return Response, ResponseStreamEvent


def _anthropic():
    import typing

    from anthropic.types import Message, RawMessageStreamEvent

    # The SDK drops pings before it types what is left.
    class Ping(typing.TypedDict):
        type: typing.Literal["ping"]

    return Message, typing.Union[RawMessageStreamEvent, Ping]  # noqa: UP007


def _gemini():
    from google.genai.types import GenerateContentResponse

    return GenerateContentResponse, GenerateContentResponse


def _cohere():
    from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse

    return V2ChatResponse, V2ChatStreamResponse


def _mistral():
    from mistralai.client.models import ChatCompletionResponse, CompletionChunk

    return ChatCompletionResponse, CompletionChunk


def _ollama():
    from ollama import ChatResponse

    return ChatResponse, ChatResponse


def _replicate():
    from replicate.prediction import Prediction
    from replicate.stream import ServerSentEvent

    return Prediction, ServerSentEvent.EventType


_SHAPES = {
    "anthropic": _anthropic,
    "chat": _chat,
    "cohere": _cohere,
    "gemini": _gemini,
    "mistral": _mistral,
    "ollama": _ollama,
    "replicate": _replicate,
    "responses": _responses,
}


def assert_is_what_was_told(answer, *, has_usage=True):
    """What the answers in ``tests/fixtures/llm/answers`` say, whoever gave them and in whatever protocol: one text or
    one call of a tool, why it ended, and what it took; in OpenAI's form.
    """
    (choice,) = answer.choices
    if choice.message.tool_calls:
        (call,) = choice.message.tool_calls
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        assert choice.finish_reason == "tool_calls"
    else:
        assert choice.message.content == "It is sunny in Paris."
        assert choice.finish_reason == "stop"
    if has_usage:
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)
