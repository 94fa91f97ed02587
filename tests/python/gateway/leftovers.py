"""What a gateway holds for clients and calls, counted before and after something happened to it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.process import PATIENCE, Started, held, settled
from gateway.raw_client import Caller, metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING = {
    # The one that asks.
    "toolbridge_http_requests_in_flight": 1,
    "toolbridge_tool_calls_in_flight": 0,
    "toolbridge_mcp_calls_waiting": 0,
    "toolbridge_mcp_streams": 0,
    'toolbridge_mcp_sessions{transport="streamable_http"}': 0,
    'toolbridge_mcp_sessions{transport="sse"}': 0,
}


@contextmanager
def nothing_is_left(gateway: Started, *callers: Caller) -> Iterator[None]:
    """The gateway comes to hold no more descriptors than before; once the callers have gone, it has
    no session, no stream and no call."""
    before = held(gateway.pid)[1]
    try:
        yield
        assert settled(gateway.pid, before), (before, held(gateway.pid)[1])
    finally:
        for caller in callers:
            caller.close()
    end = time.monotonic() + PATIENCE
    # What has just ended is counted a moment longer.
    while (counted := what_is_left(gateway)) != NOTHING:
        assert time.monotonic() < end, counted


def what_is_left(gateway: Started) -> dict[str, float]:
    counted = metrics(gateway.origin)
    return {name: counted[name] for name in NOTHING}
