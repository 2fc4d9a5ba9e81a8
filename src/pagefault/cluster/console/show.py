"""What people see: progress, tables, errors in one line."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pagefault.cluster.console.ends import say
from pagefault.cluster.worlds.contract import Report

__all__ = ["WIDTH_MIN", "RunProgress", "say", "show_report"]

PLAIN_EVERY_S = 2.0
WIDTH_MIN = 140
"""Where output is no terminal: so wide that no row of a report is broken in two."""


class RunProgress:
    """A bar on a terminal, a line now and then elsewhere; always on standard error, so that output stays clean."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
            )
        self._task: object = None
        self._what = ""
        self._total = self._done = 0
        self._said_s = 0.0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, what: str, total: int) -> None:
        """A stretch of work begins."""
        self._what, self._total, self._done = what, total, 0
        if self._bar is not None:
            self._task = self._bar.add_task(what, total=total)
        else:
            say(self._console, f"{what}: {total:,} to do")
        self._said_s = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """So much of it is done."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._task, count)  # type: ignore[arg-type]  # the id that add_task gave
        elif time.monotonic() - self._said_s >= PLAIN_EVERY_S:
            self._said_s = time.monotonic()
            say(self._console, f"{self._what}: {self._done:,} of {self._total:,}")


def show_report(report: Report, as_json: bool) -> None:
    """The table, or the results as one JSON object on standard output."""
    if as_json:
        sys.stdout.write(json.dumps(dict(report.results)) + "\n")
        return
    table = Table(title=report.title, title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column("figure", justify="right", no_wrap=True)
    table.add_column("what it is")
    for row in report.rows:
        table.add_row(row.name, row.value, row.meaning)
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(table)
