"""`mock_response` and its siblings."""

from __future__ import annotations

import asyncio

import pytest

import toolbridge
from toolbridge.types import ModelResponse, ModelResponseStream

QUESTION = [{"role": "user", "content": "Hi"}]
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def ask(**arguments):
    return toolbridge.completion("gpt-4o", QUESTION, **arguments)


def test_a_text_is_the_answer():
    response = ask(mock_response="hello world")
    assert type(response) is ModelResponse
    assert response.choices[0].message.content == "hello world"
    assert response.choices[0].finish_reason == "stop"
    assert response.model == "gpt-4o"
    usage = response.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 20, 30)
    assert response._hidden_params["custom_llm_provider"] == "openai"


@pytest.mark.asyncio
async def test_a_text_is_the_answer_in_a_loop():
    response = await toolbridge.acompletion("gpt-4o", QUESTION, mock_response="hello")
    assert response.choices[0].message.content == "hello"


def test_n_answers_are_given():
    choices = ask(mock_response="hi", n=3).choices
    assert [(choice.index, choice.message.content) for choice in choices] == [
        (0, "hi"),
        (1, "hi"),
        (2, "hi"),
    ]


def test_a_mock_stands_in_for_a_provider_that_is_not_there():
    response = toolbridge.completion("anthropic/claude-x", QUESTION, mock_response="hi")
    assert response.model == "claude-x"
    assert response._hidden_params["custom_llm_provider"] == "anthropic"


def test_tool_calls_are_given():
    response = ask(mock_tool_calls=CALLS)
    message = response.choices[0].message
    assert message.content == "This is a mock request"
    assert message.tool_calls[0].function.name == "f"
    assert response.choices[0].finish_reason == "tool_calls"


def test_a_dict_is_the_response():
    response = ask(mock_response={"choices": [{"message": {"content": "x"}}], "extra": 1})
    assert response.choices[0].message.content == "x"
    assert response.choices[0].message.role == "assistant"
    assert response.choices[0].finish_reason == "stop"
    assert response.extra == 1
    assert response.id.startswith("chatcmpl-")


def test_a_response_is_the_response():
    given = ModelResponse(choices=[{"message": {"content": "x"}}])
    assert ask(mock_response=given) is given


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("litellm.RateLimitError", "RateLimitError"),
        ("toolbridge.RateLimitError", "RateLimitError"),
        ("litellm.ContextWindowExceededError", "ContextWindowExceededError"),
        ("litellm.InternalServerError", "InternalServerError"),
        ("Exception: content_filter_policy, says the provider", "ContentPolicyViolationError"),
    ],
)
def test_magic_texts_are_errors(text, name):
    with pytest.raises(getattr(toolbridge, name)) as caught:
        ask(mock_response=text)
    assert (caught.value.llm_provider, caught.value.model) == ("openai", "gpt-4o")


def test_an_exception_of_ours_is_raised_as_it_is():
    given = toolbridge.RateLimitError("mine", llm_provider="p", model="m")
    with pytest.raises(toolbridge.RateLimitError) as caught:
        ask(mock_response=given)
    assert caught.value is given


def test_another_exception_is_an_error_of_its_status():
    with pytest.raises(toolbridge.InternalServerError, match="boo") as caught:
        ask(mock_response=ValueError("boo"))
    assert isinstance(caught.value.__cause__, ValueError)

    class Refused(Exception):
        status_code = 403

    with pytest.raises(toolbridge.PermissionDeniedError):
        ask(mock_response=Refused("no"))


def test_a_timeout_is_played():
    with pytest.raises(toolbridge.Timeout, match="mock timeout"):
        ask(mock_timeout=True, timeout=0.001)
    with pytest.raises(toolbridge.Timeout, match="mock timeout"):
        asyncio.run(toolbridge.acompletion("gpt-4o", QUESTION, mock_timeout=True, timeout=0.001))
    assert ask(mock_timeout=True).choices[0].message.content == "This is a mock request"


def test_a_delay_is_waited_for():
    async def race():
        call = asyncio.create_task(
            toolbridge.acompletion("gpt-4o", QUESTION, mock_response="x", mock_delay=0.05)
        )
        done, _ = await asyncio.wait([call], timeout=0.001)
        assert not done
        return await call

    assert asyncio.run(race()).choices[0].message.content == "x"


def test_a_text_is_streamed_in_pieces():
    chunks = list(ask(mock_response="hello", stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.content for delta in deltas] == ["hel", "lo", None]
    assert [delta.role for delta in deltas] == ["assistant", None, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.asyncio
async def test_a_stream_has_a_usage_chunk_when_asked():
    stream = await toolbridge.acompletion(
        "gpt-4o",
        QUESTION,
        mock_response="hi",
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 30
    assert stream._hidden_params["custom_llm_provider"] == "openai"


@pytest.mark.parametrize(
    "mock",
    [
        {"mock_response": "hello"},
        {"mock_response": "hello", "n": 2},
        {"mock_response": {"choices": [{"message": {"content": "x", "tool_calls": CALLS}}]}},
        {"mock_tool_calls": CALLS},
    ],
)
def test_a_streamed_mock_rebuilds_to_the_mock(mock):
    whole = ask(**mock)
    rebuilt = toolbridge.stream_chunk_builder(list(ask(**mock, stream=True)))
    for one, other in zip(whole.choices, rebuilt.choices, strict=True):
        assert other.message.model_dump() == one.message.model_dump()
        assert other.finish_reason == one.finish_reason


def test_an_error_in_the_middle_of_a_stream_comes_when_it_is_read():
    stream = ask(mock_response="Exception: mock_streaming_error", stream=True)
    with pytest.raises(toolbridge.ServiceUnavailableError, match="mid-stream") as caught:
        next(iter(stream))
    assert caught.value.status_code == 529
    with pytest.raises(toolbridge.ServiceUnavailableError):
        ask(mock_response="Exception: mock_streaming_error")


def test_a_chunk_is_the_stream():
    delta = {"role": "assistant", "content": "x"}
    chunk = ModelResponseStream(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
    assert list(ask(mock_response=chunk, stream=True)) == [chunk]
    with pytest.raises(TypeError, match="stream=True"):
        ask(mock_response=chunk)


def test_a_response_can_be_streamed():
    given = ModelResponse(choices=[{"message": {"content": "hello"}}])
    chunks = list(ask(mock_response=given, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello"


def test_an_error_is_raised_for_a_stream_before_it_begins():
    with pytest.raises(toolbridge.RateLimitError):
        ask(mock_response="litellm.RateLimitError", stream=True)


def test_a_timeout_in_parts_is_played():
    with pytest.raises(toolbridge.Timeout, match="mock timeout"):
        ask(mock_timeout=True, timeout=toolbridge.Timeouts(total=0.001))
