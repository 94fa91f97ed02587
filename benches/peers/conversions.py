"""What litellm takes to turn chat completions into the protocols of providers and back.

The rows are those of `benches/clients/conversions.rs`, on the same request and the same answers. A row
that litellm has no function of its own for gives no samples.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import httpx
import measure
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.llms.anthropic.chat.handler import ModelResponseIterator
from litellm.llms.bedrock.chat.invoke_handler import AWSEventStreamDecoder
from litellm.types.utils import LlmProviders, ModelResponse
from litellm.utils import ProviderConfigManager, get_optional_params

if TYPE_CHECKING:
    from collections.abc import Callable

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "llm"
REPEATED = 20
# The provider and the model of each protocol, and its fixture of an answer.
PROTOCOLS = {
    "anthropic": ("anthropic", "claude-sonnet-4-5", "anthropic"),
    "bedrock": ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock"),
    "gemini": ("gemini", "gemini-2.5-flash", "gemini"),
    "cohere": ("cohere_chat", "command-a-03-2025", "cohere"),
    "mistral": ("mistral", "mistral-large-latest", "chat"),
    "ollama": ("ollama_chat", "llama3.2", "ollama"),
}
# A piece of text, as the stream of each has it.
EVENTS: dict[str, tuple[Callable[[], Callable[[Any], object]], dict[str, Any]]] = {
    "anthropic": (
        lambda: ModelResponseIterator(None, sync_stream=True).chunk_parser,
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": " word"},
        },
    ),
    "bedrock": (
        lambda: AWSEventStreamDecoder(model=PROTOCOLS["bedrock"][1]).converse_chunk_parser,
        {"contentBlockIndex": 0, "delta": {"text": " word"}},
    ),
}


def request_of(protocol: str) -> Callable[[], object]:
    """A request, from OpenAI's JSON text to the provider's."""
    provider, model, _ = PROTOCOLS[protocol]
    cases = json.loads((FIXTURES / "cases.json").read_text(encoding="utf-8"))
    config = ProviderConfigManager.get_provider_chat_config(
        model=model, provider=LlmProviders(provider)
    )
    text = json.dumps(cases["full"])

    def convert() -> object:
        body = json.loads(text)
        body.pop("stream_options")
        messages = body.pop("messages")
        options = get_optional_params(
            model=model,
            custom_llm_provider=provider,
            messages=messages,
            drop_params=True,
            **body,
        )
        return json.dumps(
            config.transform_request(
                model=model,
                messages=messages,
                optional_params=options,
                litellm_params={},
                headers={},
            )
        )

    return convert


def answer_of(protocol: str) -> Callable[[], object]:
    """An answer, from the provider's JSON text to a response object."""
    provider, model, fixture = PROTOCOLS[protocol]
    text = (FIXTURES / "answers" / f"{fixture}.tools.json").read_bytes()
    config = ProviderConfigManager.get_provider_chat_config(
        model=model, provider=LlmProviders(provider)
    )
    messages = [{"role": "user", "content": "x"}]
    logging = Logging(
        model=model,
        messages=messages,
        stream=False,
        call_type="completion",
        start_time=None,
        litellm_call_id="bench",
        function_id="bench",
    )

    def convert() -> object:
        return config.transform_response(
            model=model,
            raw_response=httpx.Response(200, content=text),
            model_response=ModelResponse(),
            logging_obj=logging,
            request_data={},
            messages=messages,
            optional_params={},
            litellm_params={},
            encoding=None,
        )

    return convert


def event_of(protocol: str) -> Callable[[], object]:
    """An event of a stream, from its JSON text to a chunk object."""
    make, event = EVENTS[protocol]
    parse = make()
    text = json.dumps(event)

    def convert() -> object:
        return parse(json.loads(text))

    return convert


def row_of(make: Callable[[str], Callable[[], object]], protocol: str) -> measure.Row:
    """Samples of one conversion; none where litellm does not do it in one function."""

    async def row(count: int) -> list[float]:
        try:
            convert = make(protocol)
            convert()
        except Exception:  # noqa: BLE001 (whatever stands in the way, it cannot be called alone)
            return []
        samples = []
        for _ in range(count):
            start = perf_counter()
            for _ in range(REPEATED):
                convert()
            samples.append((perf_counter() - start) / REPEATED)
        return samples

    return row


KINDS = {"request": request_of, "answer": answer_of, "event": event_of}
asyncio.run(
    measure.serve(
        {
            f"{kind}_{protocol}": row_of(make, protocol)
            for kind, make in KINDS.items()
            for protocol in (*PROTOCOLS, "responses")
        }
    )
)
