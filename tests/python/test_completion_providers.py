"""Every protocol, end to end: what a provider gets is judged by its official SDK, is what the golden file
says, and what the provider answers is the same answer whoever gave it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from judges.endpoint import judging

import toolbridge

FIXTURES = Path(__file__).parents[1] / "fixtures/llm"
CASES = json.loads((FIXTURES / "cases.json").read_text())
KEY = "sk-a-secret-key"


@dataclass
class Provider:
    """A model, and how its provider is asked."""

    model: str
    protocol: str
    # The path of a request, and that of a stream.
    path: str
    stream_path: str = ""
    header: tuple = ("Authorization", f"Bearer {KEY}")
    options: dict = field(default_factory=dict)
    # What is sent on purpose although the SDK does not know it, by case.
    strange: dict = field(default_factory=dict)

    @property
    def golden(self):
        name = self.model.replace("/", "_").replace(":", "_")
        return json.loads((FIXTURES / f"requests/{name}.json").read_text())


PROVIDERS = [
    *(
        Provider(
            f"anthropic/{name}",
            "anthropic",
            "/v1/messages",
            header=("x-api-key", KEY),
        )
        for name in (
            "claude-3-haiku-20240307",
            "claude-sonnet-4-5",
            "claude-opus-4-6",
            "claude-opus-5",
        )
    ),
]


def ids(provider):
    return provider.model


@pytest.mark.parametrize("provider", PROVIDERS, ids=ids)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.asyncio
async def test_a_provider_gets_what_its_sdk_would_send(provider, case):
    request = CASES[case]
    golden = provider.golden[case]
    with judging(provider.protocol, provider.strange.get(case, ())) as judge:
        settings = {"api_base": judge.origin, "api_key": KEY, "max_retries": 0, **provider.options}
        try:
            answer = await toolbridge.acompletion(provider.model, **request, **settings)
            if request.get("stream"):
                chunks = [chunk async for chunk in answer]
                answer = toolbridge.stream_chunk_builder(chunks)
        except toolbridge.APIError as error:
            assert judge.refused == []
            assert judge.received == []
            assert golden["message"] in str(error)
            return
    (received,) = judge.received
    assert received.body == golden
    wanted = provider.stream_path if request.get("stream") else provider.path
    assert received.path == (wanted or provider.path)
    name, value = provider.header
    assert {key.lower(): value for key, value in received.headers.items()}[name.lower()] == value
    (choice,) = answer.choices
    if choice.message.tool_calls:
        (call,) = choice.message.tool_calls
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        assert choice.finish_reason == "tool_calls"
    else:
        assert choice.message.content == "It is sunny in Paris."
        assert choice.finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)


@pytest.mark.parametrize("provider", PROVIDERS, ids=ids)
def test_every_case_has_its_golden_request(provider):
    assert provider.golden.keys() == CASES.keys()
