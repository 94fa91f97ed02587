"""The metrics of calls, by OpenTelemetry's ``gen_ai`` conventions: how long they took, and how many tokens.

Loaded when ``opentelemetry.metrics`` is in use; imports none of it.
"""

from __future__ import annotations

import sys
from weakref import WeakKeyDictionary

from toolbridge._toolbridge import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["record"]

# The buckets that the conventions ask for: seconds, and tokens.
_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(4**power for power in range(14))
_TYPES = (("input", "prompt_tokens"), ("output", "completion_tokens"))
# The two instruments of each provider of meters: making them again is a warning.
_instruments: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()


def record(
    attributes: Mapping[str, Any], usage: Mapping[str, Any], seconds: float, error: str | None
) -> None:
    """Records one call that is over.

    Args:
        attributes: what both metrics say of the call; values that are None are left out.
        usage: OpenAI's usage of the answer; empty when there was none.
        seconds: how long the call took.
        error: the type of the error that it ended with.
    """
    metrics = sys.modules.get("opentelemetry.metrics")
    if metrics is None:
        return
    provider = metrics.get_meter_provider()
    if type(provider).__name__ == "_ProxyMeterProvider":
        return
    if provider not in _instruments:
        _instruments[provider] = _make(provider)
    duration, tokens = _instruments[provider]
    known = {name: value for name, value in attributes.items() if value is not None}
    duration.record(seconds, known if error is None else {**known, "error.type": error})
    for kind, name in _TYPES:
        count = usage.get(name)
        if isinstance(count, int):
            tokens.record(count, {**known, "gen_ai.token.type": kind})


def _make(provider: Any) -> tuple[Any, Any]:
    meter = provider.get_meter("toolbridge", __version__)
    return (
        meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="How long a completion took.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        ),
        meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="How many tokens a completion took.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        ),
    )
