"""The tool loop as it happens: what the model says, which tools it calls, what they give."""

from __future__ import annotations

import asyncio

from agent import QUESTION, SERVERS
from scripted_model import model

from toolbridge import Client
from toolbridge.agent import Done, TextDelta, ToolCallFinished, ToolCallStarted


async def main() -> None:
    """Print each event as it comes."""
    with model() as (name, options):
        async with Client(SERVERS) as client:
            async for event in client.run(name, [QUESTION], **options):
                match event:
                    case TextDelta():
                        print(event.text, end="", flush=True)
                    case ToolCallStarted():
                        print(f"[{event.name} …]")
                    case ToolCallFinished():
                        outcome = "failed" if event.is_error else "done"
                        print(f"[{event.name} {outcome} after {event.seconds:.3f} s]")
                    case Done():
                        print(f"\n[{event.result.usage.total_tokens or 0} tokens]")


if __name__ == "__main__":
    asyncio.run(main())
