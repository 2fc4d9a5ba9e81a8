"""``pagefault ps``: the agents of a fleet, one a line; nobody is woken for it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.reach import (
    AddressOption,
    FolderOption,
    JournalOption,
    JsonOption,
    NameOption,
    does_run,
    running_fleet,
)
from pagefault.cluster.console.show import WIDTH_MIN
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.host.survey import survey_folder
from pagefault.runtime.store.open import SQLITE

Sort = Literal["name", "phase", "place", "waiting", "oldest", "tokens", "steps", "faults", "timer"]
LIMIT = 50
WATCH_S = 2.0
UNKNOWN = "\N{EN DASH}"

KEYS: dict[str, Callable[[AgentRow], Any]] = {
    "phase": lambda row: row.phase,
    "place": lambda row: row.place or None,
    "waiting": lambda row: -row.waiting if row.waiting is not None else None,
    "oldest": lambda row: row.oldest_ms,
    "tokens": lambda row: -row.tokens if row.tokens is not None else None,
    "steps": lambda row: -row.steps if row.steps is not None else None,
    "faults": lambda row: -row.faults if row.faults is not None else None,
    "timer": lambda row: row.timer_ms,
}
"""What agents are sorted by, beside their names: of counts the highest first, of times the earliest."""


def ps(
    place: Annotated[Path | None, typer.Argument(help="The same as --folder.", metavar="[FOLDER]")] = None,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    phase: Annotated[str | None, typer.Option(help="Only agents in this phase, such as thinking or asleep.")] = None,
    prefix: Annotated[str, typer.Option(help="Only agents whose names begin so.")] = "",
    sort: Annotated[Sort, typer.Option(help="What to sort by: of counts the highest first.")] = "name",
    limit: Annotated[int, typer.Option(min=1, help="How many are shown at most.")] = LIMIT,
    page: Annotated[int, typer.Option(min=1, help="Which part of them is shown, of --limit agents each.")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    journal: JournalOption = SQLITE,
    as_json: JsonOption = False,
) -> None:
    """List agents: where they are, what they do, what waits for them."""
    if watch and as_json:
        raise ConfigError("--watch", True, "not together with --json")
    if place is not None and folder is not None:
        raise ConfigError("--folder", str(folder), f"one folder: {place} was given, too")
    fleet, found = running_fleet(place or folder, name, address)
    chosen = Choice(phase, prefix, sort, limit, page)
    if fleet is None or not asyncio.run(_survey(fleet, chosen, watch, as_json)):
        show(
            chosen, survey_folder(found, prefix, journal), f"{found}: this fleet does not run; from its stores", as_json
        )


class Choice:
    """Which agents are shown, and in which order."""

    def __init__(self, phase: str | None, prefix: str, sort: str, limit: int, page: int) -> None:
        self.phase = phase
        self.prefix = prefix
        self._sort = sort
        self._limit = limit
        self._page = page

    def part(self, rows: Sequence[AgentRow]) -> tuple[list[AgentRow], int, int]:
        """The agents to show, the place of the first among those that were chosen, and how many those are."""
        chosen = [row for row in rows if self.phase is None or row.phase == self.phase]
        key = KEYS.get(self._sort)
        if key is not None:  # sorting keeps the order of names among equals; who has no figure comes last
            known = sorted((row for row in chosen if key(row) is not None), key=key)
            chosen = known + [row for row in chosen if key(row) is None]
        first = (self._page - 1) * self._limit
        return chosen[first : first + self._limit], first, len(chosen)


async def _survey(fleet: Cluster, choice: Choice, watch: bool, as_json: bool) -> bool:
    """Whether the fleet runs; then it was shown."""
    if not await does_run(fleet):
        return False
    try:
        title = f"fleet {fleet.name}"
        if not watch:
            show(choice, await fleet.survey(choice.prefix), title, as_json)
            return True
        with Live(console=Console(), auto_refresh=False, screen=Console().is_terminal) as live:
            while True:
                live.update(_table(choice, await fleet.survey(choice.prefix), title), refresh=True)
                await asyncio.sleep(WATCH_S)
    finally:
        await fleet.leave()


def show(choice: Choice, rows: Sequence[AgentRow], title: str, as_json: bool) -> None:
    """The table, or one JSON object: ``agents``, ``total`` (that were chosen) and ``phases`` (of all)."""
    if as_json:
        part, _, total = choice.part(rows)
        found = {"agents": [asdict(row) for row in part], "total": total, "phases": _phases(rows)}
        sys.stdout.write(json.dumps(found) + "\n")
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(_table(choice, rows, title))


def _phases(rows: Sequence[AgentRow]) -> dict[str, int]:
    return dict(Counter(row.phase for row in rows).most_common())


def _table(choice: Choice, rows: Sequence[AgentRow], title: str) -> Table:
    part, first, total = choice.part(rows)
    phases = ", ".join(f"{count:,} {phase}" for phase, count in _phases(rows).items())
    shown = f"{first + 1:,} to {first + len(part):,}" if part else "none"
    table = Table(
        title=Text(one_line(f"{title}: {len(rows):,} agents ({phases or 'none'})")),
        caption=f"{shown} of {total:,}" if len(part) < len(rows) else None,
        title_justify="left",
        caption_justify="left",
    )
    for column in ("agent", "where", "phase"):
        table.add_column(column, no_wrap=True)
    for column in ("mailbox", "oldest", "tokens", "steps", "faults", "next timer"):
        table.add_column(column, justify="right", no_wrap=True)
    now_ms = SystemClock().now_ms()
    for row in part:
        table.add_row(*(Text(cell) for cell in _cells(row, now_ms)))
    return table


def _cells(row: AgentRow, now_ms: int) -> list[str]:
    tokens = UNKNOWN
    if row.tokens is not None and row.prompt_limit:
        tokens = f"{row.tokens:,} of {row.prompt_limit:,} ({100 * row.tokens // row.prompt_limit} %)"
    return [
        one_line(row.agent),
        one_line(row.place) or UNKNOWN,
        row.phase,
        _count(row.waiting),
        _span(None if row.oldest_ms is None else now_ms - row.oldest_ms),
        tokens,
        _count(row.steps),
        _count(row.faults),
        UNKNOWN if row.timer_ms is None else _moment(row.timer_ms, now_ms),
    ]


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _moment(at_ms: int, now_ms: int) -> str:
    if at_ms <= now_ms:
        return "now"
    if at_ms - now_ms < 86_400_000:
        return f"in {_span(at_ms - now_ms)}"
    return time.strftime("%Y-%m-%d", time.gmtime(at_ms / 1000)) if at_ms < 2**46 else "some day"


def _span(length_ms: int | None) -> str:
    if length_ms is None:
        return UNKNOWN
    seconds = max(0, length_ms) // 1000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
