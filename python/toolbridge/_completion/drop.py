"""``additional_drop_params`` that reach inside: ``tools[*].function.strict``, ``stop[0]``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["without"]


def without(body: dict[str, Any], path: str) -> dict[str, Any]:
    """The body without what a path leads to; what the path passes is copied, never changed.

    Args:
        body: the body of the request.
        path: names with dots between them, ``[0]`` for one element and ``[*]`` for all. A path that
            leads nowhere leaves the body as it is.
    """
    keys = [key for key in path.replace("[", ".").replace("]", "").split(".") if key]
    dropped: dict[str, Any] = _without(body, keys) if keys else body
    return dropped


def _without(value: Any, keys: Sequence[str]) -> Any:
    key, rest = keys[0], keys[1:]
    if isinstance(value, dict) and key in value:
        if rest:
            return {**value, key: _without(value[key], rest)}
        return {name: item for name, item in value.items() if name != key}
    if isinstance(value, (list, tuple)) and (key == "*" or key.isdecimal()):
        concerned = range(len(value)) if key == "*" else (int(key),)
        if rest:
            return [
                _without(item, rest) if index in concerned else item
                for index, item in enumerate(value)
            ]
        return [item for index, item in enumerate(value) if index not in concerned]
    return value
