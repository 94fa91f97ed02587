"""What clients and servers of MCP share, under the names of ``mcp.shared``."""
