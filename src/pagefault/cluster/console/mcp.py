"""``pagefault mcp``: what servers offer, what of it is accepted, and accepting it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pagefault.cluster.console.plan import read_plan
from pagefault.cluster.console.reach import DEFAULT_FOLDER, JsonOption
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.mcp import McpServers, read_servers
from pagefault.runtime.functions.mcp.pool import read_accepted
from pagefault.runtime.functions.mcp.settings import secrets_of
from pagefault.runtime.functions.mcp.tools import AcceptedTool, OfferedTool, one_line
from pagefault.runtime.host.secrecy import learn_secrets

SHOWN_CHARS = 300
mcp = typer.Typer(no_args_is_help=True, help="Tools of MCP servers: what is offered, and what is accepted.")
FileOption = Annotated[Path, typer.Option(help="A run's file, for its [[mcp]] tables.")]
FolderOption = Annotated[Path, typer.Option(help="The fleet's folder.")]


@mcp.command("list")
def list_tools(file: FileOption, folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """Ask every server what it offers, and compare that with what is accepted; nothing is changed."""
    rows = asyncio.run(_compared(_servers(file), folder))
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table("tool", "state", "effect", "what its server says of it")
    for row in rows:
        table.add_row(*(Text(str(row[key])) for key in ("tool", "state", "effect", "description")))
    Console().print(table)


@mcp.command("accept")
def accept_tools(
    file: FileOption,
    server: Annotated[str, typer.Argument(help="The server's name.")],
    tools: Annotated[list[str] | None, typer.Argument(help="Its tools; all if none is named.")] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Accept tools as their server defines them now; fleets have them when they are opened the next time."""
    accepted = asyncio.run(_accept(_servers(file), folder, server, tools or []))
    if as_json:
        sys.stdout.write(json.dumps([tool.reference for tool in accepted]) + "\n")
        return
    for tool in accepted:
        Console().print(Text(f"accepted {tool.reference} {tool.digest[:12]}"))
    if not accepted:
        Console().print("nothing has changed")


def _servers(file: Path) -> McpServers:
    servers = read_servers(read_plan(file).mcp)
    if not servers:
        raise ConfigError("--file", str(file), "a file with an [[mcp]] table")
    learn_secrets(secrets_of(servers.values()))
    return McpServers(servers)


async def _accept(servers: McpServers, folder: Path, server: str, tools: list[str]) -> list[AcceptedTool]:
    try:
        return await servers.accept(server, tools, folder)
    finally:
        await servers.close()


async def _compared(servers: McpServers, folder: Path) -> list[dict[str, Any]]:
    accepted = {(tool.server, tool.tool): tool for tool in read_accepted(folder)}
    rows: list[dict[str, Any]] = []
    try:
        for name in servers.names:
            offered = {tool.tool: tool for tool in await servers.offered(name)}
            gone = [tool for server, tool in accepted if server == name and tool not in offered]
            rows += [_row(name, tool, offered.get(tool), accepted.get((name, tool))) for tool in [*offered, *gone]]
    finally:
        await servers.close()
    return rows


def _row(server: str, name: str, offered: OfferedTool | None, accepted: AcceptedTool | None) -> dict[str, Any]:
    if offered is None:
        state = "gone"
    elif accepted is None:
        state = "new"
    else:
        state = "accepted" if accepted.digest == offered.digest else "changed"
    shown = offered or (accepted.offered if accepted is not None else None)
    return {
        "tool": one_line(f"{server}.{name}", SHOWN_CHARS),
        "state": state,
        "effect": accepted.effect if accepted is not None else "" if shown is None else shown.effect.value,
        "description": "" if shown is None else one_line(shown.description, SHOWN_CHARS),
    }
