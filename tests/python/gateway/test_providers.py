"""Every provider behind one gateway, asked with the ``openai`` package: what a provider gets is judged by its
official SDK, and what comes back is OpenAI's whoever gave it.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import toolbridge
from gateway.process import running
from judges.answers import assert_is_what_was_told
from judges.endpoint import Judge, judging
from judges.models import CASES, KEY, MODELS, Model
from scripted_aws import Reply, serve, signature_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

AWS_KEYS = ("AKIDEXAMPLE", "a-very-secret-key")
AWS = {
    "aws_access_key_id": AWS_KEYS[0],
    "aws_secret_access_key": AWS_KEYS[1],
    "aws_region_name": "us-east-1",
}
SIGNED = {"bedrock", "sagemaker"}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
IN_BEDROCK = f"/model/{CLAUDE.replace(':', '%3A')}"
NOVA = "amazon.nova-lite-v1:0"
CHAT = "/v1/chat/completions"

# The others: OpenAI's form, here under the URLs and names of those who serve it, and AWS.
OTHERS = [
    Model(
        f"bedrock/{CLAUDE}", "bedrock", f"{IN_BEDROCK}/converse", f"{IN_BEDROCK}/converse-stream"
    ),
    Model(
        f"bedrock/{NOVA}",
        "bedrock",
        f"/model/{NOVA.replace(':', '%3A')}/converse",
        f"/model/{NOVA.replace(':', '%3A')}/converse-stream",
    ),
    Model(
        "sagemaker_chat/my-endpoint",
        "sagemaker",
        "/endpoints/my-endpoint/invocations",
        "/endpoints/my-endpoint/invocations-response-stream",
    ),
    Model("openai/gpt-4o", "chat", CHAT, base="/v1"),
    Model(
        "azure/gpt-4o",
        "chat",
        "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        header=("api-key", KEY),
        options={"api_version": "2024-10-21"},
    ),
    Model("databricks/llama", "chat", "/serving-endpoints/chat/completions"),
    Model(
        "watsonx/ibm/granite-3-8b-instruct",
        "watsonx",
        "/ml/v1/text/chat?version=2025-02-11",
        "/ml/v1/text/chat_stream?version=2025-02-11",
        header=("Authorization", f"ZenApiKey {KEY}"),
        options={"zen_api_key": KEY, "project_id": "project-1", "api_version": "2025-02-11"},
    ),
    Model("huggingface/together/deepseek-ai/R1", "chat", CHAT),
    Model("cloudflare/@cf/meta/llama-3.1-8b-instruct", "chat", "/chat/completions"),
    Model("snowflake/llama3.3-70b", "chat", "/api/v2/cortex/v1/chat/completions"),
    Model("snowflake/claude-sonnet-4-5", "anthropic", "/api/v2/cortex/v1/messages"),
    *(
        Model(name, "chat", CHAT, base="/v1")
        for name in (
            "deepseek/deepseek-chat",
            "fireworks_ai/llama-v3p1-70b-instruct",
            "groq/llama-3.3-70b-versatile",
            "hosted_vllm/qwen",
            "openrouter/openai/gpt-4o",
            "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "xai/grok-4",
        )
    ),
]
# Those that are told by the keys of a deployment; what is asked for a prediction has a test of its own.
OF_THE_MATRIX = [
    model
    for model in MODELS
    if not model.variables
    and model.protocol != "replicate"
    and model.name not in {other.name for other in OTHERS}
]
EVERY = [*OF_THE_MATRIX, *OTHERS]
# How a request goes on, where it needs more than a case of the matrix.
STREAMED_TOOLS = {**CASES["tools"], "stream": True, "stream_options": {"include_usage": True}}
ASKED = {
    **{name: CASES[name] for name in ("text", "tools", "tool_results", "stream_with_usage")},
    "streamed_tools": STREAMED_TOOLS,
}


def ids(model: Model) -> str:
    """What a model is called in the name of a test."""
    return model.name


def is_refused(model: Model, case: str) -> bool:
    """Whether a request is refused before anybody is asked."""
    return model in OF_THE_MATRIX and case in CASES and "error" in model.golden[case]


PAIRS = [
    pytest.param(model, case, id=f"{case}-{model.name}")
    for case in ASKED
    for model in EVERY
    if not is_refused(model, case)
]


@dataclass
class World:
    """A gateway, and who stands behind it."""

    client: openai.OpenAI
    judges: dict[str, Judge]


def entry(model: Model, origin: str) -> dict[str, Any]:
    """The model in `model_list`."""
    keys = AWS if model.protocol in SIGNED else {"api_key": KEY}
    if "zen_api_key" in model.options:
        keys = {}
    params = {"model": model.name, "api_base": origin + model.base, **keys, **model.options}
    return {"model_name": model.name, "litellm_params": params}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One gateway to every one of them."""
    with ExitStack() as stack:
        judges = {model.name: stack.enter_context(judging(model.protocol)) for model in EVERY}
        entries = [entry(model, judges[model.name].origin) for model in EVERY]
        config = {"model_list": entries, "router_settings": {"num_retries": 0}}
        folder = tmp_path_factory.mktemp("gateway")
        origin = stack.enter_context(running(json.dumps(config), folder))
        client = openai.OpenAI(base_url=f"{origin}/v1", api_key="sk-1234", max_retries=0)
        yield World(stack.enter_context(client), judges)


