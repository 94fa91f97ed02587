"""A run that is recorded once and replayed afterwards: how to test an agent offline.

The first block asks the model and starts the servers; the second one does neither.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from agent import QUESTION, SERVERS
from scripted_model import model

import toolbridge


async def run(name: str, **options: Any) -> str:
    """Ask the question."""
    async with toolbridge.Client(SERVERS) as client:
        result = await client.run(name, [QUESTION], **options)
    return result.text


async def main() -> None:
    """Record, then replay."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.yaml"
        with model() as (name, options), toolbridge.cassette(file):
            recorded = await run(name, **options)
        print(file.read_text()[:300], "…\n")

        # Nobody is asked any more: there is no key, and no model at this address.
        with toolbridge.cassette(file):
            replayed = await run(name, api_key="not-a-key", api_base="http://127.0.0.1:9")
        print("The same answer again:", replayed == recorded)


if __name__ == "__main__":
    asyncio.run(main())
