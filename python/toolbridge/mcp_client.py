"""Another name of `toolbridge.experimental_mcp_client`: importing it gives that same module."""

import sys

from toolbridge import experimental_mcp_client
from toolbridge.experimental_mcp_client import *  # noqa: F403 - every public name, for type checkers
from toolbridge.experimental_mcp_client import tools as tools

sys.modules[__name__] = experimental_mcp_client
sys.modules[f"{__name__}.tools"] = tools