def asked(client: openai.OpenAI, model: str, request: dict[str, Any]) -> Any:
    """An answer as the ``openai`` package gives it, each part of it held against its own types."""
    if not request.get("stream"):
        answer = client.chat.completions.create(model=model, **request)
        ChatCompletion.model_validate_json(answer.to_json(), strict=True)
        return answer
    with client.chat.completions.create(model=model, **request) as stream:
        chunks = list(stream)
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(chunk.to_json(), strict=True)
    assert chunks[-1].choices == []
    return toolbridge.stream_chunk_builder([chunk.model_dump() for chunk in chunks])


@pytest.mark.parametrize(("model", "case"), PAIRS)
def test_a_provider_is_asked_in_its_own_way_and_answers_in_openais(
    world: World, model: Model, case: str
) -> None:
    request = ASKED[case]
    judge = world.judges[model.name]
    judge.received.clear()
    answer = asked(world.client, model.name, request)
    assert judge.refused == []
    (received,) = judge.received
    if model in OF_THE_MATRIX and case in CASES:
        assert received.body == model.golden[case]
    path = model.stream_path if request.get("stream") else ""
    assert received.path == (path or model.path)
    headers = {name.lower(): value for name, value in received.headers.items()}
    if model.protocol in SIGNED:
        received.headers = headers
        assert signature_problems(received, model.protocol, "us-east-1", AWS_KEYS) == []
    else:
        name, value = model.header
        assert headers[name.lower()] == value
    assert "sk-1234" not in str(headers)
    assert_is_what_was_told(answer)


# What they say of a caller that is too fast, each in its own shape.
LIMITED = {
    "anthropic": {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "not so fast"},
        "request_id": "req_1",
    },
    "gemini": {"error": {"code": 429, "message": "not so fast", "status": "RESOURCE_EXHAUSTED"}},
    "cohere": {"message": "not so fast"},
    "mistral": {"message": "not so fast", "object": "error", "type": "limited", "code": "1300"},
    "ollama": {"error": "not so fast"},
    "bedrock": {"message": "not so fast"},
    "sagemaker": {"ErrorCode": "Throttled", "Message": "not so fast"},
    "watsonx": {"errors": [{"code": "limited", "message": "not so fast"}], "status_code": 429},
}
LIMITED["anthropic_on_vertex"] = LIMITED["anthropic"]
OPENAIS = {"error": {"message": "not so fast", "type": "t", "code": "limited", "param": None}}


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", EVERY, ids=ids)
def test_an_error_of_a_provider_has_its_status_its_sentence_and_openais_shape(
    world: World, model: Model, *, streams: bool
) -> None:
    judge = world.judges[model.name]
    judge.error = (429, LIMITED.get(model.protocol, OPENAIS))
    request = CASES["stream_with_usage" if streams else "text"]
    try:
        with pytest.raises(openai.RateLimitError) as raised:
            world.client.chat.completions.create(model=model.name, **request)
    finally:
        judge.error = None
    assert "not so fast" in raised.value.message
    body = raised.value.response.json()
    assert body.keys() == {"error"}
    assert "not so fast" in body["error"]["message"]
    assert {"message", "type", "param", "code"} <= body["error"].keys()


def test_replicate_is_asked_for_a_prediction(tmp_path: Any) -> None:
    prediction = {
        "id": "p1",
        "status": "succeeded",
        "created_at": "2025-03-10T00:00:00Z",
        "output": ["It is sunny", " in Paris."],
        "metrics": {"input_token_count": 12, "output_token_count": 5},
    }
    model = "replicate/meta/meta-llama-3-70b-instruct"
    with serve(Reply(prediction, 201)) as endpoint:
        params = {"model": model, "api_base": endpoint.origin, "api_key": KEY}
        config = {"model_list": [{"model_name": "llama", "litellm_params": params}]}
        with (
            running(json.dumps(config), tmp_path) as origin,
            openai.OpenAI(base_url=origin, api_key="sk-1234", max_retries=0) as client,
        ):
            answer = asked(client, "llama", CASES["text"])
    (received,) = endpoint.requests
    assert received.path == "/models/meta/meta-llama-3-70b-instruct/predictions"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.body == {"input": {"prompt": "What is the weather in Paris?"}}
    assert_is_what_was_told(answer)
