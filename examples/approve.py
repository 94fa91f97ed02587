"""Calls that wait for a person: the run stops, is stored, and goes on with the decision.

``python approve.py`` asks at the terminal; ``python approve.py yes`` and ``… no`` answer at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agent import QUESTION, SERVERS
from scripted_model import model

from toolbridge import Client

if TYPE_CHECKING:
    from toolbridge.agent import ToolCall


def later(_call: ToolCall) -> None:
    """Decide nothing: the run stops before the call."""


async def main() -> None:
    """Run until a call waits, store the run, decide, go on."""
    with tempfile.TemporaryDirectory() as folder, model() as (name, options):
        stored = Path(folder) / "run.json"
        async with Client(SERVERS) as client:
            result = await client.run(name, [QUESTION], approve=later, **options)
        stored.write_text(json.dumps(result.to_dict()))

        # Later, and maybe in another process:
        left = json.loads(stored.read_text())
        decisions = {}
        for call in left["pending"]:
            question = f"May the model call {call['name']}({call['arguments']})? "
            if len(sys.argv) > 1:
                said = sys.argv[1]
                print(f"{question}{said}")
            else:
                said = await asyncio.to_thread(input, question)
            decisions[call["id"]] = True if said.startswith("y") else "the user said no"
        async with Client(SERVERS) as client:
            result = await client.run(name, resume=left, decisions=decisions, **options)
        print(result.text)


if __name__ == "__main__":
    asyncio.run(main())
