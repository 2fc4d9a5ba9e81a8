"""Functions of MCP servers: what an operator sets up, what of it is accepted, and how it is called."""

from pagefault.runtime.functions.mcp.pool import McpServers, accepted_text
from pagefault.runtime.functions.mcp.settings import HttpServer, Server, StdioServer, read_servers

__all__ = ["HttpServer", "McpServers", "Server", "StdioServer", "accepted_text", "read_servers"]
