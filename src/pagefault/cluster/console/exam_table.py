"""The table of an exam: a row a memory, its measures, what it took, and the headline by group."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pagefault.cluster.console.show import WIDTH_MIN
from pagefault.cluster.worlds.contract import Report

GROUPS_MAX = 8
EVIDENCE = "evidence_recall"


def show_exam(report: Report, as_json: bool) -> None:
    """The results as one table for people, or as one JSON object on standard output."""
    if as_json:
        sys.stdout.write(json.dumps(dict(report.results)) + "\n")
        return
    results = report.results
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(overview(report.title, results))
    groups = list(dict.fromkeys(group for each in results["memories"].values() for group in each["by_group"]))
    if 1 < len(groups) <= GROUPS_MAX:
        for measure in (results["measures"][0], EVIDENCE):
            console.print(by_group(measure, groups, results))


def overview(title: str, results: Mapping[str, Any]) -> Table:
    """Every memory with its measures and its price."""
    head = f"{title}: {results['questions']:,} questions, {results['context_tokens']:,} tokens of context"
    table = Table(title=f"{head}, {results['model']}", title_justify="left")
    table.add_column("memory", no_wrap=True)
    measures = [*results["measures"], EVIDENCE]
    for name in (*measures, "tokens/question", "largest prompt", "calls", "searches", "failed"):
        table.add_column(name.replace("_", " "), justify="right")
    for memory, found in results["memories"].items():
        table.add_row(
            memory,
            *(_share(found[measure]) for measure in measures),
            f"{found['prompt_tokens_mean']:,.0f}",
            f"{found['prompt_tokens_max']:,}",
            f"{found['calls_mean']:.2f}",
            f"{found['searches_mean']:.2f}",
            f"{found['failed']:,}",
        )
    return table


def by_group(measure: str, groups: list[str], results: Mapping[str, Any]) -> Table:
    """One measure of every memory, by the groups of the questions."""
    table = Table(title=f"{measure.replace('_', ' ')} by {results['by']}", title_justify="left")
    table.add_column("memory", no_wrap=True)
    for group in groups:
        table.add_column(group, justify="right")
    for memory, found in results["memories"].items():
        table.add_row(memory, *(_share(found["by_group"].get(group, {}).get(measure)) for group in groups))
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
