"""What is known of models: facts, prices, capabilities, tokens."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import toolbridge
from scripted_openai import COMPLETION, DONE, answer, chunk, error, serve, stream
from toolbridge import catalogue
from toolbridge.types import ModelResponse

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
MINE = "openai/a-model-of-the-tests"


@pytest.fixture
def mine():
    """A model of our own, with prices that can be computed by hand."""
    prices = {
        "litellm_provider": "openai",
        "max_input_tokens": 1000,
        "max_output_tokens": 100,
        "input_cost_per_token": 1.0,
        "output_cost_per_token": 10.0,
        "cache_read_input_token_cost": 0.25,
        "cache_creation_input_token_cost": 1.25,
        "input_cost_per_audio_token": 3.0,
        "output_cost_per_reasoning_token": 20.0,
        "input_cost_per_token_priority": 2.0,
        "supports_vision": True,
    }
    toolbridge.register_model({MINE: prices})
    yield MINE
    assert toolbridge.unregister_model(MINE)
    assert not toolbridge.unregister_model(MINE)


def response(usage, **fields):
    return ModelResponse(model="a-model-of-the-tests", usage=usage, **fields)


def test_the_facts_of_a_model_have_the_names_of_the_public_list_and_a_date():
    facts = toolbridge.get_model_info("openai/gpt-4o")
    assert facts["key"] == "gpt-4o"
    assert facts["litellm_provider"] == "openai"
    assert (facts["max_input_tokens"], facts["max_output_tokens"]) == (128_000, 16_384)
    assert facts["max_tokens"] == toolbridge.get_max_tokens("gpt-4o") == 16_384
    assert facts["input_cost_per_token"] == 2.5e-06
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", facts["catalogue_date"])
    assert catalogue.date() == facts["catalogue_date"]
    facts["input_cost_per_token"] = 0
    assert toolbridge.get_model_info("gpt-4o")["input_cost_per_token"] == 2.5e-06


def test_every_model_is_in_a_mapping_that_is_read():
    assert len(toolbridge.model_cost) > 2000
    assert toolbridge.model_cost["azure/gpt-4o"]["litellm_provider"] == "azure"
    assert "gpt-4o" in toolbridge.model_cost
    assert "openai/gpt-4o" not in toolbridge.model_cost
    assert toolbridge.model_cost.get("nothing", 1) == 1
    with pytest.raises(KeyError, match="nothing"):
        toolbridge.model_cost["nothing"]
    names = list(toolbridge.model_cost)
    assert names == sorted(names, key=str.encode)
    assert catalogue.date() in repr(toolbridge.model_cost)
    assert dict(toolbridge.model_cost.items()).keys() == set(toolbridge.model_cost.keys())


def test_capabilities_are_asked_by_name_and_by_function():
    assert toolbridge.supports("gpt-4o", "function_calling")
    assert toolbridge.supports("gpt-4o", "tools")
    assert toolbridge.supports("claude-sonnet-4-5", "vision", "anthropic")
    assert not toolbridge.supports("gpt-4o", "reasoning")
    assert toolbridge.supports_reasoning("anthropic/claude-sonnet-4-5")
    assert toolbridge.supports_vision("gpt-4o")
    assert toolbridge.supports_response_schema("gpt-4o", custom_llm_provider="openai")
    assert not toolbridge.supports_vision("a-model-that-nobody-knows")
    with pytest.raises(toolbridge.ConfigurationError, match='did you mean "vision"'):
        toolbridge.supports("gpt-4o", "visions")


def test_every_function_of_a_capability_asks_for_the_one_that_it_is_named_after(mine):
    names = [name for name in catalogue.__all__ if name.startswith("supports_")]
    assert len(names) > 8
    for name in names:
        toolbridge.register_model({mine: {name: False}})
        assert getattr(toolbridge, name)(mine) is False
        toolbridge.register_model({mine: {name: True}})
        assert getattr(toolbridge, name)(mine) is True, name


def test_a_model_that_is_not_known_is_an_error_that_says_what_to_do():
    for call in (toolbridge.get_model_info, toolbridge.get_max_tokens):
        with pytest.raises(toolbridge.ConfigurationError) as caught:
            call("openai/gpt-4oo")
        assert isinstance(caught.value, ValueError)
        assert '"gpt-4o"' in str(caught.value)
        assert "register_model" in str(caught.value)
    with pytest.raises(toolbridge.ConfigurationError, match="register_model"):
        toolbridge.completion_cost(response({"prompt_tokens": 1, "completion_tokens": 1}))


def test_what_is_registered_wins_and_the_other_facts_stay(mine, tmp_path):
    file = tmp_path / "models.json"
    file.write_text(json.dumps({mine: {"max_input_tokens": 5}}))
    toolbridge.register_model(file)
    facts = toolbridge.get_model_info("a-model-of-the-tests", "openai")
    assert (facts["key"], facts["max_input_tokens"], facts["max_output_tokens"]) == (mine, 5, 100)
    for wrong in (5, {mine: 5}, {5: {}}):
        with pytest.raises(TypeError, match="register_model takes a dict of models"):
            toolbridge.register_model(wrong)


def test_a_cost_is_computed_from_every_kind_of_token(mine):
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "total_tokens": 130,
        "prompt_tokens_details": {
            "cached_tokens": 40,
            "cache_creation_tokens": 20,
            "audio_tokens": 10,
        },
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    # 30 plain, 40 read, 20 written, 10 heard; 25 plain and 5 thoughts.
    prompt, completion = 30 + 10 + 25 + 30, 250 + 100
    found = toolbridge.completion_cost(response(usage), model=mine)
    assert found == pytest.approx(prompt + completion)
    assert toolbridge.completion_cost(response(usage).to_dict(), mine) == pytest.approx(found)
    assert toolbridge.cost_per_token(mine, usage_object=usage) == (prompt, completion)
    priority = toolbridge.completion_cost(response(usage, service_tier="priority"), mine)
    assert priority == pytest.approx(found + 30)


def test_a_cost_is_computed_from_counts_and_from_prices_of_the_caller(mine):
    assert toolbridge.cost_per_token(mine, 10, 2) == (10.0, 20.0)
    cached = toolbridge.cost_per_token(
        mine, 10, 2, cache_read_input_tokens=4, cache_creation_input_tokens=4
    )
    assert cached == (2 + 1 + 5, 20.0)
    prices = {"input_cost_per_token": 0.5, "output_cost_per_token": 0.25}
    assert toolbridge.cost_per_token("x", 4, 4, custom_cost_per_token=prices) == (2.0, 1.0)
    usage = {"prompt_tokens": 4, "completion_tokens": 4}
    found = toolbridge.completion_cost(response(usage), custom_cost_per_token=prices)
    assert found == 3.0


def test_the_cost_of_texts_is_estimated(mine):
    found = toolbridge.completion_cost(model=mine, prompt="Hello there", completion="Hello")
    assert found == toolbridge.token_counter(text="Hello there") + 10.0
    with pytest.raises(TypeError, match="or a model"):
        toolbridge.completion_cost(prompt="Hello")


def test_a_price_that_is_not_known_is_an_error(mine):
    toolbridge.register_model({mine: {"input_cost_per_token": None, "output_cost_per_token": None}})
    with pytest.raises(toolbridge.ConfigurationError, match="no price of tokens"):
        toolbridge.cost_per_token(mine, 1, 1)


@pytest.mark.asyncio
async def test_a_response_says_what_it_cost_when_that_is_read():
    with serve(answer(), answer()) as endpoint:
        found = await toolbridge.acompletion("openai/gpt-4o", QUESTION, **endpoint.settings)
        other = await toolbridge.acompletion(
            "custom_openai/nobody-knows", QUESTION, **endpoint.settings
        )
    # 9 tokens of the request and one of the answer, by the prices of the version that answered.
    cost = 9 * 2.5e-06 + 1e-05
    for one in (copy.deepcopy(found), pickle.loads(pickle.dumps(found)), found):
        assert one._hidden_params["response_cost"] == pytest.approx(cost)
    assert toolbridge.completion_cost(found) == pytest.approx(cost)
    assert other._hidden_params["response_cost"] is None
    assert other.to_dict() == COMPLETION


PRICES = {"input_cost_per_token": 0.5, "output_cost_per_token": 2}


@pytest.mark.parametrize(
    ("model", "arguments", "cost"),
    [
        ("custom_openai/nobody-knows", PRICES, 9 * 0.5 + 2),
        # One price alone: the catalogue's is the other one, where there is any.
        ("openai/gpt-4o", {"output_cost_per_token": 2}, 9 * 2.5e-06 + 2),
        ("custom_openai/nobody-knows", {"output_cost_per_token": 2}, None),
        ("custom_openai/nobody-knows", {"base_model": "gpt-4o-mini"}, 9 * 0.15e-06 + 0.6e-06),
        ("openai/gpt-4o", {"model_info": {"base_model": "gpt-4o-mini"}}, 9 * 0.15e-06 + 0.6e-06),
        ("openai/gpt-4o", {"base_model": "gpt-4o-mini", **PRICES}, 9 * 0.5 + 2),
    ],
)
def test_a_call_says_what_its_answer_costs(model, arguments, cost):
    served = "nobody-knows" if "nobody" in model else "gpt-4o-2024-08-06"
    with serve(answer({**COMPLETION, "model": served})) as endpoint:
        found = toolbridge.completion(model, QUESTION, **arguments, **endpoint.settings)
    assert set(endpoint.body) == {"model", "messages"}
    wanted = None if cost is None else pytest.approx(cost)
    for one in (copy.deepcopy(found), pickle.loads(pickle.dumps(found)), found):
        assert one._hidden_params["response_cost"] == wanted


@pytest.mark.asyncio
async def test_the_prices_of_a_call_are_not_those_of_the_model_that_is_asked_instead():
    with serve(answer(error("no"), "404 Not Found"), answer()) as endpoint:
        found = await toolbridge.acompletion(
            "custom_openai/nobody-knows",
            QUESTION,
            # A key and an address are for the provider that they were given for.
            fallbacks=[{"model": "openai/gpt-4o", **endpoint.settings}],
            **PRICES,
            **endpoint.settings,
        )
    assert found._hidden_params["response_cost"] == pytest.approx(9 * 2.5e-06 + 1e-05)


def test_the_costs_of_a_mock_and_of_a_watched_stream_are_those_of_the_call(monkeypatch):
    mocked = toolbridge.completion("openai/x", QUESTION, mock_response="Hi", **PRICES)
    usage = mocked.usage
    cost = usage.prompt_tokens * 0.5 + usage.completion_tokens * 2
    assert mocked._hidden_params["response_cost"] == pytest.approx(cost)
    told = []
    monkeypatch.setattr(
        toolbridge, "success_callback", [lambda _kwargs, response, *_: told.append(response)]
    )
    used = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    last = {**chunk({}), "choices": [], "usage": used}
    with serve(stream(chunk({"content": "Hi"}, "stop"), last, DONE)) as endpoint:
        list(
            toolbridge.completion("openai/x", QUESTION, stream=True, **PRICES, **endpoint.settings)
        )
    (whole,) = told
    assert whole._hidden_params["response_cost"] == pytest.approx(10 * 0.5 + 2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"input_cost_per_token": "much"}, "input_cost_per_token"),
        ({"output_cost_per_token": -1}, "output_cost_per_token"),
        ({"base_model": 4}, "base_model"),
    ],
)
def test_a_price_that_is_none_is_named(arguments, named):
    with pytest.raises(TypeError, match=named):
        toolbridge.completion("openai/x", QUESTION, api_key="sk-1234", **arguments)


@pytest.mark.asyncio
async def test_a_stream_that_was_put_together_says_what_it_cost():
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    chunks = [
        toolbridge.types.ModelResponseStream(**chunk, choices=[choice]),
        toolbridge.types.ModelResponseStream(**chunk, choices=[], usage=usage),
    ]
    chunks[0]._hidden_params = {"custom_llm_provider": "openai", "response_cost": None}
    whole = toolbridge.stream_chunk_builder(chunks)
    assert whole._hidden_params["response_cost"] == pytest.approx(100 * 2.5e-06 + 10 * 1e-05)


def test_tokens_of_texts_messages_and_tools_are_estimated():
    text = toolbridge.token_counter("gpt-4o", "How is the weather today?")
    assert 5 <= text <= 8
    assert toolbridge.token_counter(text=["How is the weather today?"] * 2) == 2 * text
    message = {"role": "user", "content": "How is the weather today?"}
    # Three for the message, one for the role, three for the answer.
    found = toolbridge.token_counter(messages=[message])
    assert found == text + 7
    assert toolbridge.token_counter(messages=[toolbridge.types.Message(**message)]) == found
    only = toolbridge.token_counter(messages=[message], count_response_tokens=True)
    assert only == text
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    assert toolbridge.token_counter(messages=[message], tools=[tool]) > found + 20
    assert toolbridge.token_counter() == 0
    with pytest.raises(TypeError):
        toolbridge.token_counter(text=5)


def test_the_file_of_the_catalogue_is_made_by_its_script(tmp_path):
    script = str(Path(__file__).parents[2] / "scripts/catalogue.py")
    models = tmp_path / "list.json"
    models.write_text(
        json.dumps(
            {
                "b": {"mode": "chat", "litellm_provider": "x", "source": "y", "supports_a": True},
                "a": {"mode": "chat", "litellm_provider": "x", "input_cost_per_token_flex": 1},
                "c": {"mode": "embedding", "litellm_provider": "x"},
            }
        )
    )
    made = tmp_path / "models.z"
    run = [sys.executable, script, str(models), "--date", "2026-01-02", "--to", str(made)]
    subprocess.run(run, check=True, capture_output=True, timeout=60)
    assert zlib.decompress(made.read_bytes()).decode().splitlines() == [
        "2026-01-02",
        'a\t{"input_cost_per_token_flex":1,"litellm_provider":"x","mode":"chat"}',
        'b\t{"litellm_provider":"x","mode":"chat","supports_a":true}',
    ]
