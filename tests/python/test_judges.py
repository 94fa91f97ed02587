"""The judges of requests take what is right and refuse what is wrong: otherwise they prove nothing."""

import pytest

from judges import requests

HELLO = [{"role": "user", "content": "Hello."}]
PARTS = [{"role": "user", "parts": [{"text": "Hello."}]}]
BLOCKS = [{"role": "user", "content": [{"text": "Hello."}]}]
THOUGHTS = {
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm.", "signature": "c2ln"}],
}
RIGHT = {
    "chat": {"model": "m", "messages": HELLO, "temperature": 0.5},
    "sagemaker": {"model": "m", "messages": HELLO, "temperature": 0.5},
    "responses": {"model": "m", "input": HELLO, "stream": True},
    "anthropic": {"model": "m", "messages": HELLO, "max_tokens": 5},
    "anthropic_on_vertex": {
        "anthropic_version": "vertex-2023-10-16",
        "messages": HELLO,
        "max_tokens": 5,
    },
    "gemini": {"contents": PARTS, "generationConfig": {"maxOutputTokens": 5}},
    "cohere": {"model": "m", "messages": HELLO, "p": 0.5, "stream": False},
    "mistral": {"model": "m", "messages": HELLO, "random_seed": 1},
    "ollama": {"model": "m", "messages": HELLO, "options": {"num_predict": 5}},
    "bedrock": {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 5}},
    "databricks": {
        "model": "m",
        "messages": [*HELLO, {"role": "assistant", "content": [THOUGHTS]}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
    "replicate": {"input": {"prompt": "Hello.", "top_k": 5}, "stream": True},
    "watsonx": {
        "model_id": "m",
        "project_id": "p",
        "messages": HELLO,
        "tool_choice_option": "auto",
    },
}
WRONG = [
    ("chat", {"temperatur": 0.5}, "temperatur"),
    ("chat", {"messages": [{"role": "usr", "content": "Hello."}]}, "role"),
    ("chat", {"tools": [{"type": "function", "function": {}}]}, "name"),
    ("sagemaker", {"temperatur": 0.5}, "temperatur"),
    ("watsonx", {"model": "m"}, "model"),
    ("watsonx", {"space": "m"}, "space"),
    ("responses", {"input": [{"role": "user"}]}, "content"),
    ("responses", {"max_tokens": 5}, "max_tokens"),
    ("anthropic", {"max_tokens": "5"}, "max_tokens"),
    ("anthropic", {"system": 5}, "system"),
    ("anthropic", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "source"),
    ("anthropic_on_vertex", {"model": "m"}, "model"),
    ("anthropic_on_vertex", {"anthropic_version": "2023-06-01"}, "anthropic_version"),
    ("anthropic_on_vertex", {"max_tokens": "5"}, "max_tokens"),
    ("gemini", {"contents": [{"role": "user", "parts": [{"txt": "Hello."}]}]}, "txt"),
    ("gemini", {"generationConfig": {"max_tokens": 5}}, "max_tokens"),
    ("cohere", {"messages": [{"role": "user"}]}, "content"),
    ("cohere", {"top_p": 0.5}, "top_p"),
    ("mistral", {"seed": 1}, "seed"),
    ("ollama", {"messages": [{"role": "user", "content": 5}]}, "content"),
    ("ollama", {"temperature": 0.5}, "temperature"),
    ("bedrock", {"inferenceConfig": {"maxTokens": "5"}}, "maxTokens"),
    ("databricks", {"thinking": {"type": "enabled", "budget": 5}}, "budget"),
    (
        "databricks",
        {"messages": [{"role": "user", "content": [{**THOUGHTS, "summary": 5}]}]},
        "summary",
    ),
    ("databricks", {"reasoning": {}}, "reasoning"),
    ("replicate", {"input": {"text": "Hello."}}, "prompt"),
    ("replicate", {"messages": HELLO}, "messages"),
    ("watsonx", {"model": "m"}, "model"),
    ("watsonx", {"space_id": "s"}, "space"),
    ("watsonx", {"tool_choice_option": "any"}, "tool_choice_option"),
    ("watsonx", {"temperatur": 0.5}, "temperatur"),
    ("bedrock", {"messages": [{"role": "user", "content": [{"txt": "Hello."}]}]}, "txt"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_body_is_taken(name):
    assert getattr(requests, name)(RIGHT[name]) == []


@pytest.mark.parametrize(("name", "change", "named"), WRONG)
def test_a_wrong_body_is_refused_by_what_is_wrong_with_it(name, change, named):
    problems = getattr(requests, name)({**RIGHT[name], **change})
    assert problems
    assert any(named in problem for problem in problems), problems
