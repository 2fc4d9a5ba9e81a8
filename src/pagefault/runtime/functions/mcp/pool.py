"""The MCP servers of a fleet: what of them is accepted, and the connections of one process.

What was accepted is a file in the fleet's folder, and travels to hosts as plain text.  Functions are made from that, so
waking, looking at and replaying agents need no server; one is connected to when a tool is first called, and when a
fleet is opened for which some of its tools are not accepted yet.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from pagefault.runtime.errors import ConfigError, FunctionDefinitionError, StoreCorrupt, UsageError
from pagefault.runtime.functions.mcp.settings import Server
from pagefault.runtime.functions.mcp.tools import AcceptedTool, OfferedTool, accept, check_offered, permitted
from pagefault.runtime.functions.registry import MCP, Registry

log = structlog.get_logger(__name__)

FILE = "mcp.json"
FORMAT = 1


class McpServers:
    """Servers and what is accepted of them, in one process.

    Without ``servers`` their functions can be looked at, and not called: what replaying needs.
    """

    def __init__(self, servers: Mapping[str, Server] | None = None, accepted: Iterable[AcceptedTool] = ()) -> None:
        self._servers = dict(servers or {})
        self.accepted = tuple(accepted)
        self._connections: dict[str, Any] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The servers that are set up."""
        return tuple(self._servers)

    def add_to(self, registry: Registry) -> None:
        """Register every accepted tool, and ``mcp:SERVER`` for those of a server.

        Raises :class:`~pagefault.runtime.errors.FunctionDefinitionError` when a name is taken.
        """
        names = dict.fromkeys([*self._servers, *(tool.server for tool in self.accepted)])
        for server in names:
            tools = [tool for tool in self.accepted if tool.server == server]
            registry.add_group(f"{MCP}:{server}", {tool.reference: tool.definition(self._call) for tool in tools})

    async def open(self, folder: Path) -> None:
        """Take up what was accepted in a folder, and accept what has to be for the first time.

        Raises :class:`~pagefault.runtime.errors.ConfigError` when a server cannot be reached that nothing is known
        of, or has not what it is asked for, and :class:`~pagefault.runtime.errors.StoreCorrupt` for a damaged file.
        """
        known = read_accepted(folder)
        now: list[AcceptedTool] = [tool for tool in known if tool.server not in self._servers]
        for name, server in self._servers.items():
            mine = [permitted(tool, server) for tool in known if tool.server == name]
            there = {tool.tool for tool in mine}
            if not mine or set(server.tools) - there:
                mine += _accepted(name, server, await self.offered(name), mine)
            now += mine
        if now != known:
            write_accepted(folder, now)
        self.accepted = tuple(tool for tool in now if self._is_given(tool))

    async def accept(self, name: str, tools: Iterable[str], folder: Path) -> list[AcceptedTool]:
        """An operator accepts what a server offers now: the tools named, or all that it has.

        Returns those that are new or have changed.  Agents are given them when the fleet is opened the next time.
        Raises :class:`~pagefault.runtime.errors.ConfigError` for a server or a tool that is not there.
        """
        if name not in self._servers:
            raise ConfigError("mcp", name, f"one of {', '.join(sorted(self._servers)) or 'none: no server is set up'}")
        offered = {tool.tool: tool for tool in await self.offered(name)}
        kept = {(tool.server, tool.tool): tool for tool in read_accepted(folder)}
        changed: list[AcceptedTool] = []
        for wanted in tools or offered:
            if wanted not in offered:
                raise ConfigError(f"mcp.{name}.tools", wanted, f"of {', '.join(sorted(offered)) or 'none'}")
            known = kept.get((name, wanted))
            if known is not None and known.digest == offered[wanted].digest:
                continue
            check_offered(name, offered[wanted])
            taken = {tool.name for key, tool in kept.items() if key != (name, wanted)}
            fresh = accept(name, self._servers[name], offered[wanted], taken)
            kept[name, wanted] = fresh
            changed.append(fresh)
        write_accepted(folder, kept.values())
        return changed

    def _is_given(self, tool: AcceptedTool) -> bool:
        server = self._servers.get(tool.server)
        return server is None or not server.tools or tool.tool in server.tools

    async def offered(self, name: str) -> list[OfferedTool]:
        """What a server offers now.  Raises :class:`~pagefault.runtime.errors.ConfigError` if it cannot be asked."""
        connections = _connections()
        try:
            found: list[OfferedTool] = await self._connection(name).offered()
        except connections.McpFailed as error:
            raise ConfigError(f"mcp.{name}", str(error), "a server that can be reached") from None
        return found

    async def _call(self, tool: AcceptedTool, arguments: dict[str, Any]) -> str:
        text: str = await self._connection(tool.server).call(tool, arguments)
        return text

    def _connection(self, name: str) -> Any:
        if name not in self._servers:
            raise UsageError(f"the MCP server {name} is not set up here")
        connection = self._connections.get(name)
        if connection is None:
            connection = self._connections[name] = _connections().Connection(name, self._servers[name])
        return connection

    async def close(self) -> None:
        """End every connection; safe to call twice."""
        connections, self._connections = list(self._connections.values()), {}
        await asyncio.gather(*(each.close() for each in connections))

    def encode(self) -> str:
        """All of it as text, for hosts in other processes.  It may have secrets in it: it is not to be stored."""
        servers = {name: server.model_dump(mode="json") for name, server in self._servers.items()}
        return json.dumps({"servers": servers, "accepted": [tool.as_json() for tool in self.accepted]})


