"""Another name of `toolbridge.experimental_mcp_client`: importing it gives that same module."""

import sys

from toolbridge import experimental_mcp_client
from toolbridge.experimental_mcp_client import (
    call_mcp_tool,
    call_openai_tool,
    load_mcp_tools,
    tools,
)

__all__ = ["call_mcp_tool", "call_openai_tool", "load_mcp_tools"]

sys.modules[__name__] = experimental_mcp_client
sys.modules[f"{__name__}.tools"] = tools
