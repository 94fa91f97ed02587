"""Deployments of a Router, as users give them."""

from __future__ import annotations

import copy
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["deployments", "plain"]


def plain(deployment: Any) -> dict[str, Any]:
    """Give a deployment as a dict; LiteLLM's may be objects.

    Raises:
        TypeError: It is none.
    """
    dump = getattr(deployment, "model_dump", None)
    if dump is not None and not isinstance(deployment, type):
        deployment = dump(exclude_none=True)
    if not isinstance(deployment, dict):
        raise TypeError(
            "a deployment is a dict with model_name and litellm_params, "
            f"not {type(deployment).__name__}"
        )
    return deployment


def deployments(model_list: Sequence[Any]) -> list[dict[str, Any]]:
    """Copy deployments, and give an id to each that has none.

    Raises:
        TypeError: They are no list of deployments.
    """
    if isinstance(model_list, (str, dict)):
        raise TypeError(f"model_list takes a list of dicts, not {type(model_list).__name__}")
    found = [copy.deepcopy(plain(one)) for one in model_list]
    for one in found:
        info = one.get("model_info")
        one["model_info"] = dict(info) if isinstance(info, dict) else {}
    used = {str(one["model_info"].get("id")) for one in found}
    for one in found:
        if one["model_info"].get("id") is None:
            names = (f"{one.get('model_name')}-{number}" for number in count(1))
            one["model_info"]["id"] = next(name for name in names if name not in used)
            used.add(one["model_info"]["id"])
    return found
