"""The completion call: what is sent, what comes back."""

from __future__ import annotations

import asyncio
import inspect
import json

import pytest

import toolbridge
from scripted_openai import COMPLETION, UNTIL_GONE, answer, run_script, serve
from toolbridge.types import Message, ModelResponse

EMPTY = {"type": "object", "properties": {}}
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.mark.asyncio
async def test_an_answer_is_a_response_over_what_the_provider_sent():
    headers = {"x-request-id": "req_1", "x-ratelimit-remaining-requests": "7"}
    with serve(answer(headers=headers)) as endpoint:
        response = await toolbridge.acompletion("openai/gpt-4o", QUESTION, **endpoint.settings)
    assert type(response) is ModelResponse
    assert response.choices[0].message.content == "Paris"
    assert response["choices"][0]["message"]["content"] == "Paris"
    assert response.usage.total_tokens == 10
    assert response.to_dict() == COMPLETION
    assert json.loads(json.dumps(response, default=str))
    facts = response._hidden_params
    assert facts["custom_llm_provider"] == "openai"
    assert facts["api_base"] == endpoint.api_base
    assert facts["_response_ms"] > 0
    assert facts["additional_headers"]["llm_provider-x-request-id"] == "req_1"
    assert facts["additional_headers"]["x-ratelimit-remaining-requests"] == "7"


def test_options_of_other_providers_are_parameters_here_and_their_secrets_go_nowhere():
    others = {"project_id": "p", "model_id": "m", "client_id": "c", "account_id": "a"}
    secrets = {"aws_secret_access_key": "s", "client_secret": "s", "vertex_credentials": "s"}
    with serve(answer()) as endpoint:
        toolbridge.completion("gpt-4o", QUESTION, **others, **secrets, **endpoint.settings)
    assert endpoint.body == {"model": "gpt-4o", "messages": QUESTION, **others}


def test_completion_is_the_same_without_a_loop():
    with serve(answer()) as endpoint:
        response = toolbridge.completion("gpt-4o", QUESTION, **endpoint.settings)
    assert response.to_dict() == COMPLETION
    request = endpoint.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-a-secret-key"
    assert request.body == {"model": "gpt-4o", "messages": QUESTION}


@pytest.mark.asyncio
async def test_completion_can_be_called_while_a_loop_runs_in_the_thread():
    with serve(answer()) as endpoint:
        response = toolbridge.completion("gpt-4o", QUESTION, **endpoint.settings)
    assert response.choices[0].message.content == "Paris"


@pytest.mark.asyncio
async def test_many_calls_at_once_share_the_connections_of_the_process():
    with serve(*[answer()] * 24) as endpoint:
        for _ in range(3):
            calls = [
                toolbridge.acompletion("gpt-4o", QUESTION, **endpoint.settings) for _ in range(8)
            ]
            responses = await asyncio.gather(*calls)
            assert [r.choices[0].message.content for r in responses] == ["Paris"] * 8
        assert endpoint.connections <= 16


def test_one_loop_after_another_uses_the_same_connections():
    with serve(answer(), answer(), answer()) as endpoint:
        for _ in range(3):
            asyncio.run(toolbridge.acompletion("gpt-4o", QUESTION, **endpoint.settings))
        assert endpoint.connections == 1


def test_acompletion_is_a_coroutine_function():
    assert inspect.iscoroutinefunction(toolbridge.acompletion)
    assert not inspect.iscoroutinefunction(toolbridge.completion)


def test_the_functions_are_found_in_any_order():
    script = (
        "import toolbridge; toolbridge.{0}; assert all(callable(getattr(toolbridge, name)) for name"
        " in ('acompletion', 'completion', 'stream_chunk_builder'))"
    )
    for name in ("acompletion", "completion", "stream_chunk_builder"):
        done = run_script(script.format(name))
        assert (done.stderr, done.returncode) == ("", 0)


# What is sent.


def sent_body(*args, **kwargs):
    with serve(answer()) as endpoint:
        toolbridge.completion(*args, **{**endpoint.settings, **kwargs})
    return endpoint.body


