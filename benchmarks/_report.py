"""What all benchmarks share: options, the table, and the JSON object on the last line."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Options:
    """The options that every benchmark has; ``data`` only where one is needed."""

    quick: bool
    json_file: Path | None
    seed: int
    data: Path | None


def read_options(
    name: str, description: str, *, data_needed: str = "", data_welcome: str = "", data_is_folder: bool = False
) -> Options:
    """Parse the command line.  ``data_needed`` says what ``--data`` must be; ``data_welcome`` too, but it may lack."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help="end within 50 s on 2 cores")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the JSON object here too")
    parser.add_argument("--seed", type=int, default=1)
    wanted = data_needed or data_welcome
    if wanted:
        metavar = "DIR" if data_is_folder else "FILE"
        parser.add_argument("--data", type=Path, required=bool(data_needed), metavar=metavar, help=wanted)
    given = parser.parse_args()
    data = given.data if wanted else None
    if data is not None and not (data.is_dir() if data_is_folder else data.is_file()):
        parser.error(f"--data: found {str(data)!r}, allowed: {wanted}")
    return Options(given.quick, given.json, given.seed, data)


def read_number(option: str, least: int) -> int | None:
    """Take ``option N`` from the command line, for the one benchmark that has it, before :func:`read_options`."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(option, dest="number", type=int, default=None)
    given, rest = parser.parse_known_args()
    number: int | None = given.number
    if number is not None and number < least:
        parser.error(f"{option}: found {number}, allowed: {least} or more")
    sys.argv[1:] = rest
    return number


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of packages, those that are installed."""
    found = {"python": platform.python_version()}
    for package in ("pagefault", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def report(
    name: str,
    options: Options,
    results: Mapping[str, Any],
    rows: Sequence[tuple[str, str, str]],
    packages: Sequence[str],
) -> None:
    """Print the table, then the JSON object as the last line of standard output."""
    table = Table(title=name, title_justify="left")
    table.add_column("")
    table.add_column("figure", justify="right")
    table.add_column("what it is")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
    whole = {
        "benchmark": name,
        "seed": options.seed,
        "quick": options.quick,
        "versions": versions(*packages),
        "results": dict(results),
    }
    line = json.dumps(whole)
    if options.json_file is not None:
        options.json_file.write_text(line + "\n", encoding="utf-8")
    sys.stdout.write(line + "\n")
