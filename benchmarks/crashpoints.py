"""Processes that are killed at every named failpoint, and whether what they had promised is there afterwards.

A cycle forks a worker, which kills itself with SIGKILL when a failpoint is reached for the n-th time, and then a
second process that opens the same files and compares them with what the first one was told.  ``lost``: something
that was acknowledged is not there.  ``phantom``: something is there that was not tried, half of a group, or twice.

Most cycles kill a journal that is appended to; one in twenty kills a whole host, with agents that are
spoken to, call a function that must not run twice, and remember.  Folders live on over many cycles.

``--cycles N`` for another number.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks._crashes import HOST_POINTS, JOURNAL_POINTS, HostLine, JournalLine
from benchmarks._report import Options, read_number, read_options, report

FULL_CYCLES = 10_000
QUICK_CYCLES = 500
HOST_SHARE = 20
"""One cycle in so many is of a whole host."""
CYCLES_A_FOLDER = 25
HIT_MAX = 8
HITS = {
    "journal.activate.before_commit": 4,
    "journal.activate.after_commit": 4,
    **dict.fromkeys(("journal.register.before_commit", "journal.close"), 1),
    **{name: 1 for name in HOST_POINTS if name.startswith(("archive.", "host.snapshot."))},
}
"""Names that a worker reaches less often."""


def measure(seed: int, cycles: int) -> dict[str, Any]:
    """Run all cycles.  Raises ``RuntimeError`` when a process failed in another way than it was told to."""
    chance = random.Random(seed)
    lost: list[str] = []
    phantom: list[str] = []
    died: Counter[str] = Counter()
    began = time.perf_counter()
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with tempfile.TemporaryDirectory(prefix="pagefault-crashes-") as folder, progress:
        task = progress.add_task("killing", total=cycles)
        journal, host = JournalLine(Path(folder)), HostLine(Path(folder))
        counts = Counter[str]()
        for number in range(cycles):
            kind = "host" if number % HOST_SHARE == HOST_SHARE - 1 else "journal"
            points = HOST_POINTS if kind == "host" else JOURNAL_POINTS
            if counts[kind] % CYCLES_A_FOLDER == 0:
                place = Path(folder) / f"{kind}-{counts[kind] // CYCLES_A_FOLDER}"
                place.mkdir()
                if kind == "host":
                    host = HostLine(place)
                else:
                    journal = JournalLine(place)
            # A name in turn, so that all are reached alike often; the first hit most often, which all reach.
            name = points[counts[kind] % len(points)]
            most = HITS.get(name, HIT_MAX)
            hit = min(chance.randint(1, most), chance.randint(1, most))
            verdict, is_dead = (host if kind == "host" else journal).cycle(name, hit, f"s{seed}c{number}")
            counts[kind] += 1
            died[name] += is_dead
            lost += [f"{name} #{hit}: {what}" for what in verdict.lost]
            phantom += [f"{name} #{hit}: {what}" for what in verdict.phantom]
            progress.advance(task)
    return {
        "cycles": cycles,
        "lost": len(lost),
        "phantom": len(phantom),
        "killed": sum(died.values()),
        "killed_at": {name: died[name] for name in (*JOURNAL_POINTS, *HOST_POINTS)},
        "never_reached": [name for name in (*JOURNAL_POINTS, *HOST_POINTS) if not died[name]],
        "examples": [*lost[:5], *phantom[:5]],
        "cycles_per_s": round(cycles / (time.perf_counter() - began), 1),
    }


def run(options: Options, cycles: int) -> None:
    """Measure and print the table; ends with status 1 if a promise was broken."""
    results = measure(options.seed, cycles)
    rows = [
        ("cycles", f"{results['cycles']:,}", f"{results['cycles_per_s']} a second"),
        ("killed", f"{results['killed']:,}", "workers; the others ended before their failpoint came so often"),
        ("lost", f"{results['lost']:,}", "acknowledged, and not there (must be 0)"),
        ("phantom", f"{results['phantom']:,}", "there, and not tried, or half, or twice (must be 0)"),
    ]
    rows += [(f"  {name}", f"{count:,}", "killed there") for name, count in results["killed_at"].items()]
    report("crashpoints", options, results, rows, ("qdrant-edge-py",))
    if results["lost"] or results["phantom"] or results["never_reached"]:
        sys.exit(1)


def main() -> None:
    """Measure and print the table."""
    cycles = read_number("--cycles", 1)
    options = read_options("crashpoints", "Kill processes at every failpoint, and look; --cycles N for another number.")
    run(options, cycles or (QUICK_CYCLES if options.quick else FULL_CYCLES))


if __name__ == "__main__":
    main()
