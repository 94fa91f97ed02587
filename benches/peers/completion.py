"""Completions by a client, against the bench's endpoint of one provider.

Arguments: the client (`toolbridge`, `litellm`, the provider's own package, or bare `aiohttp`), the
provider (`openai`, `anthropic` or `bedrock`), the address of the endpoints, the number of chunks of a
stream. Rows are called by the provider: `openai_one`, `openai_many`, `openai_stream`, `openai_flight`,
`openai_growth`, and so on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import struct
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    Client = tuple[Callable[[], Awaitable[str]], Callable[[], Awaitable[int]]]

MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
}
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris, on the river Seine."
KEY = "sk-bench"
AT_ONCE = 64
IN_FLIGHT = 1_000
# Two lengths and their checksum, before each frame of AWS.
PRELUDE = 12
# Chunks at the begin and the end of a stream that not every client tells.
SPARE = 2


@contextlib.asynccontextmanager
async def acompletion_client(package: str, provider: str, url: str) -> AsyncIterator[Client]:
    """`acompletion` of toolbridge or litellm."""
    options: dict[str, Any] = {"api_base": url, "api_key": KEY}
    if provider == "openai":
        options["api_base"] = f"{url}/v1"
    if provider == "bedrock":
        # Keys that are signed with: a bearer key would leave the signature out.
        options = {
            "aws_bedrock_runtime_endpoint": url,
            "aws_access_key_id": "AKIDBENCH",
            "aws_secret_access_key": KEY,
            "aws_region_name": "us-east-1",
        }
    ask = partial(
        import_module(package).acompletion,
        model=f"{provider}/{MODELS[provider]}",
        messages=MESSAGES,
        **options,
    )

    async def complete() -> str:
        return (await ask()).choices[0].message.content

    async def stream() -> int:
        count = 0
        async for chunk in await ask(stream=True):
            chunk.choices[0].delta.content  # noqa: B018 (reading the field is part of the work)
            count += 1
        return count

    yield complete, stream


@contextlib.asynccontextmanager
async def openai_client(_provider: str, url: str) -> AsyncIterator[Client]:
    """`AsyncOpenAI` of the openai package."""
    openai = import_module("openai")
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        ask = partial(client.chat.completions.create, model=MODELS["openai"], messages=MESSAGES)

        async def complete() -> str:
            return (await ask()).choices[0].message.content

        async def stream() -> int:
            count = 0
            async for chunk in await ask(stream=True):
                chunk.choices[0].delta.content  # noqa: B018
                count += 1
            return count

        yield complete, stream


@contextlib.asynccontextmanager
async def anthropic_client(_provider: str, url: str) -> AsyncIterator[Client]:
    """`AsyncAnthropic` of the anthropic package."""
    anthropic = import_module("anthropic")
    async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        ask = partial(
            client.messages.create, model=MODELS["anthropic"], messages=MESSAGES, max_tokens=4096
        )

        async def complete() -> str:
            return (await ask()).content[0].text

        async def stream() -> int:
            count = 0
            async for event in await ask(stream=True):
                if event.type == "content_block_delta":
                    event.delta.text  # noqa: B018
                    count += 1
            return count

        yield complete, stream


def openai_text(answer: Any) -> str:
    """The text of a chat completion."""
    return answer["choices"][0]["message"]["content"]


def anthropic_text(answer: Any) -> str:
    """The text of a message."""
    return answer["content"][0]["text"]


def bedrock_text(answer: Any) -> str:
    """The text of a Converse answer."""
    return answer["output"]["message"]["content"][0]["text"]


async def openai_deltas(content: Any) -> int:
    """Reads the lines of a stream of chat completions; returns how many deltas came."""
    count = 0
    async for line in content:
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        json.loads(line[6:])["choices"][0]["delta"].get("content")
        count += 1
    return count


async def anthropic_deltas(content: Any) -> int:
    """The same of a stream of messages."""
    count = 0
    async for line in content:
        if not line.startswith(b"data: "):
            continue
        event = json.loads(line[6:])
        if event["type"] == "content_block_delta":
            event["delta"].get("text")
            count += 1
    return count


async def bedrock_deltas(content: Any) -> int:
    """The same of a stream of AWS frames, whose checksums are left alone."""
    count = 0
    kept = b""
    async for piece in content.iter_any():
        kept += piece
        start = 0
        while len(kept) - start >= PRELUDE:
            length, headers = struct.unpack_from("!II", kept, start)
            if len(kept) - start < length:
                break
            payload = json.loads(kept[start + PRELUDE + headers : start + length - 4])
            if "delta" in payload:
                payload["delta"].get("text")
                count += 1
            start += length
        kept = kept[start:]
    return count


@contextlib.asynccontextmanager
async def aiohttp_client(provider: str, url: str) -> AsyncIterator[Client]:
    """Bare `aiohttp` and `json`, the least that Python code can do. Nothing is signed."""
    aiohttp = import_module("aiohttp")
    model = f"{url}/model/{MODELS['bedrock']}"
    paths = {
        "openai": (f"{url}/v1/chat/completions",) * 2,
        "anthropic": (f"{url}/v1/messages",) * 2,
        "bedrock": (f"{model}/converse", f"{model}/converse-stream"),
    }
    text = {"openai": openai_text, "anthropic": anthropic_text, "bedrock": bedrock_text}[provider]
    deltas = {"openai": openai_deltas, "anthropic": anthropic_deltas, "bedrock": bedrock_deltas}
    body: dict[str, Any] = {"model": MODELS[provider], "messages": MESSAGES, "max_tokens": 4096}
    if provider == "bedrock":
        content = [{"text": MESSAGES[0]["content"]}]
        body = {"messages": [{"role": "user", "content": content}]}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        whole, streamed = paths[provider]

        async def complete() -> str:
            async with session.post(whole, data=json.dumps(body)) as response:
                return text(json.loads(await response.read()))

        async def stream() -> int:
            asked = json.dumps({**body, "stream": True})
            async with session.post(streamed, data=asked) as response:
                return await deltas[provider](response.content)

        yield complete, stream


def kilobytes(name: str) -> int:
    """What `/proc/self/status` says of the memory of this process: `VmRSS` now, `VmHWM` at most."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1])


