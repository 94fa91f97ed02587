"""``acompletion`` with tools of the type ``mcp``: the loop over their servers, seen as one answer."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import toolbridge
from scripted_openai import DONE, chunk, serve, stream
from scripted_openai import answer as reply
from test_agent import GO, call, says, told
from toolbridge import Gateway, RoundLimitError, acompletion
from toolbridge.exceptions import ConfigurationError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio

SERVER = Path(__file__).parent / "servers" / "agent_tools.py"


@asynccontextmanager
async def tool(**more: Any) -> AsyncIterator[dict[str, Any]]:
    """A server over HTTP, as a tool."""
    servers = {"one": {"command": sys.executable, "args": ["-I", str(SERVER)]}}
    async with Gateway({"mcp_servers": servers}) as gateway:
        yield {
            "type": "mcp",
            "server_label": "w",
            "server_url": f"{gateway.url}/mcp/one",
            "require_approval": "never",
            **more,
        }


async def test_several_rounds_end_in_one_answer():
    replies = [
        says(calls=[call("a", "w-add", a=1, b=2), call("b", "w-add", a=3, b=4)]),
        says(calls=[call("c", "w-add", a=5, b=6)]),
        says("done"),
    ]
    async with tool(allowed_tools=["add"]) as mcp:
        with serve(*map(reply, replies)) as endpoint:
            found = await acompletion("openai/m", GO, tools=[mcp], **endpoint.settings)
    assert type(found) is toolbridge.ModelResponse
    assert found.choices[0].message.content == "done"
    assert found.usage.total_tokens == 21
    first, second, third = (request.body for request in endpoint.requests)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["w-add"]
    assert told(second) == {"a": "3", "b": "7"}
    assert told(third)["c"] == "11"
    fields = found.choices[0].message.provider_specific_fields
    assert [made["id"] for made in fields["mcp_tool_calls"]] == ["a", "b", "c"]
    assert fields["mcp_call_results"][0]["result"] == "3"
    assert fields["mcp_list_tools"][0]["function"]["name"] == "w-add"
    assert found._hidden_params["custom_llm_provider"] == "openai"


@pytest.mark.parametrize("shown", ["final", "answer", "everything"])
async def test_a_stream_shows_the_answer_or_everything(shown):
    deltas = [
        {"role": "assistant", "content": "Let me look. "},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "w-add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1, "b": 2}'}}]},
    ]
    replies = [
        stream(*map(chunk, deltas), chunk({}, "tool_calls"), DONE),
        stream(chunk({"content": "It is 3"}), chunk({}, "stop"), DONE),
    ]
    async with tool() as mcp:
        with serve(*replies) as endpoint:
            chunks = await acompletion(
                "openai/m", GO, tools=[mcp], stream=True, mcp_stream=shown, **endpoint.settings
            )
            pieces = [piece async for piece in chunks]
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == ("Let me look. It is 3" if shown == "everything" else "It is 3")
    has_calls = any(piece.choices[0].delta.tool_calls for piece in pieces)
    assert has_calls is (shown == "everything")
    assert "mcp_stream" not in endpoint.requests[0].body


async def test_a_long_answer_is_streamed_as_it_is_written_if_asked_for():
    first = "word " * 60
    with serve(
        stream(chunk({"content": first}), chunk({"content": "end"}), chunk({}, "stop"), DONE)
    ) as endpoint:
        async with tool() as mcp:
            chunks = await acompletion(
                "openai/m", GO, tools=[mcp], stream=True, mcp_stream="answer", **endpoint.settings
            )
            pieces = [piece.choices[0].delta.content async for piece in chunks]
    assert pieces[:2] == [first, "end"]


async def test_a_stream_hides_even_a_long_text_before_a_call_unless_asked_for_more():
    words = "word " * 60
    calls = {"tool_calls": [{**call("a", "w-add", a=1, b=2), "index": 0}]}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    replies = [
        stream(
            chunk({"role": "assistant", "content": words}), chunk(calls), chunk({}, "stop"), DONE
        ),
        stream(
            chunk({"role": "assistant", "content": words}),
            chunk({"content": "end"}),
            chunk({}, "stop"),
            {**chunk({}), "choices": [], "usage": usage},
            DONE,
        ),
    ]
    shown = {}
    async with tool() as mcp:
        for name, asked in {"by default": {}, "answer": {"mcp_stream": "answer"}}.items():
            with serve(*replies) as endpoint:
                chunks = await acompletion(
                    "openai/m", GO, tools=[mcp], stream=True, **asked, **endpoint.settings
                )
                shown[name] = [piece async for piece in chunks]
    texts = {
        name: "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
        for name, pieces in shown.items()
    }
    assert texts == {"answer": words + words + "end", "by default": words + "end"}
    first, *_, end, used = shown["by default"]
    # The answer is not put together: its chunks come as the model made them.
    assert first.choices[0].delta.content == words
    assert end.choices[0].finish_reason == "stop"
    assert end.choices[0].delta.provider_specific_fields["mcp_tool_calls"][0]["id"] == "a"
    assert used.usage.total_tokens == 7


async def test_calls_that_are_the_callers_end_the_stream():
    mine = {"type": "function", "function": {"name": "mine", "parameters": {"type": "object"}}}
    calls = {"content": "Wait. ", "tool_calls": [{**call("a", "mine"), "index": 0}]}
    with serve(stream(chunk(calls), chunk({}, "tool_calls"), DONE)) as endpoint:
        async with tool() as mcp:
            chunks = await acompletion(
                "openai/m", GO, tools=[mcp, mine], stream=True, **endpoint.settings
            )
            first, end = [piece async for piece in chunks]
    assert first.choices[0].delta.tool_calls[0].function.name == "mine"
    assert end.choices[0].finish_reason == "tool_calls"


async def test_a_stream_begins_with_the_model_and_has_its_headers():
    head, *rest = stream(chunk({"content": "done"}), chunk({}, "stop"), DONE)
    limited = head.replace(b"\r\n\r\n", b"\r\nx-ratelimit-remaining-requests: 7\r\n\r\n")
    busy = reply({"error": {"message": "slow down"}}, "429 Too Many Requests")
    async with tool() as mcp:
        with serve([limited, *rest], busy) as endpoint:
            arguments = {"tools": [mcp], "stream": True, **endpoint.settings}
            chunks = await acompletion("openai/m", GO, **arguments)
            facts = chunks._hidden_params
            plain = set(facts)
            assert facts["additional_headers"]["x-ratelimit-remaining-requests"] == "7"
            assert facts["_response_ms"] > 0
            assert len([piece async for piece in chunks]) == 2
            # What keeps it from beginning is an error of the call, as it is without tools.
            with pytest.raises(toolbridge.RateLimitError):
                await acompletion("openai/m", GO, **arguments)
        with serve([limited, *rest]) as endpoint:
            chunks = await acompletion("openai/m", GO, stream=True, **endpoint.settings)
            assert set(chunks._hidden_params) == plain
            chunks.close()


async def test_approval_is_asked_for_or_left_to_the_caller():
    calls = [call("a", "w-add", a=1, b=2)]
    async with tool(require_approval=lambda made: f"no {made.name}") as mcp:
        with serve(reply(says(calls=calls)), reply(says("done"))) as endpoint:
            await acompletion("openai/m", GO, tools=[mcp], **endpoint.settings)
        assert "no w-add" in told(endpoint.requests[1].body)["a"]
        with serve(reply(says(calls=calls))) as endpoint:
            found = await acompletion(
                "openai/m", GO, tools=[{**mcp, "require_approval": "always"}], **endpoint.settings
            )
        assert [made.function.name for made in found.choices[0].message.tool_calls] == ["w-add"]

        def fails(_call: object) -> bool:
            raise LookupError("nobody is there")

        with serve(reply(says(calls=calls))) as endpoint, pytest.raises(LookupError):
            await acompletion(
                "openai/m", GO, tools=[{**mcp, "require_approval": fails}], **endpoint.settings
            )


async def test_the_call_that_waits_does_it_too_and_rounds_have_an_end():
    import asyncio

    calls = [call("a", "w-add", a=1, b=2)]
    async with tool() as mcp:
        with serve(reply(says(calls=calls)), reply(says("done"))) as endpoint:
            found = await asyncio.to_thread(
                toolbridge.completion, "openai/m", GO, tools=[mcp], **endpoint.settings
            )
        assert found.choices[0].message.content == "done"
        with serve(reply(says(calls=calls))) as endpoint, pytest.raises(RoundLimitError):
            await acompletion("openai/m", GO, tools=[mcp], mcp_max_rounds=1, **endpoint.settings)


async def test_what_is_no_url_is_the_providers_and_wrong_values_are_named():
    theirs = {"type": "mcp", "server_url": "litellm_proxy", "require_approval": "never"}
    with serve(reply(says("done"))) as endpoint:
        await acompletion("openai/m", GO, tools=[theirs], **endpoint.settings)
    assert endpoint.body["tools"] == [theirs]
    url = {"type": "mcp", "server_url": "http://127.0.0.1:9/mcp", "server_label": "x"}
    with serve() as endpoint:
        for tools, why in [
            ([{**url, "require_approval": 5}], "require_approval of tools"),
            ([url, url], "two MCP servers"),
            ([{**url, "server_label": 5}], "server_label of tools"),
        ]:
            with pytest.raises(ConfigurationError, match=why):
                await acompletion("openai/m", GO, tools=tools, **endpoint.settings)
        with pytest.raises(ConfigurationError, match="mcp_stream is 'all'; it takes one of"):
            await acompletion("openai/m", GO, tools=[url], mcp_stream="all", **endpoint.settings)
        with pytest.raises(TransportError):
            await acompletion("openai/m", GO, tools=[url], **endpoint.settings)
    assert endpoint.requests == []
