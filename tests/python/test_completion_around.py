"""Around the completion call: defaults, timeouts in parts, other models, checked answers, clients."""

from __future__ import annotations

import asyncio
import threading

import pytest

import toolbridge
from scripted_openai import (
    COMPLETION,
    DONE,
    UNTIL_GONE,
    answer,
    chunk,
    error,
    serve,
    stream,
)

QUESTION = [{"role": "user", "content": "Hi"}]
BUSY = answer(error("slow down"), "429 Too Many Requests", {"retry-after-ms": "0"})
REFUSED = answer(error("no"), "400 Bad Request")
TOO_LONG = answer(error("too long", code="context_length_exceeded"), "400 Bad Request")
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "x"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}


def saying(text):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    return answer({**COMPLETION, "choices": [choice]})


def ask(endpoint, model="openai/a", **arguments):
    return toolbridge.completion(model, QUESTION, **{**endpoint.settings, **arguments})


def models(endpoint):
    return [request.body["model"] for request in endpoint.requests]


def test_the_first_model_that_answers_gives_the_answer_and_what_was_tried_is_told():
    with serve(BUSY, BUSY, answer()) as endpoint:
        response = ask(endpoint, fallbacks=["openai/b", "openai/c", "openai/d"])
    assert models(endpoint) == ["a", "b", "c"]
    facts = response._hidden_params
    assert facts["attempted_fallbacks"] == 2
    assert [(one["model"], one["error"]) for one in facts["tried"]] == [
        ("openai/a", "RateLimitError"),
        ("openai/b", "RateLimitError"),
    ]


@pytest.mark.asyncio
async def test_a_fallback_of_arguments_changes_those_alone_also_in_a_loop():
    with serve(BUSY, answer()) as endpoint:
        await toolbridge.acompletion(
            "openai/a",
            QUESTION,
            temperature=0.5,
            seed=1,
            fallbacks=[{"model": "openai/b", "temperature": 1, "api_key": "sk-the-other"}],
            **endpoint.settings,
        )
    first, second = endpoint.requests
    assert first.headers["authorization"] == "Bearer sk-a-secret-key"
    assert second.headers["authorization"] == "Bearer sk-the-other"
    assert second.body == {"model": "b", "messages": QUESTION, "temperature": 1, "seed": 1}


def test_the_last_error_is_raised_with_the_first_behind_it_and_notes_of_all():
    unavailable = answer(error("down"), "503 Service Unavailable")
    with (
        serve(BUSY, unavailable) as endpoint,
        pytest.raises(toolbridge.ServiceUnavailableError) as caught,
    ):
        ask(endpoint, fallbacks=["openai/b"])
    assert isinstance(caught.value.__cause__, toolbridge.RateLimitError)
    notes = caught.value.__notes__
    assert [note.split(":")[0] for note in notes] == ["tried openai/a", "tried openai/b"]
    assert "down" in notes[1]


def test_a_key_is_not_sent_to_a_provider_that_it_was_not_given_for(monkeypatch):
    with serve(BUSY) as endpoint, serve(answer(CLAUDE)) as other:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-anthropic")
        fallback = {"model": "anthropic/b", "api_base": other.api_base}
        headers = {"X-Trace": "1", "X-Api-Key": "sk-in-a-header"}
        ask(endpoint, fallbacks=[fallback], extra_headers=headers)
    (request,) = other.requests
    assert request.headers["x-api-key"] == "sk-of-anthropic"
    assert request.headers["x-trace"] == "1"
    assert "sk-a-secret-key" not in str(request.headers)


def test_what_is_wrong_with_the_call_is_not_tried_elsewhere():
    with serve(answer()) as endpoint:
        with pytest.raises(toolbridge.BadRequestError, match="messages is empty"):
            toolbridge.completion("openai/a", [], fallbacks=["openai/b"], **endpoint.settings)
        with pytest.raises(toolbridge.BadRequestError, match="unknown provider"):
            ask(endpoint, "nobody/a", fallbacks=["openai/b"])
        with pytest.raises(toolbridge.ConfigurationError):
            ask(endpoint, timeout=-1, fallbacks=["openai/b"])
        with pytest.raises(TypeError):
            ask(endpoint, api_key=5, fallbacks=["openai/b"])
        assert endpoint.requests == []


@pytest.mark.parametrize("fallbacks", ["openai/b", [5], {"a": "b"}])
def test_fallbacks_of_a_wrong_type_are_refused_before_anything_is_sent(fallbacks):
    with serve(answer()) as endpoint:
        with pytest.raises(TypeError, match="fallbacks"):
            ask(endpoint, fallbacks=fallbacks)
        assert endpoint.requests == []


