"""Streams of chunks, in a loop and without one."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import pytest

import toolbridge
from scripted_openai import (
    DONE,
    STREAM_HEAD,
    UNTIL_GONE,
    answer,
    chunk,
    error,
    event,
    run_script,
    serve,
    stream,
)
from toolbridge.main import CustomStreamWrapper
from toolbridge.types import ModelResponseStream

QUESTION = [{"role": "user", "content": "Hi"}]
RECORDED = Path(__file__).parents[1] / "fixtures" / "streams"
TEXT = [
    chunk({"role": "assistant", "content": "He"}),
    chunk({"content": "llo"}),
    chunk({}, "stop"),
]


def recorded(name):
    return [STREAM_HEAD, (RECORDED / name).read_bytes(), *stream()[1:]]


def ask(endpoint, **arguments):
    arguments = {**endpoint.settings, **arguments}
    return toolbridge.completion("gpt-4o", QUESTION, stream=True, **arguments)


async def ask_in_loop(endpoint, **arguments):
    arguments = {**endpoint.settings, **arguments}
    return await toolbridge.acompletion("gpt-4o", QUESTION, stream=True, **arguments)


@pytest.mark.asyncio
async def test_a_stream_is_iterated_in_a_loop():
    with serve(stream(*TEXT, DONE)) as endpoint:
        answer = await ask_in_loop(endpoint)
        assert type(answer) is CustomStreamWrapper
        chunks = [piece async for piece in answer]
    assert all(type(piece) is ModelResponseStream for piece in chunks)
    assert [piece.choices[0].delta.content for piece in chunks] == ["He", "llo", None]
    assert [piece.choices[0].finish_reason for piece in chunks] == [None, None, "stop"]
    assert [piece.to_dict() for piece in chunks] == TEXT
    assert endpoint.body["stream"] is True
    assert (answer.model, answer.custom_llm_provider) == ("gpt-4o", "openai")
    assert answer._hidden_params["api_base"] == endpoint.api_base
    # At its end it stays.
    assert [piece async for piece in answer] == []
    assert list(answer) == []


def test_a_stream_is_iterated_without_a_loop():
    with serve(stream(*TEXT, DONE)) as endpoint:
        answer = ask(endpoint)
        assert [piece.choices[0].delta.content for piece in answer] == ["He", "llo", None]


@pytest.mark.asyncio
async def test_a_stream_of_completion_can_be_iterated_in_a_loop_and_the_other_way_round():
    with serve(stream(*TEXT, DONE), stream(*TEXT, DONE)) as endpoint:
        assert len([piece async for piece in ask(endpoint)]) == 3
        assert len(list(await ask_in_loop(endpoint))) == 3


@pytest.mark.asyncio
async def test_a_chunk_is_handed_out_when_it_comes():
    gate = threading.Event()
    with serve(stream(TEXT[0], gate, *TEXT[1:], DONE)) as endpoint:
        answer = await ask_in_loop(endpoint)
        assert (await anext(answer)).choices[0].delta.content == "He"
        waiting = asyncio.ensure_future(anext(answer))
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        assert (await waiting).choices[0].delta.content == "llo"
        assert len([piece async for piece in answer]) == 1


@pytest.mark.asyncio
async def test_a_wait_that_is_given_up_loses_no_chunk():
    gate = threading.Event()
    with serve(stream(gate, *TEXT, DONE)) as endpoint:
        answer = await ask_in_loop(endpoint)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(answer), 0.005)
        gate.set()
        assert [piece.to_dict() async for piece in answer] == TEXT


@pytest.mark.asyncio
async def test_a_fast_stream_leaves_other_tasks_their_turn():
    pieces = event(TEXT[1]) * 20_000
    with serve(stream(pieces, TEXT[2], DONE)) as endpoint:
        answer = await ask_in_loop(endpoint)
        turns = 0

        async def count_turns():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count_turns())
        assert len([piece async for piece in answer]) == 20_001
        other.cancel()
    assert turns > 1


def test_the_role_is_told_once():
    with serve(recorded("reasoning_crlf_comments.sse")) as endpoint:
        chunks = list(ask(endpoint))
    assert [piece.choices[0].delta.role for piece in chunks] == ["assistant", *[None] * 4]
    with serve(recorded("two_choices_refusal_logprobs.sse")) as endpoint:
        chunks = list(ask(endpoint))
    roles = [(p.choices[0].index, p.choices[0].delta.role) for p in chunks]
    assert [index for index, role in roles if role] == [0, 1]


def test_the_usage_chunk_has_no_choices():
    with serve(recorded("text_with_usage.sse")) as endpoint:
        chunks = list(ask(endpoint, stream_options={"include_usage": True}))
    assert endpoint.body["stream_options"] == {"include_usage": True}
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 25


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("text_with_usage.sse", 11),
        ("reasoning_crlf_comments.sse", 5),
        ("multi_line_without_done.sse", 4),
    ],
)
def test_a_recorded_stream_in_single_bytes_gives_its_chunks(name, count):
    text = (RECORDED / name).read_bytes()
    pieces = [text[at : at + 1] for at in range(len(text))]
    with serve(stream(*pieces)) as endpoint:
        assert len(list(ask(endpoint))) == count


def test_an_error_in_the_middle_of_a_stream_is_raised_in_its_place():
    with serve(stream(TEXT[0], event(error("overloaded", code=429)))) as endpoint:
        answer = ask(endpoint)
        assert next(answer).choices[0].delta.content == "He"
        with pytest.raises(toolbridge.RateLimitError, match="overloaded"):
            next(answer)
        assert list(answer) == []


@pytest.mark.asyncio
async def test_a_stream_that_ends_early_says_so():
    with serve(stream(*TEXT[:2])) as endpoint:
        answer = await ask_in_loop(endpoint)
        seen = []
        with pytest.raises(toolbridge.APIConnectionError, match=r"ended early: 2 chunks came"):
            while True:
                seen.append(await anext(answer))
    assert len(seen) == 2


def test_a_finished_stream_may_lack_its_done():
    with serve(stream(*TEXT)) as endpoint:
        assert len(list(ask(endpoint))) == 3


def test_a_chunk_that_is_not_json_is_refused():
    with serve(stream(TEXT[0], b"data: {oops\n\n", TEXT[1])) as endpoint:
        answer = ask(endpoint)
        next(answer)
        with pytest.raises(toolbridge.APIResponseValidationError, match="oops"):
            next(answer)


def test_an_endpoint_that_does_not_stream_is_told_so():
    with (
        serve(answer()) as endpoint,
        pytest.raises(toolbridge.APIResponseValidationError, match="does not stream"),
    ):
        ask(endpoint)


def test_an_error_before_the_stream_is_raised_by_the_call():
    limited = answer(error("slow down"), "429 Too Many Requests", {"retry-after-ms": "1"})
    with serve(limited) as endpoint, pytest.raises(toolbridge.RateLimitError):
        ask(endpoint)
    with serve(limited, stream(*TEXT, DONE)) as endpoint:
        assert len(list(ask(endpoint, max_retries=1))) == 3


def test_silence_in_the_middle_of_a_stream_is_a_timeout():
    with serve(stream(TEXT[0], UNTIL_GONE)) as endpoint:
        answer = ask(endpoint, stream_timeout=0.1, timeout=60)
        next(answer)
        with pytest.raises(toolbridge.Timeout, match=r"nothing for 0\.1 s"):
            next(answer)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["aclose", "close", "async with", "with", "forgotten", "cancelled"])
async def test_a_stream_that_is_left_ends_its_request(way):
    with serve(stream(TEXT[0], UNTIL_GONE)) as endpoint:
        answer = await ask_in_loop(endpoint)
        await anext(answer)
        if way == "aclose":
            await answer.aclose()
        elif way == "close":
            answer.close()
        elif way == "async with":
            async with answer:
                pass
        elif way == "with":
            with answer:
                pass
        elif way == "cancelled":
            waiting = asyncio.ensure_future(anext(answer))
            await asyncio.sleep(0)
            waiting.cancel()
            del answer, waiting
        else:
            del answer
        gc.collect()
        assert await asyncio.to_thread(endpoint.gone.wait, 30)


@pytest.mark.asyncio
async def test_a_closed_stream_is_over():
    with serve(stream(*TEXT, UNTIL_GONE)) as endpoint:
        answer = await ask_in_loop(endpoint)
        await anext(answer)
        await answer.aclose()
        await answer.aclose()
        assert [piece async for piece in answer] == []


@pytest.mark.asyncio
async def test_the_next_chunk_can_be_awaited_by_every_means():
    with serve(stream(*TEXT, DONE)) as endpoint:
        answer = await ask_in_loop(endpoint)
        contents = [
            (await asyncio.wait_for(anext(answer), 30)).choices[0].delta.content,
            (await asyncio.ensure_future(answer.__anext__())).choices[0].delta.content,
            (await anext(answer, None)).choices[0].finish_reason,
        ]
        assert contents == ["He", "llo", "stop"]
        assert await anext(answer, "over") == "over"
        with pytest.raises(StopAsyncIteration):
            await anext(answer)


def test_a_stream_in_use_at_exit_leaves_in_peace():
    script = """
import asyncio, toolbridge
from scripted_openai import UNTIL_GONE, chunk, serve, stream
async def main():
    global answer, endpoint
    manager = serve(stream(chunk({"content": "x"}), UNTIL_GONE))
    endpoint = manager.__enter__()
    answer = await toolbridge.acompletion(
        "gpt-4o", [{"role": "user", "content": "x"}], stream=True, **endpoint.settings
    )
    await anext(answer)
asyncio.run(main())
print("end")
"""
    done = run_script(script)
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)
