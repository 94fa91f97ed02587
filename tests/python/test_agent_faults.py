"""`Client.run` where something goes wrong, or asks back: scripted models, and servers of the official SDK."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from judges.models import MODELS
from scripted_aws import events
from scripted_openai import CLOSE, DONE, STREAM_HEAD, chunk, serve, stream
from scripted_openai import answer as reply
from scripted_openai import event as framed
from test_agent import GO, call, says, told
from toolbridge import Client, agent
from toolbridge.exceptions import APIConnectionError
from toolbridge.mcp import types

pytest.importorskip("mcp.server.mcpserver", reason="needs the official SDK 2")
pytestmark = pytest.mark.asyncio

HERE = Path(__file__).parent
ANSWERS = HERE.parent / "fixtures" / "llm" / "answers"
PATIENCE = 60.0
FIVE_MEGABYTES = 5_000_000


def server(*arguments: str, program: str = "agent_faults.py", **more: Any) -> dict[str, Any]:
    command = ["-I", str(HERE / "servers" / program), *arguments]
    return {"command": sys.executable, "args": command, **more}


async def kill_when_stalled(run: agent.Run) -> agent.RunResult:
    """Kills the server that says its number, and waits for the end of the run."""
    async for event in run:
        if isinstance(event, agent.ToolCallProgress):
            os.kill(int(event.message or ""), signal.SIGKILL)
    return await run


async def test_a_server_that_dies_in_a_call_is_told_and_costs_the_other_calls_nothing():
    calls = [call("a", "dies-stall"), call("b", "stays-meet", number=0, count=1)]
    servers = {"dies": server(), "stays": server()}
    with serve(reply(says(calls=calls)), reply(says("done"))) as endpoint:
        async with Client({"mcpServers": servers}) as client:
            result = await kill_when_stalled(
                client.run("openai/m", GO, stream=False, **endpoint.settings)
            )
    assert (result.stop, result.text) == ("finished", "done")
    answers = told(endpoint.requests[1].body)
    assert answers["b"] == "0 of 1"
    assert answers["a"].startswith('Error: The tool "dies-stall" failed: ')
    assert "outcome is unknown" in answers["a"]
    assert [done.is_error for done in result.calls] == [True, False]


async def test_a_server_that_is_started_anew_answers_in_the_same_run():
    replies = [
        says(calls=[call("a", "s-stall")]),
        says(calls=[call("b", "s-meet", number=0, count=1)]),
        says("done"),
    ]
    with serve(*map(reply, replies)) as endpoint:
        async with Client({"mcpServers": {"s": server()}}, restart=True) as client:
            result = await kill_when_stalled(
                client.run("openai/m", GO, stream=False, **endpoint.settings)
            )
    assert result.text == "done"
    # A call that may have had an effect is not made twice: the model decides.
    assert "outcome is unknown" in told(endpoint.requests[1].body)["a"]
    assert told(endpoint.requests[2].body)["b"] == "0 of 1"


async def test_five_megabytes_reach_the_caller_whole_and_the_model_in_parts():
    replies = [
        says(calls=[call("a", "s-large", size=FIVE_MEGABYTES)]),
        says(calls=[call("b", "read_more", id="rest1")]),
        says(calls=[call("c", "read_more", id="rest2")]),
        says("done"),
    ]
    with serve(*map(reply, replies)) as endpoint:
        async with Client({"mcpServers": {"s": server()}}) as client:
            result = await client.run("openai/m", GO, max_result_tokens=1_000, **endpoint.settings)
    assert (result.stop, result.text) == ("finished", "done")
    bodies = [request.body for request in endpoint.requests]
    assert all(len(json.dumps(body)) < 50_000 for body in bodies)
    parts = [told(body)[name] for body, name in zip(bodies[1:], "abc", strict=True)]
    # What is read is the text from its start, without a gap.
    whole = result.calls[0].result.content[0].text
    assert len(whole) == FIVE_MEGABYTES
    read = "".join(part.partition("[cut here")[0].rstrip("\n") + "\n" for part in parts)
    assert len(read) > 3_000
    assert whole.startswith(read)
    assert 'call read_more with {"id": "rest3"}' in parts[2]


async def test_ten_calls_have_all_begun_before_one_ends_and_their_results_keep_the_order():
    count = 10
    calls = [call(f"c{n}", "s-meet", number=n, count=count) for n in range(count)]
    with serve(reply(says(calls=calls)), reply(says("done"))) as endpoint:
        async with Client({"mcpServers": {"s": server()}}) as client:
            result = await client.run("openai/m", GO, tool_timeout=PATIENCE, **endpoint.settings)
    # The last one ended first, and each of them knew of all.
    answers = list(told(endpoint.requests[1].body).items())
    assert answers == [(f"c{n}", f"{n} of {count}") for n in range(count)]
    assert [done.id for done in result.calls] == [f"c{n}" for n in range(count)]


@pytest.mark.parametrize(
    ("mode", "program", "tool"),
    [("legacy", "agent_faults.py", "elicit"), ("2026-07-28", "official.py", "choose")],
)
async def test_what_a_tool_asks_the_user_is_answered_inside_the_run(mode, program, tool):
    asked = []

    async def elicit(context: Any, params: Any) -> types.ElicitResult:
        asked.append((context.session.name, params.message))
        return types.ElicitResult(action="accept", content={"colour": "green"})

    def roots(_context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri="file:///there")])

    described = {"mcpServers": {"s": server("stdio", program=program)}}
    options: dict[str, Any] = {"elicitation_callback": elicit, "list_roots_callback": roots}
    with serve(reply(says(calls=[call("a", f"s-{tool}")])), reply(says("done"))) as endpoint:
        async with Client(described, mode=mode, **options) as client:
            result = await client.run("openai/m", GO, **endpoint.settings)
    assert result.text == "done"
    assert asked == [("s", "Which colour?")]
    assert "green" in told(endpoint.requests[1].body)["a"]
    assert not result.calls[0].is_error


async def test_a_run_that_is_given_up_while_the_user_is_asked_gives_up_the_question():
    begun, given_up = asyncio.Event(), asyncio.Event()

    async def elicit(_context: Any, _params: Any) -> types.ElicitResult:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        raise AssertionError

    with serve(reply(says(calls=[call("a", "s-elicit")]))) as endpoint:
        options: dict[str, Any] = {"elicitation_callback": elicit, "mode": "legacy"}
        async with Client({"mcpServers": {"s": server()}}, **options) as client:
            run = client.run("openai/m", GO, **endpoint.settings)
            task = asyncio.ensure_future(_result(run))
            await asyncio.wait_for(begun.wait(), PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(given_up.wait(), PATIENCE)


async def _result(run: agent.Run) -> agent.RunResult:
    return await run


def _call(call_id: str, name: str, arguments: str) -> list[Any]:
    """The chunks of a call, without the end of the stream."""
    begin = {"index": 0, "id": call_id, "type": "function"}
    function = {"name": name, "arguments": arguments}
    deltas = [
        {"role": "assistant", "content": "Now "},
        {"tool_calls": [{**begin, "function": function}]},
    ]
    return [chunk(delta) for delta in deltas]


def _openai() -> bytes:
    # What has come of the arguments is an object already.
    return b"".join(framed(piece) for piece in _call("b", "s-note", "{}"))


def _recorded(name: str) -> bytes:
    """The stream of a call, of a tool that takes nothing, without its end."""
    text = (ANSWERS / name).read_bytes()
    if name.endswith(".events"):
        frames = [json.loads(line) for line in text.splitlines()]
        begin = next(frame for frame in frames if "contentBlockStart" in frame)
        begin["contentBlockStart"]["start"]["toolUse"]["name"] = "s-note"
        begun = [frame for frame in frames if not frame.keys() & {"messageStop", "metadata"}]
        return events(*begun)
    text = text.replace(b"get_weather", b"s-note").replace(b'"finishReason": "STOP"', b'"x": 0')
    return text.partition(b"event: message_delta")[0]


CUT = {
    "openai/gpt-4o": ("/v1", _openai, "text/event-stream"),
    "anthropic/claude-sonnet-4-5": (
        "",
        lambda: _recorded("anthropic.tools.sse"),
        "text/event-stream",
    ),
    "gemini/gemini-2.5-flash": ("", lambda: _recorded("gemini.tools.sse"), "text/event-stream"),
    "bedrock/amazon.nova-pro-v1:0": (
        "",
        lambda: _recorded("bedrock.tools.events"),
        "application/vnd.amazon.eventstream",
    ),
}


@pytest.mark.parametrize("left_out", [0, 7], ids=["after an event", "in an event"])
@pytest.mark.parametrize("name", CUT)
async def test_a_stream_that_is_cut_in_a_call_is_an_error_and_no_call(
    name, left_out, tmp_path, monkeypatch
):
    base, text, media_type = CUT[name]
    for model in MODELS:
        if model.name == name:
            for variable, value in model.variables.items():
                monkeypatch.setenv(variable, value)
    options = next((model.options for model in MODELS if model.name == name), {})
    diary = tmp_path / "diary"
    whole = text()
    head = STREAM_HEAD.replace(b"text/event-stream", media_type.encode())
    cut = [head, whole[: len(whole) - left_out], CLOSE]
    # The second is for a run that takes the first for whole.
    with serve(cut, reply(says("done"))) as endpoint:
        async with Client({"mcpServers": {"s": server(str(diary))}}) as client:
            settings = {**endpoint.settings, "api_base": endpoint.origin + base}
            with pytest.raises(APIConnectionError, match="ended early") as caught:
                await client.run(name, GO, stream=True, **{**settings, **options})
    result = caught.value.run_result
    assert (result.stop, result.rounds, result.calls) == ("failed", 1, [])
    assert result.messages == GO
    assert not diary.exists()


async def test_a_stream_that_is_cut_later_leaves_the_conversation_so_far(tmp_path):
    diary = tmp_path / "diary"
    replies = [
        stream(*_call("a", "s-note", '{"word": "once"}'), chunk({}, "tool_calls"), DONE),
        stream(*_call("b", "s-note", "{}")),
        reply(says("done")),
    ]
    with serve(*replies) as endpoint:
        async with Client({"mcpServers": {"s": server(str(diary))}}) as client:
            with pytest.raises(APIConnectionError, match="ended early") as caught:
                await client.run("openai/m", GO, stream=True, **endpoint.settings)
    result = caught.value.run_result
    assert [message["role"] for message in result.messages] == ["user", "assistant", "tool"]
    assert [done.id for done in result.calls] == ["a"]
    assert diary.read_text().split() == ["once"]
    # It goes on from there.
    with serve(reply(says("done"))) as endpoint:
        async with Client({"mcpServers": {"s": server(str(diary))}}) as client:
            again = await client.run("openai/m", resume=result, **endpoint.settings)
    assert (again.text, again.rounds) == ("done", 3)