def test_messages_that_are_too_long_go_to_the_model_of_the_dict_and_others_do_not():
    larger = {"openai/a": "openai/large"}
    with serve(TOO_LONG, answer()) as endpoint:
        ask(endpoint, context_window_fallback_dict=larger)
        assert models(endpoint) == ["a", "large"]
    with serve(BUSY) as endpoint, pytest.raises(toolbridge.RateLimitError):
        ask(endpoint, context_window_fallback_dict=larger)


def test_models_of_the_dict_that_lead_to_one_another_are_not_asked_round_and_round():
    around = {"openai/a": "openai/b", "openai/b": "openai/a"}
    with (
        serve(*[TOO_LONG] * 4) as endpoint,
        pytest.raises(toolbridge.ContextWindowExceededError),
    ):
        ask(endpoint, context_window_fallback_dict=around)
    assert models(endpoint) == ["a", "b", "a"]


def test_a_stream_that_does_not_begin_is_asked_elsewhere_and_one_that_began_is_not():
    good = stream(chunk({"role": "assistant", "content": "x"}, "stop"), DONE)
    with serve(BUSY, good) as endpoint:
        begun = ask(endpoint, stream=True, fallbacks=["openai/b"])
        assert [one.choices[0].delta.content for one in begun] == ["x"]
        assert begun._hidden_params["attempted_fallbacks"] == 1
    with serve(stream(chunk({"content": "x"}))) as endpoint:
        begun = ask(endpoint, stream=True, fallbacks=["openai/b"])
        with pytest.raises(toolbridge.APIConnectionError):
            list(begun)
        assert models(endpoint) == ["a"]


def test_a_400_is_never_repeated_and_num_retries_is_obeyed():
    with serve(REFUSED) as endpoint, pytest.raises(toolbridge.BadRequestError):
        ask(endpoint, max_retries=None, num_retries=5)
    with serve(BUSY, BUSY, answer()) as endpoint:
        response = ask(endpoint, max_retries=None, num_retries=2)
    assert response._hidden_params["num_retries"] == 2


def test_attributes_of_the_package_stand_in_for_arguments(monkeypatch):
    with serve(BUSY, answer(), answer()) as endpoint:
        monkeypatch.setattr(toolbridge, "api_base", endpoint.api_base)
        monkeypatch.setattr(toolbridge, "api_key", "sk-of-the-process")
        monkeypatch.setattr(toolbridge, "num_retries", 1)
        monkeypatch.setattr(toolbridge, "headers", {"x-a": "1"})
        toolbridge.completion("openai/a", QUESTION)
        assert len(endpoint.requests) == 2
        assert endpoint.requests[1].headers["authorization"] == "Bearer sk-of-the-process"
        assert endpoint.requests[1].headers["x-a"] == "1"
        toolbridge.completion("openai/a", QUESTION, api_key="sk-of-the-call")
        assert endpoint.requests[2].headers["authorization"] == "Bearer sk-of-the-call"


def test_num_retries_of_the_package_may_be_none_at_all(monkeypatch):
    monkeypatch.setattr(toolbridge, "num_retries", 0)
    with serve(BUSY, answer()) as endpoint:
        with pytest.raises(toolbridge.RateLimitError):
            ask(endpoint, max_retries=None)
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize("is_global", [True, False])
def test_drop_params_leaves_out_what_the_provider_does_not_take(monkeypatch, is_global):
    arguments = {"seed": 1}
    with serve(answer(CLAUDE)) as endpoint:
        with pytest.raises(toolbridge.UnsupportedParamsError, match="seed"):
            ask(endpoint, "anthropic/m", **arguments)
        if is_global:
            monkeypatch.setattr(toolbridge, "drop_params", True)
        else:
            arguments["drop_params"] = True
        ask(endpoint, "anthropic/m", **arguments)
        assert "seed" not in endpoint.body


def test_allowed_openai_params_are_sent_whatever_is_known_of_the_provider():
    with serve(REFUSED) as endpoint, pytest.raises(toolbridge.BadRequestError):
        ask(endpoint, "anthropic/m", seed=1, allowed_openai_params=["seed"])
    assert endpoint.body["seed"] == 1


@pytest.mark.parametrize(
    "limit", [toolbridge.Timeouts(first_token=0.05), {"first_token": 0.05}, {"total": 0.05}]
)
def test_a_stream_without_a_first_token_ends_in_a_timeout_that_names_the_limit(limit):
    name = "total" if limit == {"total": 0.05} else "first_token"
    with serve(stream(b": ping\n\n", UNTIL_GONE)) as endpoint:
        with pytest.raises(toolbridge.Timeout, match=name):
            list(ask(endpoint, stream=True, timeout=limit))
        assert endpoint.gone.wait(30)


