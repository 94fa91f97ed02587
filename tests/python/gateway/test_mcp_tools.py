"""Tools of the type ``mcp`` in a request to the gateway: its own servers, until the model is done."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from gateway.process import running
from scripted_openai import DONE, Endpoint, answer, chunk, error, serve, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path(__file__).parents[1] / "servers" / "agent_tools.py"
GO: list[Any] = [{"role": "user", "content": "go"}]
ALL = {"type": "mcp", "server_url": "litellm_proxy", "require_approval": "never"}


@contextmanager
def serving(folder: Path, *replies: list[Any], more: str = "") -> Iterator[tuple[Endpoint, str]]:
    server = json.dumps({"command": sys.executable, "args": ["-I", str(SERVER)]})
    with serve(*replies) as endpoint:
        params = f"{{model: openai/wire, api_base: {endpoint.api_base}, api_key: sk-provider}}"
        config = (
            f"model_list:\n  - model_name: m\n    litellm_params: {params}\n"
            f"router_settings: {{num_retries: 0}}\nmcp_servers:\n  one: {server}\n  two: {server}\n{more}"
        )
        with running(config, folder) as origin:
            yield endpoint, origin


def says(content: str | None = None, calls: list[Any] | None = None) -> list[Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": calls}
    reason = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "wire"}
    return answer({**body, "choices": [choice], "usage": usage})


def call(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}


def ask(origin: str, key: str = "sk-1234", **fields: Any) -> Any:
    with openai.OpenAI(base_url=origin, api_key=key, max_retries=0) as client:
        found = client.chat.completions.create(
            **{"model": "m", "messages": GO, "tools": [ALL], **fields}
        )
        # What is left of a stream goes with its client.
        return list(found) if fields.get("stream") else found


def told(body: dict[str, Any]) -> dict[str, str]:
    return {m["tool_call_id"]: m["content"] for m in body["messages"] if m["role"] == "tool"}


def test_several_rounds_with_parallel_calls_end_in_one_answer(tmp_path: Path) -> None:
    replies = [
        says(calls=[call("a", "one-add", a=1, b=2), call("b", "two-add", a=3, b=4)]),
        says(calls=[call("c", "one-add", a=10, b=20)]),
        says("done"),
    ]
    with serving(tmp_path, *replies) as (endpoint, origin):
        found = ask(origin, temperature=0.5)
    first, second, third = (request.body for request in endpoint.requests)
    assert {"one-add", "two-add"} <= {tool["function"]["name"] for tool in first["tools"]}
    assert (first["temperature"], first["model"]) == (0.5, "wire")
    assert told(second) == {"a": "3", "b": "7"}
    assert told(third) == {"a": "3", "b": "7", "c": "30"}
    assert found.choices[0].message.content == "done"
    assert found.usage.total_tokens == 21
    fields = found.choices[0].message.provider_specific_fields
    assert {tool["function"]["name"] for tool in fields["mcp_list_tools"]} >= {"one-add"}
    assert [made["id"] for made in fields["mcp_tool_calls"]] == ["a", "b", "c"]
    assert fields["mcp_call_results"][2] == {
        "tool_call_id": "c",
        "result": "30",
        "name": "one-add",
    }


@pytest.mark.parametrize(
    ("server_url", "allowed", "offered"),
    [
        (
            "litellm_proxy/mcp/two",
            None,
            {"two-add", "two-fail", "two-hang", "two-note", "two-get_weather"},
        ),
        ("toolbridge/mcp/one", ["add"], {"one-add"}),
        ("toolbridge", ["one-add", "two-fail"], {"one-add", "two-fail"}),
    ],
)
def test_servers_and_tools_are_chosen(
    tmp_path: Path, server_url: str, allowed: list[str] | None, offered: set[str]
) -> None:
    tool = {**ALL, "server_url": server_url, "allowed_tools": allowed}
    with serving(tmp_path, says("done")) as (endpoint, origin):
        ask(origin, tools=[tool])
    assert {tool["function"]["name"] for tool in endpoint.body["tools"]} == offered


def test_a_stream_shows_the_answer_alone(tmp_path: Path) -> None:
    deltas = [
        {"role": "assistant", "content": "Let me look. "},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "one-add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1, "b": 2}'}}]},
    ]
    usage = {"id": "d", "choices": [], "usage": {"prompt_tokens": 1, "total_tokens": 4}}
    replies = [
        stream(*map(chunk, deltas), chunk({}, "tool_calls"), usage, DONE),
        stream(chunk({"role": "assistant", "content": "It is "}), chunk({"content": "3"}))[:-1]
        + stream(chunk({}, "stop"), usage, DONE)[1:],
    ]
    with serving(tmp_path, *replies) as (endpoint, origin):
        options = {"include_usage": True}
        chunks = ask(origin, stream=True, stream_options=options)
    texts = [piece.choices[0].delta.content for piece in chunks if piece.choices]
    assert "".join(filter(None, texts)) == "It is 3"
    assert all(not piece.choices[0].delta.tool_calls for piece in chunks if piece.choices)
    assert len({piece.id for piece in chunks}) == 1
    assert chunks[-1].usage.total_tokens == 8
    first = chunks[0].choices[0].delta.provider_specific_fields
    assert first["mcp_list_tools"]
    last = next(piece for piece in chunks if piece.choices and piece.choices[0].finish_reason)
    fields = last.choices[0].delta.provider_specific_fields
    assert fields["mcp_call_results"][0]["result"] == "3"
    assert told(endpoint.requests[1].body) == {"a": "3"}


@pytest.mark.parametrize("asked", [{}, {"mcp_stream": "answer"}])
def test_a_stream_shows_a_long_text_before_a_call_only_if_asked_for(
    tmp_path: Path, asked: dict[str, str]
) -> None:
    words = "word " * 60
    called = {
        "index": 0,
        "id": "a",
        "function": {"name": "one-add", "arguments": '{"a": 1, "b": 2}'},
    }
    replies = [
        stream(chunk({"content": words}), chunk({"tool_calls": [called]}), chunk({}, "stop"), DONE),
        stream(chunk({"content": "It is 3"}), chunk({}, "stop"), DONE),
    ]
    with serving(tmp_path, *replies) as (_, origin):
        chunks = ask(origin, stream=True, extra_body=asked)
    texts = [piece.choices[0].delta.content for piece in chunks if piece.choices]
    assert "".join(filter(None, texts)) == (f"{words}It is 3" if asked else "It is 3")


@pytest.mark.parametrize("tools", [[ALL], None], ids=["with tools", "without"])
def test_a_silent_stream_has_comments_in_it(tmp_path: Path, tools: list[Any] | None) -> None:
    wait = threading.Event()
    model = stream(
        chunk({"content": "It is "}), wait, chunk({"content": "3"}), chunk({}, "stop"), DONE
    )
    often = "litellm_settings: {sse_keepalive_ping_interval_seconds: 0.05}\n"
    body = {"model": "m", "messages": GO, "stream": True, **({"tools": tools} if tools else {})}
    said = ""
    with (
        serving(tmp_path, model, more=often) as (_, origin),
        httpx.stream("POST", f"{origin}/v1/chat/completions", json=body, timeout=30) as response,
    ):
        assert response.status_code == 200
        for line in response.iter_lines():
            if line == ": ping":
                wait.set()
            elif line not in ("", "data: [DONE]"):
                delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
                said += delta.get("content") or ""
    assert wait.is_set()
    assert said == "It is 3"


def test_a_call_that_needs_a_word_is_left_to_the_caller(tmp_path: Path) -> None:
    tool = {**ALL, "require_approval": "always"}
    with serving(tmp_path, says(calls=[call("a", "one-add", a=1, b=2)])) as (endpoint, origin):
        found = ask(origin, tools=[tool])
    assert len(endpoint.requests) == 1
    assert [made.function.name for made in found.choices[0].message.tool_calls] == ["one-add"]


def test_functions_of_the_caller_are_the_callers(tmp_path: Path) -> None:
    mine = {"type": "function", "function": {"name": "mine", "parameters": {"type": "object"}}}
    replies = [says(calls=[call("a", "mine"), call("b", "one-add", a=1, b=2)])]
    with serving(tmp_path, *replies) as (_endpoint, origin):
        found = ask(origin, tools=[ALL, mine])
    assert [made.function.name for made in found.choices[0].message.tool_calls] == ["mine"]
    assert found.choices[0].message.provider_specific_fields["mcp_call_results"][0]["result"] == "3"


def test_another_server_url_goes_to_the_provider_as_it_is(tmp_path: Path) -> None:
    theirs = {"type": "mcp", "server_url": "https://example.com/mcp", "server_label": "x"}
    with serving(tmp_path, says("done")) as (endpoint, origin):
        ask(origin, tools=[theirs])
    assert endpoint.body["tools"] == [theirs]


def test_a_server_that_there_is_not_and_what_cannot_be_used(tmp_path: Path) -> None:
    with serving(tmp_path) as (endpoint, origin):
        with pytest.raises(openai.NotFoundError, match="nobody"):
            ask(origin, tools=[{**ALL, "server_url": "litellm_proxy/mcp/nobody"}])
        with pytest.raises(openai.BadRequestError, match="mcp_max_rounds"):
            ask(origin, extra_body={"mcp_max_rounds": "many"})
    assert endpoint.requests == []


def test_rounds_without_an_end_and_errors_of_the_model_are_errors(tmp_path: Path) -> None:
    again = says(calls=[call("a", "one-add", a=1, b=2)])
    replies = [again, again, again, answer(error("too many"), "429 Too Many Requests")]
    with serving(tmp_path, *replies) as (endpoint, origin):
        with pytest.raises(openai.InternalServerError, match="after 2 rounds"):
            ask(origin, extra_body={"mcp_max_rounds": 2})
        with pytest.raises(openai.RateLimitError, match="too many"):
            ask(origin, stream=False)
    assert len(endpoint.requests) == 4


def test_a_key_uses_its_own_servers_alone(tmp_path: Path) -> None:
    more = (
        "general_settings: {master_key: sk-a-long-master-key-of-the-test}\n"
        "keys: [{name: app, key: sk-a-long-key-of-an-app, servers: [one]}]\n"
    )
    replies = [says(calls=[call("a", "two-add", a=1, b=2)]), says("done")]
    with serving(tmp_path, *replies, more=more) as (endpoint, origin):
        ask(origin, key="sk-a-long-key-of-an-app")
        with pytest.raises(openai.NotFoundError):
            tool = {**ALL, "server_url": "litellm_proxy/mcp/two"}
            ask(origin, key="sk-a-long-key-of-an-app", tools=[tool])
        with pytest.raises(openai.AuthenticationError):
            ask(origin, key="sk-wrong")
        health = httpx.get(f"{origin}/health/liveliness")
    assert health.status_code == 200
    first, second = (request.body for request in endpoint.requests)
    names = {tool["function"]["name"] for tool in first["tools"]}
    assert all(name.startswith("one-") for name in names)
    assert "There is no tool" in told(second)["a"]