def test_parameters_pass_to_the_provider_known_or_not():
    body = sent_body(
        "gpt-4o",
        QUESTION,
        temperature=0,
        n=2,
        stop=["a"],
        tools=[{"type": "function", "function": {"name": "f", "parameters": EMPTY}}],
        tool_choice="auto",
        reasoning_effort="low",
        thinking={"type": "enabled"},
        invented_tomorrow={"x": [1, None]},
        stream=False,
        seed=None,
    )
    assert body == {
        "model": "gpt-4o",
        "messages": QUESTION,
        "temperature": 0,
        "n": 2,
        "stop": ["a"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": EMPTY}}],
        "tool_choice": "auto",
        "reasoning_effort": "low",
        "thinking": {"type": "enabled"},
        "invented_tomorrow": {"x": [1, None]},
    }


def test_the_positional_orders_are_those_of_litellm():
    names = list(inspect.signature(toolbridge.acompletion).parameters)
    assert names[:6] == [
        "model",
        "messages",
        "functions",
        "function_call",
        "timeout",
        "temperature",
    ]
    names = list(inspect.signature(toolbridge.completion).parameters)
    assert names[:5] == ["model", "messages", "timeout", "temperature", "top_p"]
    assert names[names.index("max_completion_tokens") + 1] == "max_tokens"


@pytest.mark.parametrize(
    ("model", "extra", "wire"),
    [
        ("openai/gpt-4o", {}, "gpt-4o"),
        ("o3-mini", {}, "o3-mini"),
        ("ft:gpt-4o-mini:org::1", {}, "ft:gpt-4o-mini:org::1"),
        ("custom_openai/my/model", {}, "my/model"),
        ("my-model", {}, "my-model"),
        ("meta/llama", {"custom_llm_provider": "openai"}, "meta/llama"),
        ("gpt-4o", {"extra_body": {"model": "other"}}, "other"),
    ],
)
def test_the_wire_name_of_a_model(model, extra, wire):
    assert sent_body(model, QUESTION, **extra)["model"] == wire


def test_extra_body_and_extra_headers_are_added():
    with serve(answer()) as endpoint:
        toolbridge.completion(
            "gpt-4o",
            QUESTION,
            extra_body={"top_k": 3, "temperature": 1},
            temperature=0,
            headers={"X-A": "1", "X-B": "1"},
            extra_headers={"x-b": "2", "X-None": None},
            organization="org-1",
            **endpoint.settings,
        )
    request = endpoint.requests[0]
    assert (request.body["top_k"], request.body["temperature"]) == (3, 1)
    assert (request.headers["x-a"], request.headers["x-b"]) == ("1", "2")
    assert "x-none" not in request.headers
    assert request.headers["openai-organization"] == "org-1"


def test_base_url_and_key_come_from_the_arguments_then_from_the_environment(monkeypatch):
    with serve(answer(), answer(), answer()) as endpoint:
        monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:1/unused")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{endpoint.origin}/a/")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-from-variable")
        toolbridge.completion("gpt-4o", QUESTION)
        toolbridge.completion("gpt-4o", QUESTION, base_url=f"{endpoint.origin}/b", api_key="sk-x")
        monkeypatch.delenv("OPENAI_BASE_URL")
        monkeypatch.setenv("OPENAI_API_BASE", f"{endpoint.origin}/c")
        toolbridge.completion("gpt-4o", QUESTION)
    assert [request.path for request in endpoint.requests] == [
        "/a/chat/completions",
        "/b/chat/completions",
        "/c/chat/completions",
    ]
    keys = [request.headers["authorization"] for request in endpoint.requests]
    assert keys == ["Bearer sk-from-variable", "Bearer sk-x", "Bearer sk-from-variable"]


def test_an_empty_key_counts_as_none(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-variable")
    with serve(answer()) as endpoint:
        toolbridge.completion("gpt-4o", QUESTION, **{**endpoint.settings, "api_key": ""})
    assert endpoint.requests[0].headers["authorization"] == "Bearer sk-from-variable"


def test_messages_of_earlier_responses_can_stand_among_the_messages():
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [call]}}]}
    with serve(answer(body), answer()) as endpoint:
        first = toolbridge.completion("gpt-4o", QUESTION, **endpoint.settings)
        message = first.choices[0].message
        message.provider_specific_fields = {"x": 1}
        history = [
            *QUESTION,
            message,
            message.model_dump(),
            {"role": "tool", "content": "ok", "tool_call_id": message.tool_calls[0].id},
        ]
        toolbridge.completion("gpt-4o", history, **endpoint.settings)
    sent = endpoint.requests[1].body["messages"]
    wanted = {"role": "assistant", "tool_calls": [call]}
    assert sent[1] == wanted
    assert sent[2] == {**wanted, "content": None}
    # The caller's own objects are left alone.
    assert message.provider_specific_fields == {"x": 1}
    assert "function_call" in history[2]