def test_the_time_between_tokens_is_not_that_to_the_first():
    wait = threading.Event()
    with serve(stream(wait, chunk({"content": "x"}), UNTIL_GONE)) as endpoint:
        begun = ask(endpoint, stream=True, timeout={"first_token": 30, "between_tokens": 0.05})
        wait.set()
        assert next(begun).choices[0].delta.content == "x"
        with pytest.raises(toolbridge.Timeout, match="between_tokens"):
            next(begun)


def test_the_total_counts_repetitions_and_does_not_hide_why_they_were_needed():
    patient = answer(error("slow down"), "429 Too Many Requests", {"retry-after": "30"})
    with serve(patient) as endpoint, pytest.raises(toolbridge.RateLimitError):
        ask(endpoint, max_retries=5, timeout=toolbridge.Timeouts(total=5))
    with serve([UNTIL_GONE]) as endpoint, pytest.raises(toolbridge.Timeout, match="total"):
        ask(endpoint, max_retries=5, timeout=toolbridge.Timeouts(total=0.05))


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({"reed": 1}, 'timeout has no part "reed"; it has connect, first_token'),
        ({"total": 0}, "timeout.total is 0; it takes a positive number"),
    ],
)
def test_a_part_of_a_timeout_that_cannot_be_used_is_named(limit, says):
    with serve() as endpoint, pytest.raises(toolbridge.ConfigurationError, match=says):
        ask(endpoint, timeout=limit)


def test_timeouts_are_values():
    one = toolbridge.Timeouts(connect=1, total=2)
    assert one == toolbridge.Timeouts(connect=1, total=2)
    assert one != toolbridge.Timeouts(connect=1)
    assert repr(one) == "Timeouts(connect=1, total=2)"


@pytest.mark.parametrize("is_global", [True, False])
def test_an_answer_that_does_not_fit_the_schema_is_an_error_with_the_place(monkeypatch, is_global):
    wanted = {"response_format": SCHEMA}
    if is_global:
        monkeypatch.setattr(toolbridge, "enable_json_schema_validation", True)
    else:
        wanted["enable_json_schema_validation"] = True
    with serve(saying('{"n": "x"}'), saying('{"n": 1}'), saying("no")) as endpoint:
        with pytest.raises(toolbridge.JSONSchemaValidationError, match="/n") as caught:
            ask(endpoint, **wanted)
        assert caught.value.raw_response == '{"n": "x"}'
        assert caught.value.schema == SCHEMA["json_schema"]["schema"]
        assert ask(endpoint, **wanted).choices[0].message.content == '{"n": 1}'
        with pytest.raises(toolbridge.JSONSchemaValidationError, match="not JSON"):
            ask(endpoint, **wanted)
        assert "enable_json_schema_validation" not in endpoint.requests[0].body


def test_an_answer_is_not_checked_unless_that_is_asked_for():
    with serve(saying("no")) as endpoint:
        assert ask(endpoint, response_format=SCHEMA).choices[0].message.content == "no"


def test_a_client_gives_its_arguments_to_every_call_and_keeps_none_of_theirs():
    with serve(answer(), answer()) as endpoint:
        client = toolbridge.LiteLLM(
            api_key="sk-of-the-client", base_url=endpoint.api_base, model="openai/a"
        )
        client.chat.completions.create(messages=QUESTION, temperature=1)
        client.chat.completions.create(messages=QUESTION, model="openai/b")
        assert "sk-of" not in repr(client)
    first, second = endpoint.requests
    assert first.headers["authorization"] == "Bearer sk-of-the-client"
    assert first.body == {"model": "a", "messages": QUESTION, "temperature": 1}
    assert second.body == {"model": "b", "messages": QUESTION}


@pytest.mark.asyncio
async def test_a_client_for_a_loop_is_awaited():
    with serve(answer(), answer()) as endpoint:
        client = toolbridge.AsyncLiteLLM(base_url=endpoint.api_base, api_key="sk-1234")
        calls = [client.chat.completions.create(QUESTION, "openai/a") for _ in range(2)]
        responses = await asyncio.gather(*calls)
    assert [one.choices[0].message.content for one in responses] == ["Paris"] * 2


def test_a_client_without_a_model_says_where_to_give_one():
    with pytest.raises(TypeError, match="give model="):
        toolbridge.LiteLLM().chat.completions.create(messages=QUESTION)
