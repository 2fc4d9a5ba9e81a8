"""``pagefault agent``: agents that come from Agent Files, and go into them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.reach import (
    DEFAULT_EMBEDDER,
    AddressOption,
    ArchiveOption,
    EmbedderOption,
    FolderOption,
    JournalOption,
    JsonOption,
    Which,
    does_run,
    find_modules_beside,
    with_fleet,
)
from pagefault.cluster.console.show import say
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.agent_file import FILE_BYTES_MAX, FiledAgent, read_agent_file
from pagefault.runtime.host.exchange import Imported
from pagefault.runtime.host.local import Local
from pagefault.runtime.store.open import EDGE, SQLITE

agent = typer.Typer(no_args_is_help=True, help="Agents from Agent Files (.af, Letta's format), and into them.")
FleetOption = Annotated[str | None, typer.Option("--fleet", help="The name of a fleet that runs.")]


@agent.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="The Agent File.")],
    name: Annotated[str | None, typer.Option(help="What the agent is called here; its own name else.")] = None,
    which_agent: Annotated[str | None, typer.Option("--agent", help="Which one, if the file has several.")] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="TOOL=FUNCTION, where FUNCTION is registered or module:name; TOOL= leaves it out."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Its model, such as openai:MODEL; the file's else.")] = None,
    base_url: Annotated[str | None, typer.Option(help="The model's server; a file never says that.")] = None,
    trusted: Annotated[bool, typer.Option("--trusted", help="Its messages are not marked as words of others.")] = False,
    folder: FolderOption = None,
    fleet: FleetOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Make an agent from a file: its blocks, its messages with their dates, its functions by name.

    Code that a file has is never run.  A tool that is none of the built-in functions has to be mapped to one, or left
    out.
    """
    filed = _read(file, which_agent)
    settings = {"model": model, "model_options": None if base_url is None else {"base_url": base_url}}
    mapped = dict(map(_mapping, maps or ()))

    async def make(place: Cluster | Local) -> Imported:
        return await place.import_agent(filed, name=name, mapped=mapped, trusted=trusted, settings=settings)

    made = asyncio.run(_with_fleet(Which(folder, fleet, address, embedder, journal, archive), make))
    if as_json:
        sys.stdout.write(json.dumps(asdict(made)) + "\n")
        return
    say(
        Console(stderr=True),
        f"made: {made.agent}, with {made.blocks} blocks and {made.messages:,} messages, {made.in_context:,} of them in "
        f"its context; it may call {', '.join(made.functions)}",
    )


@agent.command("export")
def export_file(
    name: Annotated[str, typer.Argument(help="The agent's name.")],
    af: Annotated[Path, typer.Option("--af", help="The file to write.")],
    folder: FolderOption = None,
    fleet: FleetOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
) -> None:
    """Write an agent as an Agent File: its blocks and conversation, its functions by name; no key and no code."""
    which = Which(folder, fleet, address, embedder, journal, archive)
    found = asyncio.run(with_fleet(which, lambda place: place.export_agent(name)))
    try:
        _write(af, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise ConfigError("--af", str(af), f"a file that can be written: {error.strerror}") from None
    say(Console(stderr=True), f"wrote {af}: {len(found['agents'][0]['messages']):,} messages")


def _write(path: Path, text: str) -> None:
    """All of it, or as it was before; a conversation is for its owner's eyes."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read(file: Path, which_agent: str | None) -> FiledAgent:
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError("FILE", str(file), f"a file that can be read: {error.strerror}") from None
    return read_agent_file(data, which_agent)


def _mapping(text: str) -> tuple[str, str]:
    tool, equals, function = text.partition("=")
    if not tool or not equals:
        raise ConfigError("--map", text, "TOOL=FUNCTION, or TOOL= to leave it out")
    return tool, function


async def _with_fleet(which: Which, make: Callable[[Cluster | Local], Awaitable[Imported]]) -> Imported:
    """Like :func:`with_fleet`, but the folder need not be that of a fleet yet."""
    fleet, place = which.running()
    find_modules_beside(Path())
    if fleet is not None and await does_run(fleet):
        try:
            return await make(fleet)
        finally:
            await fleet.leave()
    async with which.open(place, watch=False, make=True) as local:
        return await make(local)
