"""``pagefault metrics``: what a fleet that runs has counted and measured, asked of its hosts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.reach import AddressOption, FolderOption, JsonOption, NameOption, does_run, must_run
from pagefault.cluster.console.show import WIDTH_MIN
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.telemetry.meters import Sample, exposition, quantile_s, totals
from pagefault.runtime.host.telemetry.table import BY_NAME

WHOSE = ("host", "shard")


def metrics(
    place: Annotated[Path | None, typer.Argument(help="The same as --folder.", metavar="[FOLDER]")] = None,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="As Prometheus reads it, host by host.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a fleet has counted and measured; nobody is woken for it."""
    if prometheus and as_json:
        raise ConfigError("--prometheus", True, "not together with --json")
    if place is not None and folder is not None:
        raise ConfigError("--folder", str(folder), f"one folder: {place} was given, too")
    fleet = must_run(place or folder, name, address)
    samples = asyncio.run(_read(fleet, place or folder))
    if prometheus:
        sys.stdout.write(exposition(samples))
    elif as_json:
        sys.stdout.write(json.dumps(samples) + "\n")
    else:
        _show(totals(samples, *WHOSE))


async def _read(fleet: Cluster, folder: Path | None) -> list[Sample]:
    if not await does_run(fleet):
        raise ConfigError("--folder", str(folder), "the folder of a fleet that runs: that one has ended")
    try:
        return await fleet.metrics()
    finally:
        await fleet.leave()


def _show(samples: Sequence[Sample]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    table = Table(title=None if samples else "nothing was counted: metrics are off, or no host answered")
    table.add_column("metric", no_wrap=True)
    table.add_column("labels", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning")
    before = ""
    for sample in samples:
        name = sample["name"]
        labels = ", ".join(f"{key}={one_line(value)}" for key, value in sorted(sample["labels"].items()))
        cells = (name if name != before else "", labels, _value(sample), BY_NAME[name].help if name != before else "")
        table.add_row(*map(Text, cells))
        before = name
    console.print(table)


def _value(sample: Sample) -> str:
    if "value" in sample:
        return f"{sample['value']:,}" if isinstance(sample["value"], int) else f"{sample['value']:,.6g}"
    counts = sample["counts"]
    median_ms, late_ms = (1000 * quantile_s(counts, share) for share in (0.5, 0.99))
    return f"{sum(counts):,} times, p50 {median_ms:,.3g} ms, p99 {late_ms:,.3g} ms" if any(counts) else "0 times"
