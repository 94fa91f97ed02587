"""Sessions that are opened and closed, and sessions that stay open and idle."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import measure
from sessions import opened

if TYPE_CHECKING:
    from collections.abc import Callable


def resident_kilobytes() -> int:
    """What the process holds in memory now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


async def main(package: str, stdio: str, http: str) -> None:
    """Serves the rows `open_stdio`, `open_http`, `idle_stdio` and `idle_http`."""
    targets = {"stdio": stdio, "http": http}
    async with AsyncExitStack() as kept:

        def open_and_close(transport: str) -> measure.Row:
            async def row(count: int) -> list[float]:
                samples = []
                for _ in range(count):
                    start = perf_counter()
                    async with opened(package, transport, targets[transport]):
                        samples.append(perf_counter() - start)
                return samples

            return row

        def keep_open(transport: str) -> measure.Row:
            """Kilobytes for each; none is closed, so that no round finds memory of the one before."""

            async def row(count: int) -> list[float]:
                before = resident_kilobytes()
                for _ in range(count):
                    await kept.enter_async_context(opened(package, transport, targets[transport]))
                return [(resident_kilobytes() - before) / count]

            return row

        makers: dict[str, Callable[[str], measure.Row]] = {
            "open": open_and_close,
            "idle": keep_open,
        }
        await measure.serve(
            {f"{work}_{name}": make(name) for work, make in makers.items() for name in targets}
        )


asyncio.run(main(*sys.argv[1:4]))
