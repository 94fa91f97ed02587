"""`Client.run`: the tool loop against a scripted model and real MCP servers."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import toolbridge
from scripted_openai import DONE, Endpoint, chunk, serve, stream
from scripted_openai import answer as reply
from toolbridge import Client, Gateway, RoundLimitError, agent
from toolbridge.exceptions import ConfigurationError, ContextWindowExceededError

SERVER = Path(__file__).parent / "servers" / "agent_tools.py"
pytestmark = pytest.mark.asyncio

GO = [{"role": "user", "content": "go"}]


def servers(**more: Any) -> dict[str, Any]:
    return {"mcpServers": {"t": {"command": sys.executable, "args": ["-I", str(SERVER)], **more}}}


def call(call_id: str, tool: str, /, **arguments: Any) -> dict[str, Any]:
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}


def says(content: str | None = None, calls: list[Any] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = calls
    reason = "tool_calls" if calls else "stop"
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }


def told(body: dict[str, Any]) -> dict[str, str]:
    return {m["tool_call_id"]: m["content"] for m in body["messages"] if m["role"] == "tool"}


async def run(endpoint: Endpoint, **arguments: Any) -> agent.RunResult:
    async with Client(servers()) as client:
        return await client.run("openai/m", GO, **endpoint.settings, **arguments)


async def test_a_run_calls_tools_of_a_real_server_and_ends_with_the_answer():
    replies = [
        reply(says(calls=[call("a", "t-add", a=3, b=5), call("b", "t-fail", why="no")])),
        reply(says("it is 8")),
    ]
    with serve(*replies) as endpoint:
        result = await run(endpoint, temperature=0.5)
    assert type(result) is agent.RunResult
    assert (result.stop, result.is_finished, result.text) == ("finished", True, "it is 8")
    assert type(result.response) is toolbridge.ModelResponse
    assert result.usage.total_tokens == 14
    assert result.rounds == 2
    first, second = (request.body for request in endpoint.requests)
    assert first["temperature"] == 0.5
    assert {tool["function"]["name"] for tool in first["tools"]} >= {"t-add", "t-fail"}
    assert told(second)["a"] == "8"
    assert "no" in told(second)["b"]
    assert [done.is_error for done in result.calls] == [False, True]
    assert result.calls[0].server == "t"
    assert result.messages[-1]["content"] == "it is 8"
    # The same as plain JSON.
    assert json.loads(json.dumps(result.to_dict()))["rounds"] == 2


@pytest.mark.parametrize("streams", [False, True])
async def test_the_response_of_a_run_has_the_facts_of_a_completion(streams):
    headers = {"x-ratelimit-remaining-requests": "7"}
    whole = reply({**says("done"), "model": "gpt-4o"}, headers=headers)
    end = {**chunk({}, "stop"), "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head, *pieces = stream(chunk({"content": "done"}), end, DONE)
    streamed = [head.replace(b"\r\n\r\n", f"\r\n{lines}\r\n".encode()), *pieces]
    with serve(streamed if streams else whole) as endpoint:
        async with Client(servers()) as client:
            run = client.run("openai/gpt-4o", GO, stream=streams, **endpoint.settings)
            facts = (await run).response._hidden_params
    assert run.response._hidden_params is facts
    assert (facts["custom_llm_provider"], facts["litellm_model_name"]) == (
        "openai",
        "openai/gpt-4o",
    )
    assert facts["api_base"] == endpoint.api_base
    assert facts["response_cost"] > 0
    assert facts["additional_headers"]["x-ratelimit-remaining-requests"] == "7"


async def test_events_come_as_they_happen():
    deltas = [
        {"role": "assistant", "content": "Let me see. "},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "t-add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1, "b": 2}'}}]},
    ]
    replies = [
        stream(*map(chunk, deltas), chunk({}, "tool_calls"), DONE),
        stream(chunk({"content": "3"}), chunk({}, "stop"), DONE),
    ]
    seen: list[str] = []
    with serve(*replies) as endpoint:
        async with Client(servers()) as client:
            run = client.run(
                "openai/m", GO, on_event=lambda e: seen.append(e.type), **endpoint.settings
            )
            events = [event async for event in run]
            assert (await run).text == "3"
    kinds = [type(event).__name__ for event in events]
    assert kinds == [
        "TextDelta",
        "ToolCallStarted",
        "ToolCallArguments",
        "RoundFinished",
        "ToolCallFinished",
        "TextDelta",
        "RoundFinished",
        "Done",
    ]
    assert seen == [event.type for event in events]
    finished = events[4]
    assert isinstance(finished, agent.ToolCallFinished)
    assert (finished.arguments, finished.result.content[0].text) == ({"a": 1, "b": 2}, "3")
    assert all(request.body["stream"] for request in endpoint.requests)
    assert events[-1].result.text == "3"


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_callback_approves_changes_refuses(is_async):
    asked = []

    def approve(call: agent.ToolCall) -> Any:
        asked.append((call.id, call.name, call.server))
        return {"a": True, "b": "too dear", "c": {"a": 10, "b": 10}}[call.id]

    async def approve_later(call: agent.ToolCall) -> Any:
        await asyncio.sleep(0)
        return approve(call)

    calls = [call(name, "t-add", a=1, b=1) for name in "abc"]
    with serve(reply(says(calls=calls)), reply(says("done"))) as endpoint:
        await run(endpoint, approve=approve_later if is_async else approve)
    assert asked == [(name, "t-add", "t") for name in "abc"]
    assert told(endpoint.requests[1].body) == {
        "a": "2",
        "b": "Error: The call was not approved: too dear",
        "c": "20",
    }


async def test_a_deferred_run_is_stored_and_goes_on_in_another_client():
    calls = [call("a", "t-add", a=1, b=1), call("b", "t-add", a=2, b=2)]
    with serve(reply(says(calls=calls)), reply(says("done"))) as endpoint:
        stopped = await run(endpoint, approve=lambda call: True if call.id == "a" else None)
        assert (stopped.stop, [waiting.id for waiting in stopped.pending]) == ("approval", ["b"])
        stored = json.dumps(stopped.to_dict())
        async with Client(servers()) as client:
            again = client.run("openai/m", resume=json.loads(stored), **endpoint.settings)
            assert (await again).stop == "approval"
            with pytest.raises(ConfigurationError, match="'x'; the calls that wait are 'b'"):
                client.run("openai/m", resume=stopped, decisions={"x": True})
            going_on = client.run(
                "openai/m", resume=json.loads(stored), decisions={"b": True}, **endpoint.settings
            )
            result = await going_on
    assert (result.text, result.rounds, result.usage.total_tokens) == ("done", 2, 14)
    assert told(endpoint.requests[1].body) == {"a": "2", "b": "4"}


async def test_what_the_callback_raises_ends_the_run():
    def approve(_call: agent.ToolCall) -> bool:
        raise LookupError("nobody is there")

    with (
        serve(reply(says(calls=[call("a", "t-add", a=1, b=1)]))) as endpoint,
        pytest.raises(LookupError, match="nobody is there") as caught,
    ):
        await run(endpoint, approve=approve)
    assert len(caught.value.run_result.messages) == 2


async def test_the_round_limit_and_going_on_after_it():
    calls = [call("a", "t-add", a=1, b=1)]
    replies = [reply(says(calls=calls)), reply(says(calls=calls)), reply(says("x"))]
    with serve(*replies) as endpoint:
        with pytest.raises(
            RoundLimitError, match="after 2 rounds; its last calls are t-add"
        ) as caught:
            await run(endpoint, max_rounds=2)
        assert isinstance(caught.value, toolbridge.ToolbridgeError)
        async with Client(servers()) as client:
            result = await client.run(
                "openai/m",
                resume=caught.value.run_result,
                decisions={"a": True},
                max_rounds=5,
                **endpoint.settings,
            )
    assert (result.text, result.rounds) == ("x", 3)


async def test_functions_of_the_caller_stand_beside_tools():
    mine = {"type": "function", "function": {"name": "mine", "parameters": {"type": "object"}}}
    calls = [call("a", "mine"), call("b", "t-add", a=1, b=1)]
    with serve(reply(says(calls=calls))) as endpoint:
        result = await run(endpoint, tools=["t-add", mine])
    names = [tool["function"]["name"] for tool in endpoint.body["tools"]]
    assert names == ["t-add", "mine"]
    assert (result.stop, [waiting.name for waiting in result.pending]) == (
        "function_calls",
        ["mine"],
    )
    assert result.messages[-1] == {"role": "tool", "tool_call_id": "b", "content": "2"}


async def test_an_error_of_the_model_has_the_messages_so_far():
    refusal = {
        "error": {
            "message": "too long",
            "code": "context_length_exceeded",
            "type": "invalid_request_error",
        }
    }
    replies = [
        reply(says(calls=[call("a", "t-add", a=1, b=1)])),
        reply(refusal, "400 Bad Request"),
    ]
    with serve(*replies) as endpoint, pytest.raises(ContextWindowExceededError) as caught:
        await run(endpoint)
    assert [message["role"] for message in caught.value.run_result.messages] == [
        "user",
        "assistant",
        "tool",
    ]


async def test_a_cancelled_run_cancels_the_call_of_the_tool(tmp_path):
    diary = tmp_path / "diary"
    with serve(reply(says(calls=[call("a", "t-hang", diary=str(diary))]))) as endpoint:
        async with Client(servers()) as client:
            running = client.run("openai/m", GO, stream=False, **endpoint.settings)
            started = asyncio.Event()
            task = asyncio.ensure_future(_listen(running, started))
            await asyncio.wait_for(started.wait(), 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The server notes that it was told, before it answers the next call.
            await client.call_tool("t-note", {"diary": str(diary)})
    assert diary.read_text().split() == ["begun", "cancelled", "noted"]


async def _listen(running: agent.Run, started: asyncio.Event) -> None:
    async with running:
        async for event in running:
            if isinstance(event, agent.ToolCallProgress):
                started.set()


async def test_a_call_that_hangs_is_given_up_and_told(tmp_path):
    calls = [call("a", "t-hang", diary=str(tmp_path / "diary")), call("b", "t-add", a=1, b=1)]
    with serve(reply(says(calls=calls)), reply(says("done"))) as endpoint:
        result = await run(endpoint, tool_timeout=0.5)
    assert result.text == "done"
    assert told(endpoint.requests[1].body) == {
        "a": 'Error: The tool "t-hang" did not answer within 0.5 s.',
        "b": "2",
    }


@pytest.mark.parametrize("limited_by", ["server", "caller", "gateway"])
async def test_a_limit_is_named_by_the_setting_that_it_comes_from(limited_by, tmp_path):
    diary = str(tmp_path / "diary")
    described = servers(**({} if limited_by == "caller" else {"timeout": 0.5}))
    if limited_by == "server":
        with serve(
            reply(says(calls=[call("a", "t-hang", diary=diary)])), reply(says("x"))
        ) as endpoint:
            async with Client(described) as client:
                await client.run("openai/m", GO, **endpoint.settings)
        sentence = told(endpoint.requests[1].body)["a"]
    elif limited_by == "caller":
        async with Client(described) as client:
            with pytest.raises(toolbridge.MCPTimeoutError) as caught:
                await client.call_tool("t-hang", {"diary": diary}, 0.5)
        sentence = str(caught.value)
    else:
        async with (
            Gateway({"mcp_servers": described["mcpServers"]}) as gateway,
            Client(f"{gateway.url}/mcp") as client,
        ):
            with pytest.raises(toolbridge.MCPError) as refused:
                await client.call_tool("t-hang", {"diary": diary})
        sentence = str(refused.value)
    setting = "read_timeout_seconds" if limited_by == "caller" else "`timeout` of the server"
    assert "did not answer tools/call within 0.5" in sentence
    assert f"Give it more time with {setting}" in sentence


async def test_a_large_catalogue_is_searched_and_every_call_is_checked():
    asked = [call("a", "search_tools", query="add numbers"), call("b", "search_tools", query="zzz")]
    made = [
        call("c", "call_tool", name="t-add", arguments={"a": 1, "b": 2}),
        call("d", "call_tool", name="t-add", arguments={"a": "one", "b": 2}),
        call("e", "call_tool", name="call_tool", arguments={}),
        call("f", "call_tool", name="t-nothing", arguments={}),
    ]
    replies = [says(calls=asked), says(calls=made), says("done")]
    seen = []

    def approve(tool_call: agent.ToolCall) -> bool:
        seen.append((tool_call.id, tool_call.name, tool_call.server))
        return True

    with serve(*map(reply, replies)) as endpoint:
        result = await run(endpoint, search=True, approve=approve)
    first, second, third = (request.body for request in endpoint.requests)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["search_tools", "call_tool"]
    found = json.loads(told(second)["a"])
    assert found[0]["name"] == "t-add"
    assert found[0]["parameters"]["required"] == ["a", "b"]
    assert told(second)["b"].startswith("No tool fits")
    answers = told(third)
    assert answers["c"] == "3"
    assert "do not fit its schema" in answers["d"]
    assert "and no other" in answers["e"]
    assert "There is no tool" in answers["f"]
    assert seen == [("c", "t-add", "t")]
    assert [done.name for done in result.calls][2] == "t-add"


async def test_tools_are_found_by_words():
    async with Client(servers()) as client:
        found = await client.search_tools("add numbers", limit=1)
        assert [tool.name for tool in found] == ["t-add"]
        assert await client.search_tools("zzz") == []


async def test_a_long_result_comes_in_parts():
    replies = [
        says(calls=[call("a", "t-fail", why="word " * 2000)]),
        says(calls=[call("b", "read_more", id="rest1"), call("c", "read_more", id="rest9")]),
        says("done"),
    ]
    with serve(*map(reply, replies)) as endpoint:
        result = await run(endpoint, max_result_tokens=200)
    second, third = (told(request.body) for request in endpoint.requests[1:])
    assert len(second["a"]) < 2000
    assert 'call read_more with {"id": "rest1"}' in second["a"]
    assert "word word" in third["b"]
    assert "rest2" in third["b"]
    assert "nothing to read" in third["c"]
    # The caller has all of it.
    assert len(result.calls[0].result.content[0].text) > 10_000


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"tools": ["t-ad"]}, 'did you mean "t-add"'),
        ({"max_rounds": 0}, "max_rounds is 0"),
        ({"n": 2}, "n is 2"),
        ({"functions": [{"name": "x"}]}, "a run takes no functions: .* no id"),
        ({"fallbacks": [{"model": "x", "tools": []}]}, "a fallback has tools"),
        ({"decisions": {}}, "give its result as resume"),
        ({"resume": {}}, "resume takes the result of another run"),
    ],
)
async def test_wrong_arguments(arguments, wanted):
    if "resume" in arguments:
        arguments["messages"] = ()
    with serve() as endpoint:
        async with Client(servers()) as client:
            with pytest.raises(ConfigurationError, match=wanted):
                await client.run("openai/m", **{"messages": GO, **arguments}, **endpoint.settings)
    assert endpoint.requests == []
