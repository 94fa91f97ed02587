"""Authorization of MCP sessions over HTTP."""
