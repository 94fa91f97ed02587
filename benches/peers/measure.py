"""The contender's side of the benchmark: take an order from stdin, print samples on stdout.

A contender prints `{}` when it is ready. Each line `{"row": …, "count": …}` on stdin is answered with
one line, a JSON list of seconds. It ends when stdin ends. `benches/clients/rmcp_stdio.rs` speaks the
same protocol.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Row = Callable[[int], Awaitable[list[float]]]


async def serve(rows: Mapping[str, Row]) -> None:
    """Runs the rows that are ordered, until stdin ends.

    Reading stdin blocks the event loop on purpose: nothing else of this process is to run between
    two measurements.

    Args:
        rows: What can be ordered, by name.
    """
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    while line := sys.stdin.readline():
        order = json.loads(line)
        samples = await rows[order["row"]](order["count"])
        sys.stdout.write(json.dumps(samples) + "\n")
        sys.stdout.flush()


def one_by_one(operation: Callable[[], Awaitable[None]]) -> Row:
    """A row that awaits an operation again and again; one sample each.

    Args:
        operation: What is measured.
    """

    async def row(count: int) -> list[float]:
        samples = []
        for _ in range(count):
            start = perf_counter()
            await operation()
            samples.append(perf_counter() - start)
        return samples

    return row