def test_messages_of_the_openai_package_can_stand_among_the_messages():
    chat = pytest.importorskip("openai.types.chat")
    message = chat.ChatCompletionMessage(
        role="assistant",
        content=None,
        tool_calls=[
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    )
    body = sent_body("gpt-4o", [*QUESTION, message, message.model_dump()])
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert body["messages"][1] == {"role": "assistant", "tool_calls": [call]}
    assert body["messages"][2] == {"role": "assistant", "content": None, "tool_calls": [call]}


def test_a_message_that_a_caller_made_can_stand_among_the_messages():
    body = sent_body("gpt-4o", (Message(role="user", content="hi"),))
    assert body["messages"] == [{"role": "user", "content": "hi"}]


def test_litellms_own_parameters_stay_here_and_are_warned_of_once(monkeypatch):
    from toolbridge._completion import parameters

    monkeypatch.setattr(parameters, "_warned", set())
    with pytest.warns(UserWarning, match="has no effect in this version") as seen:
        body = sent_body("gpt-4o", QUESTION, caching=True, budget_duration="1d", azure=False)
    assert body == {"model": "gpt-4o", "messages": QUESTION}
    assert sorted(str(warning.message).split()[2] for warning in seen) == [
        "budget_duration",
        "caching",
    ]
    # Warnings are errors here: a second one would fail.
    sent_body("gpt-4o", QUESTION, caching=True, budget_duration="1d")


def test_metadata_is_sent_with_stored_completions_alone(monkeypatch):
    from toolbridge._completion import parameters

    monkeypatch.setattr(parameters, "_warned", set())
    stored = sent_body("gpt-4o", QUESTION, store=True, metadata={"a": "b"})
    assert stored["metadata"] == {"a": "b"}
    with pytest.warns(UserWarning, match="metadata"):
        assert "metadata" not in sent_body("gpt-4o", QUESTION, metadata={"a": "b"})


def test_additional_drop_params_are_not_sent():
    body = sent_body("gpt-4o", QUESTION, temperature=1, additional_drop_params=["temperature"])
    assert "temperature" not in body


def test_paths_of_additional_drop_params_reach_inside_and_change_nothing_of_the_callers():
    tools = [
        {"type": "function", "function": {"name": name, "strict": True, "parameters": EMPTY}}
        for name in ("f", "g")
    ]
    paths = ["tools[*].function.strict", "tools[1].function.parameters", "stop[0]", "a.b", "n[x]"]
    body = sent_body(
        "gpt-4o", QUESTION, tools=tools, stop=["x", "y"], n=1, additional_drop_params=paths
    )
    assert [tool["function"] for tool in body["tools"]] == [
        {"name": "f", "parameters": EMPTY},
        {"name": "g"},
    ]
    assert (body["stop"], body["n"]) == (["y"], 1)
    assert all(tool["function"]["strict"] for tool in tools)


def test_a_dataclass_and_a_typed_dict_become_a_strict_json_schema():
    from dataclasses import make_dataclass

    # typing's own is not enough for pydantic before Python 3.12.
    from typing_extensions import TypedDict

    for wanted in (make_dataclass("City", [("name", str)]), TypedDict("City", {"name": str})):
        assert sent_body("gpt-4o", QUESTION, response_format=wanted)["response_format"] == {
            "type": "json_schema",
            "json_schema": {
                "name": "City",
                "strict": True,
                "schema": {
                    "title": "City",
                    "type": "object",
                    "properties": {"name": {"title": "Name", "type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            },
        }


def test_a_pydantic_class_becomes_a_strict_json_schema():
    pydantic = pytest.importorskip("pydantic")

    class Place(pydantic.BaseModel):
        name: str
        zip_code: str | None = None

    class Answer(pydantic.BaseModel):
        places: list[Place]
        best: Place = pydantic.Field(description="the best one")

    body = sent_body("gpt-4o", QUESTION, response_format=Answer)
    wanted = body["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"]) == ("json_schema", "Answer")
    assert wanted["json_schema"]["strict"] is True
    schema = wanted["json_schema"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["places", "best"]
    place = schema["$defs"]["Place"]
    assert place["required"] == ["name", "zip_code"]
    assert "default" not in place["properties"]["zip_code"]
    # A reference with a description beside it is refused by OpenAI.
    assert schema["properties"]["best"]["description"] == "the best one"
    assert schema["properties"]["best"]["properties"]["name"]["type"] == "string"
    assert schema["properties"]["places"]["items"] == {"$ref": "#/$defs/Place"}


def test_the_strict_schema_is_the_one_of_the_openai_package():
    pydantic = pytest.importorskip("pydantic")
    parsing = pytest.importorskip("openai.lib._parsing")

    class Leaf(pydantic.BaseModel):
        kind: str = "leaf"
        tags: dict[str, int] = pydantic.Field(default_factory=dict)
        parent: Leaf | None = None

    class Tree(pydantic.BaseModel):
        leaf: Leaf = pydantic.Field(description="one")
        leaves: list[Leaf | int]

    body = sent_body("gpt-4o", QUESTION, response_format=Tree)
    assert body["response_format"] == parsing.type_to_response_format_param(Tree)


def test_tool_calls_are_repaired_as_litellm_does():
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}]
    body = {"choices": [{"message": {"role": "assistant", "tool_calls": calls}}]}
    with serve(answer(body)) as endpoint:
        response = toolbridge.completion("gpt-4o", QUESTION, **endpoint.settings)
    (call,) = response.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"a": 1}
    assert call.type == "function"
    assert call.id.startswith("call_")


@pytest.mark.asyncio
async def test_a_cancelled_call_closes_its_connection():
    with serve([UNTIL_GONE]) as endpoint:
        call = asyncio.create_task(toolbridge.acompletion("gpt-4o", QUESTION, **endpoint.settings))
        await asyncio.to_thread(endpoint.begun.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(endpoint.gone.wait, 30)
