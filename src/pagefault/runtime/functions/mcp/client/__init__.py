"""The connection to a server: the rooms that need the SDK (extra ``mcp``)."""