def forget_the_most() -> None:
    """The highest value begins anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def waves(complete: Callable[[], Awaitable[None]], count: int) -> Iterable[tuple[int, int]]:
    """What the process holds before each wave of calls, and at most in it.

    Args:
        complete: One call.
        count: How many waves.
    """
    seen = []
    for _ in range(count):
        gc.collect()
        forget_the_most()
        before = kilobytes("VmRSS")
        await asyncio.gather(*(complete() for _ in range(IN_FLIGHT)))
        seen.append((before, kilobytes("VmHWM")))
    return seen


async def main(name: str, provider: str, url: str, chunks: int) -> None:
    """Serves the rows of one provider."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    clients = {
        "openai": openai_client,
        "anthropic": anthropic_client,
        "aiohttp": aiohttp_client,
    }
    make = clients.get(name, partial(acompletion_client, name))
    async with (
        make(provider, url) as (complete, stream),
        make(provider, f"{url}/held") as (complete_held, _),
    ):

        async def checked() -> None:
            if await complete() != ANSWER:
                sys.exit("the completion came back changed")

        async def held() -> None:
            if await complete_held() != ANSWER:
                sys.exit("the completion came back changed")

        async def complete_many(count: int) -> list[float]:
            async def worker() -> None:
                for _ in range(count // AT_ONCE):
                    await checked()

            start = perf_counter()
            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            return [(perf_counter() - start) / (count // AT_ONCE * AT_ONCE)]

        async def stream_row(count: int) -> list[float]:
            samples = []
            for _ in range(count):
                start = perf_counter()
                seen = await stream()
                samples.append((perf_counter() - start) / chunks)
                if abs(seen - chunks) > SPARE:
                    sys.exit(f"{seen} of {chunks} chunks came")
            return samples

        async def flight_row(count: int) -> list[float]:
            """Kilobytes of a call in flight."""
            return [(most - before) / IN_FLIGHT for before, most in await waves(held, count)]

        async def growth_row(count: int) -> list[float]:
            """Kilobytes that a call leaves behind."""
            (begin, _), *_, (end, _) = await waves(checked, count + 1)
            return [max(end - begin, 0) / (IN_FLIGHT * count)]

        rows = {
            "one": measure.one_by_one(checked),
            "many": complete_many,
            "stream": stream_row,
            "flight": flight_row,
            "growth": growth_row,
        }
        await measure.serve({f"{provider}_{key}": row for key, row in rows.items()})


os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
