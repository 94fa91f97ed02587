"""`SamplingModel`: servers that ask for a completion get one, inside a run of the tool loop too."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock

import pytest

from scripted_openai import COMPLETION, error, serve
from scripted_openai import answer as reply
from servers.sessions import ask, session
from test_agent import GO, call, says, told
from test_agent_faults import server
from toolbridge import Client, SamplingModel
from toolbridge.exceptions import ConfigurationError

pytestmark = pytest.mark.asyncio

SAMPLING = {
    "messages": [{"role": "user", "content": {"type": "text", "text": "Which?"}}],
    "maxTokens": 7,
    "temperature": 0.5,
    "modelPreferences": {"hints": [{"name": "claude"}]},
    "tools": [{"name": "t", "inputSchema": {"type": "object"}}],
}


@pytest.mark.parametrize(("mode", "tool"), [("legacy", "sample"), ("2026-07-28", "sample_later")])
async def test_another_model_answers_a_server_inside_the_run(mode: str, tool: str) -> None:
    replies = [reply(says(calls=[call("a", f"s-{tool}")])), reply(says("done"))]
    with serve(*replies) as endpoint, serve(reply()) as small:
        sampler = SamplingModel("openai/small", temperature=0, **small.settings)
        servers = {"mcpServers": {"s": server()}}
        async with Client(servers, sampling_callback=sampler, mode=mode) as client:
            result = await client.run("openai/m", GO, **endpoint.settings)
    assert result.text == "done"
    assert told(endpoint.requests[1].body)["a"] == f"{COMPLETION['model']} says Paris"
    assert small.body == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Which?"},
        ],
        "max_tokens": 7,
        "temperature": 0,
    }
    # What the other model took is not the run's.
    assert result.usage.total_tokens == 14


async def test_what_a_provider_refuses_is_told_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusal = reply(error("the key sk-other is wrong"), "401 Unauthorized")
    replies = [reply(says(calls=[call("a", "s-sample")])), reply(says("done"))]
    with serve(*replies) as endpoint, serve(refusal) as small:
        sampler = SamplingModel("openai/small", **small.settings)
        servers = {"mcpServers": {"s": server()}}
        async with Client(servers, sampling_callback=sampler, mode="legacy") as client:
            result = await client.run("openai/m", GO, **endpoint.settings)
    assert result.text == "done"
    answer = told(endpoint.requests[1].body)["a"]
    assert "the model 'openai/small' gave no answer (AuthenticationError)" in answer
    assert "sk-other" not in answer
    assert "the key sk-other is wrong" in caplog.text


async def test_the_model_calls_tools_of_the_server_that_asks() -> None:
    with serve(reply(says(calls=[call("c", "t", x=1)]))) as small:
        sampler = SamplingModel("openai/small", max_completion_tokens=9, **small.settings)
        async with session(sampling_callback=sampler) as one:
            answer = await ask(one, "ask", method="sampling/createMessage", params=SAMPLING)
    result = answer["result"]
    assert result["stopReason"] == "toolUse"
    assert result["content"] == [{"type": "tool_use", "id": "c", "name": "t", "input": {"x": 1}}]
    (tool,) = small.body["tools"]
    assert (tool["type"], tool["function"]["name"]) == ("function", "t")
    # One limit under two names would be refused.
    assert (small.body["max_completion_tokens"], "max_tokens" in small.body) == (9, False)


@pytest.mark.parametrize(("given", "wanted"), [({}, 0.5), ({"temperature": 0.25}, 0.25)])
async def test_what_the_caller_says_holds_against_the_server(
    given: dict[str, float], wanted: float
) -> None:
    with serve(reply()) as small:
        sampler = SamplingModel("openai/small", **given, **small.settings)
        async with session(sampling_callback=sampler) as one:
            await ask(one, "ask", method="sampling/createMessage", params=SAMPLING)
    assert small.body["temperature"] == wanted


async def test_servers_are_told_that_it_takes_tools_unless_the_session_says_otherwise() -> None:
    said = []
    sampler = SamplingModel("openai/small")
    given: list[dict[str, Any]] = [
        {"sampling_callback": sampler},
        {"sampling_callback": sampler, "sampling_capabilities": {}},
        # Whatever is asked of it, it has.
        {"sampling_callback": AsyncMock()},
    ]
    for arguments in given:
        async with session(**arguments) as one:
            initialize = (await ask(one, "got"))[0]["params"]
            said.append(initialize["capabilities"]["sampling"])
    assert said == [{"tools": {}}, {}, {}]


async def test_what_no_model_takes_is_refused_before_a_model_is_asked() -> None:
    content = {"type": "film", "data": ""}
    params = {"messages": [{"role": "user", "content": content}], "maxTokens": 7}
    with serve() as small:
        sampler = SamplingModel("openai/small", **small.settings)
        async with session(sampling_callback=sampler) as one:
            answer = await ask(one, "ask", method="sampling/createMessage", params=params)
    assert answer["error"]["code"] == -32602
    assert "content of type" in answer["error"]["message"]
    assert small.requests == []


@pytest.mark.parametrize("name", ["messages", "tools", "stream", "n"])
async def test_what_is_not_the_callers_to_say_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"takes no {name}"):
        SamplingModel("openai/small", **{name: [True]})
    with pytest.raises(TypeError, match="model takes"):
        SamplingModel(5)


async def test_it_shows_its_model_and_no_key() -> None:
    shown = repr(SamplingModel("openai/small", api_key="sk-a-secret-key"))
    assert shown == "SamplingModel('openai/small')"
