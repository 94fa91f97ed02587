"""The `openai` package, unmodified, on a gateway."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest

from gateway.process import running
from scripted_openai import (
    COMPLETION,
    DONE,
    UNTIL_GONE,
    Endpoint,
    answer,
    chunk,
    error,
    serve,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
PIECES = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Par"}),
    chunk({"content": "is"}),
    chunk({}, "stop"),
]


def entry(name: str, endpoint: Endpoint) -> str:
    """An entry of `model_list`."""
    params = f"{{model: openai/wire, api_base: {endpoint.api_base}, api_key: sk-provider}}"
    return f"  - model_name: {name}\n    litellm_params: {params}\n"


@contextmanager
def serving(
    folder: Path, *replies: list[Any], settings: str = ""
) -> Iterator[tuple[Endpoint, str]]:
    """A gateway to one scripted model."""
    with serve(*replies) as endpoint:
        config = f"model_list:\n{entry('gpt-4o', endpoint)}{settings}"
        with running(config, folder) as origin:
            yield endpoint, origin


def client(origin: str) -> openai.OpenAI:
    """A client that repeats nothing itself."""
    return openai.OpenAI(base_url=origin, api_key="sk-1234", max_retries=0)


NO_RETRIES = "router_settings: {num_retries: 0}\n"


def test_a_completion_comes_back_as_the_provider_gave_it(tmp_path: Path) -> None:
    with serving(tmp_path, answer(), answer()) as (endpoint, origin):
        for base in (origin, f"{origin}/v1"):
            with client(base) as openai_client:
                found = openai_client.chat.completions.create(
                    **ASK, temperature=0.5, extra_body={"new": {"a": [1.5]}}
                )
            assert json.loads(found.to_json()) == COMPLETION
            assert found.choices[0].message.content == "Paris"
    first, second = endpoint.requests
    assert first.path == "/v1/chat/completions"
    assert first.body == {**ASK, "model": "wire", "temperature": 0.5, "new": {"a": [1.5]}}
    assert first.headers["authorization"] == "Bearer sk-provider"
    assert "sk-1234" not in str(second.headers)


def test_a_stream_comes_back_chunk_by_chunk(tmp_path: Path) -> None:
    with (
        serving(tmp_path, stream(*PIECES, DONE)) as (_, origin),
        client(origin) as sdk,
        sdk.chat.completions.create(**ASK, stream=True) as chunks,
    ):
        found = [json.loads(piece.to_json()) for piece in chunks]
    assert found == PIECES


@pytest.mark.asyncio
async def test_the_asynchronous_client_is_served_too(tmp_path: Path) -> None:
    replies = (answer(), stream(*PIECES, DONE))
    with serving(tmp_path, *replies) as (_, origin):
        async with openai.AsyncOpenAI(base_url=origin, api_key="x", max_retries=0) as sdk:
            whole = await sdk.chat.completions.create(**ASK)
            chunks = await sdk.chat.completions.create(**ASK, stream=True)
            text = "".join([piece.choices[0].delta.content or "" async for piece in chunks])
    assert whole.choices[0].message.content == text == "Paris"


def test_a_client_of_azure_finds_its_model_by_the_path(tmp_path: Path) -> None:
    with serving(tmp_path, answer()) as (endpoint, origin):
        azure = openai.AzureOpenAI(azure_endpoint=origin, api_key="x", api_version="2025-01-01")
        with azure:
            found = azure.chat.completions.create(**ASK)
    assert found.choices[0].message.content == "Paris"
    assert endpoint.body["model"] == "wire"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("400 Bad Request", openai.BadRequestError),
        ("401 Unauthorized", openai.AuthenticationError),
        ("403 Forbidden", openai.PermissionDeniedError),
        ("404 Not Found", openai.NotFoundError),
        ("409 Conflict", openai.ConflictError),
        ("422 Unprocessable Entity", openai.UnprocessableEntityError),
        ("429 Too Many Requests", openai.RateLimitError),
        ("500 Internal Server Error", openai.InternalServerError),
    ],
)
def test_an_error_is_raised_as_the_provider_said_it(
    tmp_path: Path, status: str, expected: type[openai.APIStatusError]
) -> None:
    body = error("told", code="some_code", param="p", new=1)
    headers = {"x-request-id": "req_1", "retry-after": "3"}
    reply = answer(body, status, headers)
    with (
        serving(tmp_path, reply, settings=NO_RETRIES) as (_, origin),
        client(origin) as sdk,
        pytest.raises(expected) as raised,
    ):
        sdk.chat.completions.create(**ASK)
    found = raised.value
    assert (found.body, found.code, found.param, found.type) == (
        body["error"],
        "some_code",
        "p",
        "t",
    )
    assert found.request_id == "req_1"
    assert found.response.headers["retry-after"] == "3"


def test_a_model_that_does_not_exist_is_explained(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, origin), client(origin) as sdk:
        with pytest.raises(openai.NotFoundError, match='did you mean "gpt-4o"') as raised:
            sdk.chat.completions.create(model="gpt-4p", messages=MESSAGES)
        assert raised.value.code == "model_not_found"
        assert [model.id for model in sdk.models.list()] == ["gpt-4o"]
        assert sdk.models.retrieve("gpt-4o").object == "model"
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve("gpt-4p")


def test_a_stream_that_fails_midway_raises_after_its_chunks(tmp_path: Path) -> None:
    reply = stream(*PIECES[:2], error("overloaded"))
    with serving(tmp_path, reply) as (_, origin), client(origin) as sdk:
        seen = []
        with (
            sdk.chat.completions.create(**ASK, stream=True) as chunks,
            pytest.raises(openai.APIError, match="overloaded"),
        ):
            seen.extend(json.loads(piece.to_json()) for piece in chunks)
    assert seen == PIECES[:2]


def test_another_deployment_answers_for_one_that_is_at_its_limit(tmp_path: Path) -> None:
    limited = [answer(error("slow down"), "429 Too Many Requests") for _ in range(8)]
    with serve(*limited) as bad, serve(*[answer() for _ in range(8)]) as good:
        models = f"model_list:\n{entry('gpt-4o', bad)}{entry('gpt-4o', good)}"
        config = f"{models}router_settings: {{cooldown_time: 3600}}\n"
        with running(config, tmp_path) as origin, client(origin) as sdk:
            retries = 0
            for _ in range(8):
                raw = sdk.chat.completions.with_raw_response.create(**ASK)
                assert raw.parse().choices[0].message.content == "Paris"
                assert raw.headers["x-litellm-model-id"] == "gpt-4o-2"
                retries += int(raw.headers["x-litellm-attempted-retries"])
    # After its first refusal it is left alone.
    assert len(bad.requests) == retries <= 1


def test_a_wait_that_the_provider_asks_for_is_waited(tmp_path: Path) -> None:
    limited = answer(error("slow down"), "429 Too Many Requests", {"retry-after-ms": "1"})
    with serving(tmp_path, limited, limited, answer()) as (endpoint, origin), client(origin) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(**ASK)
    assert raw.headers["x-litellm-attempted-retries"] == "2"
    assert len(endpoint.requests) == 3


def test_a_request_names_its_own_fallbacks(tmp_path: Path) -> None:
    with serve(answer(error("no"), "400 Bad Request")) as bad, serve(answer()) as good:
        config = f"model_list:\n{entry('gpt-4o', bad)}{entry('other', good)}"
        with running(config, tmp_path) as origin, client(origin) as sdk:
            raw = sdk.chat.completions.with_raw_response.create(
                **ASK, extra_body={"fallbacks": ["other"], "num_retries": 0}
            )
    assert raw.headers["x-litellm-model-group"] == "other"
    assert good.body == {**ASK, "model": "wire"}


@pytest.mark.asyncio
@pytest.mark.parametrize("begins", [False, True])
async def test_a_call_that_is_cancelled_ends_at_the_provider(
    tmp_path: Path, *, begins: bool
) -> None:
    head = stream(PIECES[0])[:2] if begins else []
    with serving(tmp_path, [*head, UNTIL_GONE]) as (endpoint, origin):
        async with openai.AsyncOpenAI(base_url=origin, api_key="x", max_retries=0) as sdk:
            seen = asyncio.Event()

            async def ask() -> None:
                found = await sdk.chat.completions.create(**ASK, stream=begins)
                async for _ in found:
                    seen.set()

            call = asyncio.create_task(ask())
            if begins:
                await seen.wait()
            else:
                await asyncio.to_thread(endpoint.begun.wait, 30)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert await asyncio.to_thread(endpoint.gone.wait, 30)


def test_a_scripted_model_needs_no_provider(tmp_path: Path) -> None:
    params = "{model: openai/gpt-4o, mock_response: Hello there}"
    config = f"model_list:\n  - model_name: gpt-4o\n    litellm_params: {params}\n"
    with running(config, tmp_path) as origin, client(origin) as sdk:
        whole = sdk.chat.completions.create(**ASK)
        with sdk.chat.completions.create(**ASK, stream=True) as chunks:
            text = "".join(piece.choices[0].delta.content or "" for piece in chunks)
    assert whole.choices[0].message.content == text == "Hello there"
    assert whole.model == "gpt-4o"


def test_events_arrive_while_the_provider_still_works(tmp_path: Path) -> None:
    gate = threading.Event()
    reply = stream(PIECES[1], gate, PIECES[3], DONE)
    with (
        serving(tmp_path, reply) as (_, origin),
        client(origin) as sdk,
        sdk.chat.completions.create(**ASK, stream=True) as chunks,
    ):
        found = iter(chunks)
        first = next(found)
        gate.set()
        rest = list(found)
    assert (first.choices[0].delta.content, len(rest)) == ("Par", 1)