async def accepted_text(servers: Mapping[str, Server], folder: Path) -> str:
    """Servers as they are accepted in a folder, as :meth:`McpServers.encode` writes them.

    Raises what :meth:`McpServers.open` does.
    """
    pool = McpServers(servers)
    try:
        await pool.open(folder)
    finally:
        await pool.close()
    return pool.encode()


def decode(text: str) -> tuple[dict[str, Any], list[AcceptedTool]]:
    """Tables of servers, and accepted tools, from :meth:`McpServers.encode`; nothing from an empty text."""
    if not text:
        return {}, []
    found = json.loads(text)
    return found["servers"], [AcceptedTool.from_json(each) for each in found["accepted"]]


def read_accepted(folder: Path) -> list[AcceptedTool]:
    """What was accepted in a folder.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
    path = folder / FILE
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):  # whoever makes the folder says what is wrong with it
        return []
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("accepted"), list):
        raise StoreCorrupt(f"{path} is not a list of accepted MCP tools of format {FORMAT}")
    return [AcceptedTool.from_json(each) for each in found["accepted"]]


def write_accepted(folder: Path, tools: Iterable[AcceptedTool]) -> None:
    """Keep what is accepted: all of it, or as it was before."""
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, "accepted": [tool.as_json() for tool in tools]}, indent=1)
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _accepted(name: str, server: Server, offered: list[OfferedTool], known: list[AcceptedTool]) -> list[AcceptedTool]:
    """What is accepted anew: all that is allowed of a server that nothing is known of, else what is named."""
    there = {tool.tool: tool for tool in offered}
    known_names = {tool.tool for tool in known}
    for wanted in server.tools:
        if wanted not in there and wanted not in known_names:
            raise ConfigError(f"mcp.{name}.tools", wanted, f"of {', '.join(sorted(there)) or 'none'}")
    fresh: list[AcceptedTool] = []
    for tool in offered:
        if tool.tool in known_names or (server.tools and tool.tool not in server.tools):
            continue
        try:
            check_offered(name, tool)
        except FunctionDefinitionError as error:
            if tool.tool in server.tools:
                raise
            log.warning("mcp_tool_left_out", server=name, problem=str(error))
            continue
        fresh.append(accept(name, server, tool, {each.name for each in (*known, *fresh)}))
    return fresh


def _connections() -> Any:
    """The module of connections, which needs the SDK: only for those who use servers."""
    try:
        return importlib.import_module("pagefault.runtime.functions.mcp.client.connection")
    except ModuleNotFoundError as error:
        raise ConfigError("mcp", f"no package {error.name}", "an installation with pagefault[mcp]") from error
