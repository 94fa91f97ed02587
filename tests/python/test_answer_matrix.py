"""The golden matrix of answers: what providers say in it is judged by their official SDKs, what callers get by
OpenAI's, and a stream that is put together says what the whole answer says.
"""

import json
from pathlib import Path

import pytest

import toolbridge
from judges import answers

MATRIX = Path(__file__).parents[1] / "fixtures/llm/matrix"
WIRE = {path.stem: json.loads(path.read_text("utf-8")) for path in (MATRIX / "wire").glob("*.json")}
GOLDEN = {name: json.loads((MATRIX / f"golden/{name}.json").read_text("utf-8")) for name in WIRE}

FILE_CITATIONS = {("responses", "citations"): ("annotations[1]",)}

SAID = [
    pytest.param(name, kind, id=f"{kind}-{name}")
    for name, kinds in WIRE.items()
    for kind, said in kinds.items()
    if "absent" not in said
]
BOTH = [
    pytest.param(name, kind, id=f"{kind}-{name}")
    for name, kinds in GOLDEN.items()
    for kind, got in kinds.items()
    if got.keys() == {"answer", "stream"}
]
# Members of an answer that its stream cannot say, by protocol, and why.
NOT_STREAMED = {
    ("replicate", "usage"): "the last event of a prediction's stream says no counts",
    ("replicate", "metrics"): "the last event of a prediction's stream says no counts",
    ("replicate", "id"): "the events of a prediction's stream do not name it",
}


@pytest.mark.parametrize(("name", "kind"), SAID)
def test_what_a_provider_says_is_what_its_sdk_reads(name, kind):
    said = WIRE[name][kind]
    problems = [*answers.answer(name, said["answer"])]
    for event in said.get("stream", ()):
        problems += answers.event(name, event)
    strange = said.get("strange", [])
    unexpected = [one for one in problems if not any(word in one for word in strange)]
    assert not unexpected
    # What is said to be strange to the SDK is.
    assert not strange or any(strange[0] in one for one in problems)


@pytest.mark.parametrize(("name", "kind"), SAID)
def test_what_a_caller_gets_is_what_the_sdk_of_openai_reads(name, kind):
    got = GOLDEN[name][kind]
    problems = answers.answer("chat", got.get("answer")) if "answer" in got else []
    for chunk in got.get("stream", ()):
        problems += answers.event("chat", chunk)
    # What OpenAI has no name for stands beside its own; a citation of a file keeps the form of its provider.
    beside = ("is no member of", *FILE_CITATIONS.get((name, kind), ()))
    assert not [one for one in problems if not any(words in one for words in beside)]


def plain(value):
    """Without what says nothing, and without what only a part of a stream says."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_a_stream_put_together_says_what_the_whole_answer_says(name, kind):
    got = GOLDEN[name][kind]
    rebuilt = plain(toolbridge.stream_chunk_builder(got["stream"]).to_dict())
    whole = plain(got["answer"])
    for protocol, member in NOT_STREAMED:
        if protocol == name:
            whole.pop(member, None)
            rebuilt.pop(member, None)
    for choice in whole["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
    assert rebuilt == whole


def test_what_a_stream_cannot_say_is_missing_there():
    for name, member in NOT_STREAMED:
        got = GOLDEN[name]["text"]
        rebuilt = toolbridge.stream_chunk_builder(got["stream"]).to_dict()
        assert got["answer"][member] != rebuilt.get(member)


WRONG = [
    ("anthropic", {"stop_reason": "finished"}, "stop_reason"),
    ("bedrock", {"stopReason": "finished"}, "stopReason"),
    ("chat", {"choices": [{"index": 0, "message": {}, "finish_reason": "stop"}]}, "role"),
    ("cohere", {"message": {"role": "assistant", "content": "text"}}, "content"),
    ("gemini", {"candidates": [{"finish_reason": "STOP"}]}, "finish_reason"),
    ("mistral", {"usage": {"prompt_tokens": "12"}}, "prompt_tokens"),
    ("ollama", {"done": "yes"}, "done"),
    ("replicate", {"status": "done"}, "status"),
    ("responses", {"output": [{"type": "message"}]}, "output[0]"),
]


@pytest.mark.parametrize(("name", "change", "named"), WRONG)
def test_a_wrong_answer_is_refused_by_its_judge(name, change, named):
    problems = answers.answer(name, {**WIRE[name]["text"]["answer"], **change})
    assert any(named in problem for problem in problems), problems


WRONG_EVENTS = [
    ("anthropic", {"type": "content_block_delta", "index": 0, "delta": {"type": "text"}}),
    ("bedrock", {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"txt": "x"}}}),
    ("chat", {"id": "x", "object": "chat.completion"}),
    ("cohere", {"type": "content-delta", "delta": {"text": "x"}}),
    ("gemini", {"candidates": [{"content": {"parts": [{"txt": "x"}]}}]}),
    ("mistral", {"id": "x", "model": "m", "choices": [{"index": 0}]}),
    ("ollama", {"message": {"content": "x"}, "done": False}),
    ("replicate", {"event": "text", "data": "x"}),
    ("responses", {"type": "response.output_text.delta", "text": "x"}),
]


@pytest.mark.parametrize(("name", "event"), WRONG_EVENTS)
def test_a_wrong_event_is_refused_by_its_judge(name, event):
    assert answers.event(name, event)
