"""``pagefault topics`` and ``pagefault dead``: groups of agents, and what could not be delivered."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pagefault.cluster.console.reach import AddressOption, FolderOption, JsonOption, NameOption, must_run
from pagefault.cluster.console.show import WIDTH_MIN, say
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.values import DeadLetter

SHOWN_CHARS = 60

dead = typer.Typer(help="Messages between agents that could not be delivered.", no_args_is_help=True)


def topics(
    agent: Annotated[str | None, typer.Argument(help="Only the topics that this agent hears.")] = None,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """List topics with the number of agents that hear each."""
    fleet = must_run(folder, name, address)

    async def ask() -> dict[str, int]:
        async with fleet:
            return await fleet.topics(agent)

    found = asyncio.run(ask())
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    _print(("topic", "agents"), [(topic, f"{count:,}") for topic, count in found.items()])


@dead.command("list")
def list_dead(
    agent: Annotated[str | None, typer.Argument(help="Only letters to this agent.")] = None,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many are shown at most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first."""
    fleet = must_run(folder, name, address)

    async def ask() -> list[DeadLetter]:
        async with fleet:
            return await fleet.dead_letters(limit, agent)

    found = asyncio.run(ask())
    if as_json:
        sys.stdout.write(json.dumps([_plain(letter) for letter in found]) + "\n")
        return
    _print(
        ("id", "from", "to", "why", "text"),
        [(each.id, each.interrupt.sender, each.to, each.why, each.interrupt.text[:SHOWN_CHARS]) for each in found],
    )


@dead.command("send")
def send_dead(
    ids: Annotated[list[str] | None, typer.Argument(help="The letters' ids, as dead list shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again; those that are accepted are dead no more."""
    if bool(ids) == every:
        raise ConfigError("ID", ids or "nothing", "the ids of letters, or --all")
    fleet = must_run(folder, name, address)

    async def again() -> tuple[int, list[str]]:
        async with fleet:
            wanted = ids or [letter.id for letter in await fleet.dead_letters(sys.maxsize)]
            return len(wanted), [str(each) for each in await fleet.resend(wanted)]

    asked, sent = asyncio.run(again())
    if as_json:
        sys.stdout.write(json.dumps({"asked": asked, "sent": sent}) + "\n")
    else:
        say(Console(stderr=True), f"{len(sent):,} of {asked:,} were accepted")
    if len(sent) < asked:
        raise typer.Exit(1)


def _plain(letter: DeadLetter) -> dict[str, object]:
    interrupt = letter.interrupt
    return {
        "id": letter.id,
        "from": interrupt.sender,
        "to": letter.to,
        "kind": interrupt.kind.value,
        "priority": interrupt.priority.name.lower(),
        "text": interrupt.text,
        "why": letter.why,
        "at_ms": letter.at_ms,
    }


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, no_wrap=column == "id")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(table)
