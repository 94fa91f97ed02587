"""`stream_chunk_builder`: one response out of the chunks of a stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import toolbridge
from scripted_openai import chunk
from toolbridge.types import ModelResponse, ModelResponseStream

RECORDED = Path(__file__).parents[1] / "fixtures" / "streams"
CALLS = [
    {
        "id": "call_a",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    },
    {
        "id": "call_b",
        "type": "function",
        "function": {"name": "get_time", "arguments": '{"zone": "Europe/Paris"}'},
    },
]


def recorded(name):
    lines = (RECORDED / name).read_text(encoding="utf-8-sig").splitlines()
    payloads = [line.removeprefix("data:") for line in lines if line.startswith("data:")]
    return [json.loads(payload) for payload in payloads if "[DONE]" not in payload]


def rebuilt(chunks):
    return toolbridge.stream_chunk_builder([ModelResponseStream._wrap(c) for c in chunks])


def call(**fragment):
    return chunk({"tool_calls": [fragment]})


def test_text_and_usage():
    response = rebuilt(recorded("text_with_usage.sse"))
    assert type(response) is ModelResponse
    assert response.choices[0].message.content == (
        "Paris is the capital of France, “la ville lumière” 🗼."
    )
    assert response.choices[0].finish_reason == "stop"
    assert response.object == "chat.completion"
    assert response.id == "chatcmpl-A1"
    assert response.model == "gpt-4o-2024-08-06"
    assert response.system_fingerprint == "fp_50cad350e4"
    assert response.usage.total_tokens == 25
    assert response.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize("name", ["parallel_tool_calls.sse", "interleaved_tool_calls.sse"])
def test_parallel_tool_calls(name):
    response = rebuilt(recorded(name))
    message = response.choices[0].message
    assert [tool_call.to_dict() for tool_call in message.tool_calls] == CALLS
    assert message.content is None
    assert response.choices[0].finish_reason == "tool_calls"


def test_parallel_tool_calls_that_are_all_numbered_zero():
    pieces = []
    for tool_call in CALLS:
        function = tool_call["function"]
        half = len(function["arguments"]) // 2
        begin = {"name": function["name"], "arguments": function["arguments"][:half]}
        rest = {"arguments": function["arguments"][half:]}
        pieces.append(call(index=0, id=tool_call["id"], type="function", function=begin))
        pieces.append(call(index=0, function=rest))
    response = rebuilt([*pieces, chunk({}, "tool_calls")])
    assert [c.to_dict() for c in response.choices[0].message.tool_calls] == CALLS


def test_tool_calls_without_an_index_or_an_id():
    response = rebuilt(
        [
            call(id="call_a", function={"name": "f", "arguments": "{"}),
            call(function={"arguments": "}"}),
        ]
    )
    (only,) = response.choices[0].message.tool_calls
    assert (only.id, only.type, only.function.arguments) == ("call_a", "function", "{}")
    response = rebuilt([call(index=0, function={"name": "f"})])
    (only,) = response.choices[0].message.tool_calls
    assert only.id.startswith("call_")
    assert only.function.arguments == ""


def test_two_choices_refusal_and_logprobs():
    response = rebuilt(recorded("two_choices_refusal_logprobs.sse"))
    first, second = response.choices
    assert (first.index, first.message.content) == (0, "Hi")
    assert first.message.refusal == "I\u2019m sorry, no."
    assert first.logprobs.content[0].token == "Hi"
    assert (second.index, second.message.content) == (1, "Yo!")
    assert (first.finish_reason, second.finish_reason) == ("stop", "length")


def test_reasoning():
    message = rebuilt(recorded("reasoning_crlf_comments.sse")).choices[0].message
    assert message.reasoning_content == "The user asks…"
    assert message.content == "42."


def test_audio_annotations_and_thinking():
    response = rebuilt(
        [
            chunk({"role": "assistant", "audio": {"id": "a", "data": "AA", "transcript": "He"}}),
            chunk({"audio": {"data": "BB", "transcript": "llo", "expires_at": 5}}),
            chunk({"annotations": [{"type": "url_citation"}]}),
            chunk({"annotations": [{"type": "file"}]}),
            chunk({"thinking_blocks": [{"type": "thinking", "thinking": "a"}]}),
            chunk({"thinking_blocks": [{"type": "thinking", "thinking": "b", "signature": "s"}]}),
            chunk({"thinking_blocks": [{"type": "thinking", "thinking": "c"}]}),
            chunk({"x_unknown": 1}, "stop"),
        ]
    )
    message = response.choices[0].message
    assert message.audio.to_dict() == {
        "id": "a",
        "data": "AABB",
        "transcript": "Hello",
        "expires_at": 5,
    }
    assert len(message.annotations) == 2
    assert [block["thinking"] for block in message.thinking_blocks] == ["ab", "c"]
    assert message.x_unknown == 1


def test_the_old_function_call():
    response = rebuilt(
        [
            chunk({"function_call": {"name": "f", "arguments": ""}}),
            chunk({"function_call": {"arguments": "{}"}}),
        ]
    )
    message = response.choices[0].message
    assert (message.function_call.name, message.function_call.arguments) == ("f", "{}")
    assert message.content is None


def test_dicts_and_openais_objects_are_chunks_too():
    chunks = recorded("parallel_tool_calls.sse")
    wanted = rebuilt(chunks).to_dict()
    assert toolbridge.stream_chunk_builder(chunks).to_dict() == wanted
    chat = pytest.importorskip("openai.types.chat")
    theirs = [chat.ChatCompletionChunk.model_validate(piece) for piece in chunks]
    assert toolbridge.stream_chunk_builder(theirs).to_dict() == wanted


def test_the_chunks_are_left_as_they_are():
    chunks = recorded("parallel_tool_calls.sse")
    before = json.dumps(chunks)
    wrapped = [ModelResponseStream._wrap(piece) for piece in chunks]
    toolbridge.stream_chunk_builder(wrapped)
    toolbridge.stream_chunk_builder(wrapped)
    assert json.dumps(chunks) == before


def test_nothing_is_built_of_nothing():
    assert toolbridge.stream_chunk_builder([]) is None
    for wrong in (None, "chunks", {"choices": []}):
        with pytest.raises(TypeError, match="chunks takes a list of chunks"):
            toolbridge.stream_chunk_builder(wrong)
    with pytest.raises(TypeError, match=r"chunks\[0\] takes a chunk of a stream, not int"):
        toolbridge.stream_chunk_builder([5])
