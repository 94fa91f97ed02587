"""Who answers in the tool loop: fallbacks, mocks, checks of the answer, and who is told of each call.

The loop has two faces, `Client.run` and ``acompletion`` with tools of the type ``mcp``; what is said
here holds for both.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

import toolbridge
from scripted_openai import DONE, UNTIL_GONE, chunk, error, run_script, serve, stream
from scripted_openai import answer as reply
from test_agent import GO, call, says, servers, told
from test_completion_mcp_tools import tool
from test_completion_observed import spans  # noqa: F401 - a fixture
from toolbridge import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.asyncio

BUSY = reply(error("slow down"), "429 Too Many Requests")
TOO_LONG = reply(
    error("too long", code="context_length_exceeded", type="invalid_request_error"),
    "400 Bad Request",
)
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "from the other"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "x",
        "schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    },
}


def scripted(message: dict[str, Any], *, streams: bool) -> list[Any]:
    """A response of `says`, whole or as a stream."""
    if not streams:
        return reply(message)
    (choice,) = message["choices"]
    delta = dict(choice["message"])
    if "tool_calls" in delta:
        delta["tool_calls"] = [{**made, "index": n} for n, made in enumerate(delta["tool_calls"])]
    end = {**chunk({}, choice["finish_reason"]), "usage": message["usage"]}
    return stream(chunk(delta), end, DONE)


class Answer:
    """What both faces give: the text and the facts."""

    def __init__(self, text: str, facts: dict[str, Any]) -> None:
        self.text = text
        self.facts = facts


@asynccontextmanager
async def loop(face: str, *, streams: bool) -> AsyncIterator[Callable[..., Any]]:
    """A function that runs the loop over a server whose tools are `w-add` and others."""
    if face == "run":
        described = {"w": servers()["mcpServers"]["t"]}
        async with Client({"mcpServers": described}) as client:

            async def run(model: str, **arguments: Any) -> Answer:
                result = await client.run(model, GO, stream=streams, **arguments)
                return Answer(result.text, result.response._hidden_params)

            yield run
        return
    async with tool() as mcp:

        async def complete(model: str, **arguments: Any) -> Answer:
            given = await toolbridge.acompletion(
                model, GO, tools=[mcp], stream=streams, **arguments
            )
            facts = given._hidden_params
            if not streams:
                return Answer(given.choices[0].message.content, facts)
            deltas = [piece.choices[0].delta.content async for piece in given if piece.choices]
            return Answer("".join(filter(None, deltas)), facts)

        yield complete


both = pytest.mark.parametrize("face", ["run", "acompletion"])
each = pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])


def asked(endpoint: Any) -> list[str]:
    return [request.body["model"] for request in endpoint.requests]


ADD = [call("a", "w-add", a=1, b=2)]


@both
@each
async def test_each_question_goes_to_the_first_model_and_to_others_where_it_fails(face, streams):
    replies = [
        BUSY,
        scripted(says(calls=ADD), streams=streams),
        BUSY,
        BUSY,
        scripted(says("it is 3"), streams=streams),
    ]
    others = ["openai/b", {"model": "openai/c", "temperature": 1, "api_key": "sk-the-other"}]
    with serve(*replies) as endpoint:
        async with loop(face, streams=streams) as go:
            found = await go("openai/a", fallbacks=others, temperature=0.5, **endpoint.settings)
    assert found.text == "it is 3"
    assert asked(endpoint) == ["a", "b", "a", "b", "c"]
    # The tool was called once, whoever asked for it, and the conversation goes on.
    first, second, third, _, last = (request.body for request in endpoint.requests)
    assert (second["messages"], second["tools"]) == (first["messages"], first["tools"])
    assert told(last) == {"a": "3"}
    assert (last["messages"], last["tools"]) == (third["messages"], third["tools"])
    assert (third["temperature"], last["temperature"]) == (0.5, 1)
    assert endpoint.requests[-1].headers["authorization"] == "Bearer sk-the-other"
    if streams and face == "acompletion":
        # The facts about a stream are those of its beginning.
        assert found.facts["litellm_model_name"] == "openai/b"
        assert found.facts["attempted_fallbacks"] == 1
        return
    assert found.facts["litellm_model_name"] == "openai/c"
    assert found.facts["attempted_fallbacks"] == 2
    assert [(one["model"], one["error"]) for one in found.facts["tried"]] == [
        ("openai/a", "RateLimitError"),
        ("openai/b", "RateLimitError"),
    ]


@both
async def test_a_fallback_may_be_another_provider_and_gets_no_key_of_the_first(face, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-anthropic")
    replies = [reply(says(calls=ADD)), BUSY]
    with serve(*replies) as endpoint, serve(reply(CLAUDE)) as other:
        fallback = {"model": "anthropic/claude-x", "api_base": other.api_base}
        async with loop(face, streams=False) as go:
            found = await go("openai/a", fallbacks=[fallback], max_tokens=9, **endpoint.settings)
    assert found.text == "from the other"
    assert found.facts["custom_llm_provider"] == "anthropic"
    (request,) = other.requests
    assert "sk-a-secret-key" not in str(request.headers)
    assert request.headers["x-api-key"] == "sk-of-anthropic"
    # Its own form of the tools and of the result.
    assert request.body["tools"][0]["input_schema"]
    assert request.body["messages"][-1]["content"][0]["type"] == "tool_result"


@both
@each
async def test_the_last_error_is_raised_with_notes_of_all(face, streams):
    down = reply(error("down"), "503 Service Unavailable")
    with serve(BUSY, down) as endpoint:
        async with loop(face, streams=streams) as go:
            with pytest.raises(toolbridge.ServiceUnavailableError) as caught:
                await go("openai/a", fallbacks=["openai/b"], **endpoint.settings)
    assert isinstance(caught.value.__cause__, toolbridge.RateLimitError)
    notes = [note.split(": ")[:2] for note in caught.value.__notes__]
    assert notes == [
        ["tried openai/a", "RateLimitError"],
        ["tried openai/b", "ServiceUnavailableError"],
    ]


@both
async def test_what_is_wrong_with_the_call_is_not_tried_elsewhere(face):
    with serve() as endpoint:
        async with loop(face, streams=False) as go:
            with pytest.raises(toolbridge.BadRequestError, match="unknown provider"):
                await go("nobody/a", fallbacks=["openai/b"], **endpoint.settings)
            with pytest.raises(TypeError, match="api_key"):
                await go("openai/a", fallbacks=["openai/b"], **{**endpoint.settings, "api_key": 5})
            with pytest.raises(toolbridge.ConfigurationError, match="a fallback has messages"):
                await go("openai/a", fallbacks=[{"messages": GO}], **endpoint.settings)
    assert endpoint.requests == []


@both
async def test_messages_that_are_too_long_go_to_the_model_of_the_dict_and_not_round_and_round(face):
    wider = {"openai/a": "openai/b", "openai/b": "openai/a"}
    with serve(TOO_LONG, reply(says("done"))) as endpoint:
        async with loop(face, streams=False) as go:
            found = await go("openai/a", context_window_fallback_dict=wider, **endpoint.settings)
    assert (found.text, asked(endpoint)) == ("done", ["a", "b"])
    with serve(TOO_LONG, TOO_LONG, TOO_LONG) as endpoint:
        async with loop(face, streams=False) as go:
            with pytest.raises(toolbridge.ContextWindowExceededError):
                await go("openai/a", context_window_fallback_dict=wider, **endpoint.settings)
    assert asked(endpoint) == ["a", "b", "a"]


@both
async def test_nobody_else_is_asked_once_a_text_was_begun(face):
    with serve(stream(chunk({"content": "x"}))) as endpoint:
        async with loop(face, streams=True) as go:
            with pytest.raises(toolbridge.APIConnectionError):
                await go("openai/a", fallbacks=["openai/b"], **endpoint.settings)
    assert asked(endpoint) == ["a"]


@both
@each
async def test_a_mock_calls_real_tools_once_and_then_says_its_text(face, streams):
    finished = []

    def heard(kwargs: dict[str, Any], *_rest: Any) -> None:
        finished.append(kwargs["messages"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toolbridge, "success_callback", [heard])
        async with loop(face, streams=streams) as go:
            found = await go("openai/a", mock_response="mocked", mock_tool_calls=ADD)
            await asyncio.sleep(0)
    assert found.text == "mocked"
    assert found.facts["custom_llm_provider"] == "openai"
    assert found.facts["litellm_model_name"] == "openai/a"
    before, after = finished
    assert before == GO
    assert after[-1] == {"role": "tool", "tool_call_id": "a", "content": "3"}


@both
@each
async def test_the_errors_of_mocks_are_those_of_a_completion(face, streams):
    class Refused(toolbridge.RateLimitError):
        pass

    mine = Refused("no", "openai", "a")
    async with loop(face, streams=streams) as go:
        with pytest.raises(Refused) as caught:
            await go("openai/a", mock_response=mine)
        assert caught.value is mine
        with pytest.raises(toolbridge.ServiceUnavailableError):
            await go("openai/a", mock_response="Exception: mock_streaming_error")
        with pytest.raises(toolbridge.Timeout, match="mock timeout"):
            await go("openai/a", mock_timeout=True, timeout=0.01)
        with pytest.raises(TypeError, match="mock_response takes"):
            await go("openai/a", mock_response=5)
        # One that is mocked has others like any other.
        other = {"model": "openai/b", "mock_response": "well"}
        found = await go("openai/a", mock_response="litellm.RateLimitError", fallbacks=[other])
    assert found.text == "well"
    assert found.facts["litellm_model_name"] == "openai/b"
    assert [one["model"] for one in found.facts["tried"]] == ["openai/a"]


@both
async def test_streams_have_a_limit_of_their_own(face):
    with serve([UNTIL_GONE]) as endpoint:
        limits = {"timeout": 600, "stream_timeout": 0.05, "num_retries": 0}
        async with loop(face, streams=True) as go:
            with pytest.raises(toolbridge.Timeout):
                await go("openai/a", **limits, **endpoint.settings)


@both
async def test_the_final_answer_has_to_fit_the_schema_and_others_may_give_one_that_does(face):
    checked = {"response_format": FORMAT, "enable_json_schema_validation": True}
    # What is said beside a call is not the answer.
    replies = [reply(says("not JSON", ADD)), reply(says('{"n": "x"}')), reply(says('{"n": 1}'))]
    async with loop(face, streams=False) as go:
        with (
            serve(*replies[:2]) as endpoint,
            pytest.raises(toolbridge.JSONSchemaValidationError) as caught,
        ):
            await go("openai/a", **checked, **endpoint.settings)
        assert caught.value.raw_response == '{"n": "x"}'
        assert caught.value.schema == FORMAT["json_schema"]["schema"]
        assert (caught.value.model, caught.value.llm_provider) == ("openai/a", "openai")
        assert "the answer of openai/a does not fit" in str(caught.value)
        assert caught.value.__cause__ is None
        with serve(*replies) as endpoint:
            found = await go("openai/a", fallbacks=["openai/b"], **checked, **endpoint.settings)
    assert found.text == '{"n": 1}'
    assert asked(endpoint) == ["a", "a", "b"]


async def test_the_answer_of_a_run_that_streams_is_checked_at_its_end():
    checked = {"response_format": FORMAT, "enable_json_schema_validation": True}
    heard = []
    with serve(scripted(says("{}"), streams=True)) as endpoint:
        async with Client(servers()) as client:
            run = client.run("openai/a", GO, on_event=heard.append, **checked, **endpoint.settings)
            with pytest.raises(toolbridge.JSONSchemaValidationError):
                await run
    assert heard[0].text == "{}"


async def test_what_a_run_says_of_prices_decides_about_its_costs():
    prices = {"input_cost_per_token": 2, "output_cost_per_token": 3}
    other = {"model": "openai/b", "input_cost_per_token": 0, "output_cost_per_token": 1}
    with serve(reply(says("x")), BUSY, reply(says("x"))) as endpoint:
        async with Client(servers()) as client:
            arguments = {**prices, **endpoint.settings}
            own = await client.run("openai/a", GO, **arguments)
            fallen = await client.run("openai/a", GO, fallbacks=[other], **arguments)
    assert own.response._hidden_params["response_cost"] == 5 * 2 + 2 * 3
    assert fallen.response._hidden_params["response_cost"] == 2


@both
@each
async def test_each_question_is_a_span_in_that_of_the_caller(face, streams, spans):  # noqa: F811
    replies = [scripted(says(calls=ADD), streams=streams), BUSY, BUSY]
    tracer = trace.get_tracer_provider().get_tracer("test")
    with serve(*replies) as endpoint:
        async with loop(face, streams=streams) as go:
            with tracer.start_as_current_span("outer") as outer:
                with pytest.raises(toolbridge.RateLimitError):
                    await go("openai/a", fallbacks=["openai/b"], **endpoint.settings)
                await asyncio.sleep(0)
    first, second = [one for one in spans() if one.name == "chat a"]
    for span in (first, second):
        assert span.parent.span_id == outer.get_span_context().span_id
    assert first.attributes["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert first.attributes["gen_ai.usage.output_tokens"] == 2
    assert first.attributes["server.address"] == "127.0.0.1"
    assert second.attributes["error.type"] == "RateLimitError"


async def test_the_question_of_a_run_that_is_given_up_is_a_failed_span(spans):  # noqa: F811
    with serve([UNTIL_GONE]) as endpoint:
        async with Client(servers()) as client:
            task = asyncio.ensure_future(_awaited(client.run("openai/a", GO, **endpoint.settings)))
            await asyncio.to_thread(endpoint.begun.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(endpoint.gone.wait, 30)
    (span,) = spans()
    assert span.attributes["error.type"] == "CancelledError"


async def _awaited(run: Any) -> Any:
    return await run


@both
@each
async def test_callbacks_know_the_answer_by_the_id_that_it_has(face, streams, monkeypatch):
    ids = []

    def heard(kwargs: dict[str, Any], *_rest: Any) -> None:
        ids.append(kwargs["litellm_call_id"])

    monkeypatch.setattr(toolbridge, "success_callback", [heard])
    replies = [scripted(message, streams=streams) for message in (says(calls=ADD), says("done"))]
    with serve(*replies) as endpoint:
        async with loop(face, streams=streams) as go:
            found = await go("openai/a", **endpoint.settings)
            await asyncio.sleep(0)
    first, last = ids
    # That of a stream is there with the first model, that of a whole answer with the last one.
    known = first if streams and face == "acompletion" else last
    assert found.facts["litellm_call_id"] == known
    assert first != last


@pytest.mark.parametrize("waits", [False, True], ids=["acompletion", "completion"])
async def test_callbacks_are_told_of_each_question(waits, monkeypatch):
    seen = []

    class Logger:
        async def async_log_success_event(
            self, kwargs: dict[str, Any], response: Any, *_: Any
        ) -> None:
            if waits:
                # The call itself is over by then.
                await closed.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            seen.append(("async", kwargs["call_type"], response.usage.total_tokens))

        def log_success_event(self, kwargs: dict[str, Any], response: Any, *_: Any) -> Any:
            return self.async_log_success_event(kwargs, response)

        def log_pre_api_call(self, model: str, messages: list[Any], kwargs: dict[str, Any]) -> None:
            metadata = kwargs["litellm_params"]["metadata"]
            seen.append(("before", model, len(messages), metadata))

    closed = asyncio.Event()
    close = Client.aclose

    async def closing(client: Client) -> None:
        await close(client)
        closed.set()

    monkeypatch.setattr(Client, "aclose", closing)
    monkeypatch.setattr(toolbridge, "callbacks", [Logger()])
    who = {"who": "me"}
    async with tool() as mcp:
        with serve(reply(says(calls=ADD)), reply(says("done"))) as endpoint:
            arguments = {"tools": [mcp], "metadata": who, **endpoint.settings}
            if waits:
                await asyncio.to_thread(toolbridge.completion, "openai/a", GO, **arguments)
            else:
                await toolbridge.acompletion("openai/a", GO, **arguments)
                others = asyncio.all_tasks() - {asyncio.current_task()}
                await asyncio.gather(*others)
    kind = "completion" if waits else "acompletion"
    assert sorted(seen, key=str) == [
        ("async", kind, 7),
        ("async", kind, 7),
        ("before", "openai/a", 1, who),
        ("before", "openai/a", 3, who),
    ]


async def test_the_spans_of_a_call_that_waits_lie_in_that_of_the_caller(spans):  # noqa: F811
    tracer = trace.get_tracer_provider().get_tracer("test")
    async with tool() as mcp:
        with serve(reply(says("done"))) as endpoint, tracer.start_as_current_span("outer") as outer:
            await asyncio.to_thread(
                toolbridge.completion, "openai/a", GO, tools=[mcp], **endpoint.settings
            )
    (span,) = [one for one in spans() if one.name == "chat a"]
    assert span.parent.span_id == outer.get_span_context().span_id


async def test_python_is_not_asked_where_nobody_watches():
    script = (
        "import asyncio, sys, toolbridge\n"
        "async def main():\n"
        "    async with toolbridge.Client({'mcpServers': {}}) as client:\n"
        "        run = client.run('openai/a', [{'role': 'user', 'content': 'x'}],\n"
        "                         mock_response='litellm.RateLimitError',\n"
        "                         fallbacks=[{'model': 'openai/b', 'mock_response': 'y'}])\n"
        "        assert (await run).text == 'y'\n"
        "asyncio.run(main())\n"
        "assert 'toolbridge._completion.observe' not in sys.modules\n"
    )
    done = await asyncio.to_thread(run_script, script)
    assert done.stderr == ""
