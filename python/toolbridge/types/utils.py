"""The module under which LiteLLM keeps the classes of chat responses."""

from __future__ import annotations

from toolbridge.types import __all__ as __all__
from toolbridge.types.chat import *  # noqa: F403
