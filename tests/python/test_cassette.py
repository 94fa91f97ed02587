"""`toolbridge.cassette`: a run is recorded once, and replayed without any model and any server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import toolbridge
from scripted_openai import DONE, chunk, error, serve, stream
from scripted_openai import answer as reply
from test_agent import GO, call, says, servers
from toolbridge import Client
from toolbridge.exceptions import APIError, ConfigurationError, RateLimitError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

NOWHERE = {"api_base": "http://127.0.0.1:9/v1", "api_key": "sk-another-key"}
GONE = {"mcpServers": {"t": {"command": "no-such-command-anywhere"}}}


async def run(described: Any, messages: Any = GO, **arguments: Any) -> Any:
    async with Client(described) as client:
        return await client.run("openai/m", messages, **arguments)


async def record(file: Path, **arguments: Any) -> Any:
    calls = [call("a", "t-add", a=1, b=2), call("b", "t-fail", why="the word is hunter2")]
    replies = [reply(says(calls=calls)), reply(says("done"))]
    with serve(*replies) as endpoint, toolbridge.cassette(file, secrets=["hunter2"]):
        return await run(servers(), **endpoint.settings, **arguments)


async def test_what_was_recorded_is_replayed_offline(tmp_path):
    file = tmp_path / "run.yaml"
    recorded = await record(file)
    text = file.read_text()
    assert "sk-a-secret-key" not in text
    assert "hunter2" not in text
    assert "- kind: model" in text
    with toolbridge.cassette(file, secrets=["hunter2"]):
        replayed = await run(GONE, **NOWHERE)
    assert replayed.text == recorded.text == "done"
    assert replayed.usage == recorded.usage
    assert [done.is_error for done in replayed.calls] == [False, True]
    # It can be replayed again, and nothing is written.
    async with toolbridge.cassette(file, mode="replay", secrets=["hunter2"]):
        assert (await run(GONE, **NOWHERE)).text == "done"
    assert file.read_text() == text


async def test_a_stream_is_replayed_as_a_stream(tmp_path):
    file = tmp_path / "run.yaml"
    pieces = [
        chunk({"content": "it is "}),
        chunk({"content": "noon \u2028 \x7f"}),
        chunk({}, "stop"),
    ]
    seen = []
    with serve(stream(*pieces, DONE)) as endpoint, toolbridge.cassette(file):
        await run(servers(), on_event=lambda _: None, **endpoint.settings)
    with toolbridge.cassette(file):
        await run(GONE, on_event=seen.append, **NOWHERE)
    deltas = [event.text for event in seen if event.type == "text_delta"]
    assert deltas == ["it is ", "noon \u2028 \x7f"]


async def test_a_failure_is_replayed_as_the_exception_that_it_was(tmp_path):
    file = tmp_path / "run.yaml"
    refusal = reply(error("slow down, hunter2"), "429 Too Many Requests")
    with (
        serve(refusal) as endpoint,
        toolbridge.cassette(file, secrets=["hunter2"]),
        pytest.raises(RateLimitError),
    ):
        await run(servers(), **endpoint.settings)
    text = file.read_text()
    assert '"kind": "rate_limit"' in text
    assert "hunter2" not in text
    with toolbridge.cassette(file), pytest.raises(RateLimitError, match="slow down") as caught:
        await run(GONE, **NOWHERE)
    failure = caught.value
    assert (failure.status_code, failure.llm_provider, failure.model) == (429, "openai", "openai/m")
    # Files of before say no kind.
    begin, end = text.index('    {\n      "kind"'), text.rindex("    }") + len("    }")
    file.write_text(text[:begin] + '    "slow down"' + text[end:])
    with toolbridge.cassette(file), pytest.raises(APIError, match="slow down") as caught:
        await run(GONE, **NOWHERE)
    assert not isinstance(caught.value, RateLimitError)


async def test_another_request_says_where_it_differs(tmp_path):
    file = tmp_path / "run.yaml"
    await record(file)
    other = [{"role": "user", "content": "stop"}]
    with toolbridge.cassette(file), pytest.raises(ConfigurationError) as caught:
        await run(GONE, other, **NOWHERE)
    assert "no answer to this model request" in str(caught.value)
    assert "/messages/0/content" in str(caught.value)


async def test_what_is_no_cassette_is_refused(tmp_path):
    file = tmp_path / "run.yaml"
    with pytest.raises(ConfigurationError, match="mode is 'play'"):
        toolbridge.cassette(file, mode="play")
    with pytest.raises(ConfigurationError), toolbridge.cassette(file, mode="replay"):
        pass
    for text, why in [
        ("version: 2\n", "its version is not 1"),
        ("version: 1\n", "no list of interactions"),
        ("version: 1\ninteractions:\n- kind: nothing\n", "interaction 0 is of no kind"),
        ("version: 1\ninteractions:\n- kind: call\n  asked: '{'\n", "has no JSON under asked"),
        ("version: 1\ninteractions:\n- kind: call\n  asked: '{}'\n", "has no answer"),
        (
            "version: 1\ninteractions:\n- kind: call\n  asked: '{}'\n  failed: '{\"kind\": \"x\"}'\n",
            'has a failure of the kind "x"; there are api',
        ),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=why), toolbridge.cassette(file):
            pass


async def test_nothing_is_written_of_nothing(tmp_path):
    with toolbridge.cassette(tmp_path / "run.yaml"):
        pass
    assert list(tmp_path.iterdir()) == []
