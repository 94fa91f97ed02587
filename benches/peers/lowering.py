"""What litellm takes to turn a thousand tools of OpenAI's form into those of a provider.

The rows and the tools are those of `benches/clients/lower_tools.rs`. What litellm sends as it came, or does
not tell apart, gives no samples.
"""

from __future__ import annotations

import asyncio
import json
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import measure
from litellm.utils import get_optional_params

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVERS = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "schema" / "servers"
TOOLS = 1_000
# The provider and the model of each target that is one for litellm.
TARGETS = {
    "openai": None,
    "openai_strict": None,
    "openai_responses": None,
    "anthropic": ("anthropic", "claude-sonnet-4-5"),
    "gemini": ("gemini", "gemini-2.5-flash"),
    "bedrock": ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "bedrock_nova": ("bedrock", "amazon.nova-pro-v1:0"),
    "cohere": ("cohere_chat", "command-a-03-2025"),
    "ollama": ("ollama_chat", "llama3.2"),
    "mistral": ("mistral", "mistral-large-latest"),
}


def recorded() -> Iterator[dict[str, Any]]:
    """The tools, as OpenAI's functions."""
    for file in sorted(SERVERS.glob("*.json")):
        for tool in json.loads(file.read_text(encoding="utf-8")):
            function = {
                "name": tool["name"],
                "description": tool.get("description", ""),
                "parameters": tool["inputSchema"],
            }
            yield {"type": "function", "function": function}


def row_of(target: tuple[str, str] | None, text: str) -> measure.Row:
    """Samples of one target; none where litellm cannot do it alone."""

    async def row(count: int) -> list[float]:
        samples: list[float] = []
        if target is None:
            return samples
        provider, model = target
        for _ in range(count):
            # It changes what it is given.
            tools = json.loads(text)
            start = perf_counter()
            try:
                get_optional_params(
                    model=model, custom_llm_provider=provider, tools=tools, drop_params=True
                )
            except Exception:  # noqa: BLE001 (whatever stands in the way, it cannot be called alone)
                return []
            samples.append(perf_counter() - start)
        return samples

    return row


def main() -> None:
    """Serves the rows of all targets."""
    text = json.dumps(list(islice(cycle(recorded()), TOOLS)))
    rows = {f"lower_{name}": row_of(target, text) for name, target in TARGETS.items()}
    asyncio.run(measure.serve(rows))


main()
