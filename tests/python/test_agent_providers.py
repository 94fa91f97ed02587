"""The tool loop with models of other protocols: each gets the tools and the results in its own words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from judges.endpoint import judging
from judges.models import KEY, MODELS
from toolbridge import Client, RoundLimitError

SERVER = Path(__file__).parent / "servers" / "agent_tools.py"
SERVERS = {"w": {"command": sys.executable, "args": ["-I", str(SERVER)]}}
GO = [{"role": "user", "content": "What is the weather in Paris?"}]
NAMES = [
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "bedrock/amazon.nova-pro-v1:0",
    "cohere_chat/command-a-03-2025",
    "mistral/mistral-large-latest",
    "ollama_chat/llama3.2",
]
CHOSEN = [model for model in MODELS if model.name in NAMES]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", CHOSEN, ids=lambda model: model.name)
@pytest.mark.asyncio
async def test_a_provider_calls_a_tool_of_a_real_server_and_gets_its_result(
    model: Any, *, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in model.variables.items():
        monkeypatch.setenv(name, value)
    with judging(model.protocol) as judge:
        settings = {"api_base": judge.origin + model.base, "api_key": KEY, "max_retries": 0}
        async with Client({"mcpServers": SERVERS}) as client:
            # Whoever is offered tools there calls one, whatever it has been told.
            with pytest.raises(RoundLimitError) as caught:
                await client.run(
                    model.name, GO, max_rounds=2, stream=streams, **{**settings, **model.options}
                )
    assert judge.refused == []
    first, second = (json.dumps(received.body) for received in judge.received)
    assert "w-get_weather" in first
    assert "It is sunny in Paris." not in first
    assert "It is sunny in Paris." in second
    (done,) = caught.value.run_result.calls
    assert (done.name, done.server, done.is_error) == ("w-get_weather", "w", False)


def test_every_one_of_them_is_there() -> None:
    assert sorted(model.name for model in CHOSEN) == sorted(NAMES)
