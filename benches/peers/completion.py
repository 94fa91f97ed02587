"""Completions by `toolbridge`, `litellm`, `openai` or bare `aiohttp`, against the bench's endpoint.

Arguments: the client, the base URL, the number of chunks of a stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from functools import partial
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Client = tuple[Callable[[], Awaitable[str]], Callable[[], Awaitable[int]]]

MODEL = "gpt-4o"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris, on the river Seine."
KEY = "sk-bench"
AT_ONCE = 64


@contextlib.asynccontextmanager
async def acompletion_client(package: str, base_url: str) -> AsyncIterator[Client]:
    """`acompletion` of toolbridge or litellm."""
    ask = partial(
        import_module(package).acompletion,
        model=f"openai/{MODEL}",
        messages=MESSAGES,
        api_base=base_url,
        api_key=KEY,
    )

    async def complete() -> str:
        return (await ask()).choices[0].message.content

    async def stream() -> int:
        return await count_chunks(await ask(stream=True))

    yield complete, stream


@contextlib.asynccontextmanager
async def openai_client(base_url: str) -> AsyncIterator[Client]:
    """`AsyncOpenAI` of the openai package."""
    openai = import_module("openai")
    async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        ask = partial(client.chat.completions.create, model=MODEL, messages=MESSAGES)

        async def complete() -> str:
            return (await ask()).choices[0].message.content

        async def stream() -> int:
            return await count_chunks(await ask(stream=True))

        yield complete, stream


@contextlib.asynccontextmanager
async def aiohttp_client(base_url: str) -> AsyncIterator[Client]:
    """Bare `aiohttp` and `json`, the least that Python code can do."""
    aiohttp = import_module("aiohttp")
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        url = f"{base_url}/chat/completions"
        body = {"model": MODEL, "messages": MESSAGES}

        async def complete() -> str:
            async with session.post(url, data=json.dumps(body)) as response:
                return json.loads(await response.read())["choices"][0]["message"]["content"]

        async def stream() -> int:
            count = 0
            async with session.post(url, data=json.dumps({**body, "stream": True})) as response:
                async for line in response.content:
                    if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                        continue
                    delta = json.loads(line[6:])["choices"][0]["delta"]
                    delta.get("content")
                    count += 1
            return count

        yield complete, stream


async def count_chunks(chunks: AsyncIterator[Any]) -> int:
    """Reads a stream as users do; returns how many chunks came."""
    count = 0
    async for chunk in chunks:
        chunk.choices[0].delta.content  # noqa: B018 (reading the field is part of the work)
        count += 1
    return count


async def main(name: str, base_url: str, chunks: int) -> None:
    """Serves the rows `complete_one`, `complete_many` and `stream`."""
    clients = {"openai": openai_client, "aiohttp": aiohttp_client}
    opened = clients[name](base_url) if name in clients else acompletion_client(name, base_url)
    async with opened as (complete, stream):

        async def checked() -> None:
            if await complete() != ANSWER:
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
                if abs(seen - chunks) > 1:
                    sys.exit(f"{seen} of {chunks} chunks came")
            return samples

        rows = {
            "complete_one": measure.one_by_one(checked),
            "complete_many": complete_many,
            "stream": stream_row,
        }
        await measure.serve(rows)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
