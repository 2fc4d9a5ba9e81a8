"""``pagefault approvals``: calls that wait for an operator."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.reach import (
    DEFAULT_EMBEDDER,
    AddressOption,
    ArchiveOption,
    EmbedderOption,
    FolderOption,
    JournalOption,
    JsonOption,
    NameOption,
    Which,
    with_fleet,
)
from pagefault.cluster.console.show import WIDTH_MIN, say
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.host.local import Local
from pagefault.runtime.kernel.pages import stamp
from pagefault.runtime.store.open import EDGE, SQLITE

SHOWN_CHARS = 80
IdArgument = Annotated[str, typer.Argument(help="The call's id, as approvals list shows it.")]

approvals = typer.Typer(help="Calls that wait for an operator to agree.", no_args_is_help=True)


@approvals.command("list")
def list_approvals(
    prefix: Annotated[str, typer.Argument(help="Only agents whose names begin so.")] = "",
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """List calls that wait, the most urgent first."""
    which = Which(folder, name, address, embedder, journal, archive)
    found = asyncio.run(with_fleet(which, lambda fleet: fleet.approvals(prefix)))
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in found]) + "\n")
        return
    table = Table()
    for column in ("id", "function", "arguments", "for", "until"):
        table.add_column(column, no_wrap=column == "id")
    for each in found:
        row = (each.id, each.function, each.arguments[:SHOWN_CHARS], each.sender, stamp(each.until_ms))
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(table)


@approvals.command()
def approve(
    approval_id: IdArgument,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Let a call be run."""
    which = Which(folder, name, address, embedder, journal, archive)
    _decide(which, lambda fleet: fleet.approve(approval_id))
    _tell(approval_id, "approved", as_json)


@approvals.command()
def deny(
    approval_id: IdArgument,
    reason: Annotated[str, typer.Option(help="Why; the model is told.")] = "",
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Do not let a call be run."""
    which = Which(folder, name, address, embedder, journal, archive)
    _decide(which, lambda fleet: fleet.deny(approval_id, reason))
    _tell(approval_id, "denied", as_json)


def _decide(
    which: Which,
    act: Callable[[Cluster | Local], Awaitable[None]],
) -> None:
    async def decide(fleet: Cluster | Local) -> None:
        await act(fleet)
        if isinstance(fleet, Local):
            await fleet.idle()  # it is open for this alone, so what was let go is done now

    asyncio.run(with_fleet(which, decide))


def _tell(approval_id: str, decision: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"id": approval_id, "decision": decision}) + "\n")
    else:
        say(Console(stderr=True), f"{decision}: {approval_id}")
