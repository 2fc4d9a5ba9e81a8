"""Simulate fleets of production code, fault upon fault, and hold every run against the promises.

``--seed N --steps M`` replays one seed, with ``M`` messages, and tells its story; ``--bug NAME`` plants a bug into it.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._planted import BUGS, planted
from benchmarks._report import Options, read_options, report
from benchmarks._simulated_fleet import Fleet
from pagefault.runtime.testing.simulation.processes import simulate

FULL_SEEDS = 1_000
QUICK_SEEDS = 60
MESSAGES = 8
"""Of one fleet; `make soak` has more of them in each."""
PLANTED_SEEDS = 60
"""Seeds among which a planted bug must show."""
CHUNK_SEEDS = 10
TAIL = 60
CRASH = "crash"
"""What is seen where the simulation itself broke, and no promise."""
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one: disks are simulated


@dataclass(frozen=True, slots=True)
class Outcome:
    """One simulated run."""

    seed: int
    steps: int
    calls: int
    simulated_s: float
    digest: str
    violation: str
    tail: tuple[str, ...]


def run_seed(seed: int, messages: int = MESSAGES, bug: str = "") -> Outcome:
    """Simulate one fleet to its end, or until a promise breaks.  The same arguments give the same outcome."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="simulator-") as folder:
        fleet = Fleet(seed, Path(folder), messages)
        with planted(bug), fleet.installed():
            simulate(fleet.clock, fleet.run())
    return Outcome(
        seed,
        fleet.witness.steps,
        fleet.ray.calls,
        fleet.clock.seconds(),
        fleet.story.digest(),
        fleet.violation,
        tuple(fleet.story.tail(TAIL)) if fleet.violation else (),
    )


def run_chunk(seeds: range) -> list[Outcome]:
    """Some seeds, with the collector of cycles at rest: it would take a quarter of the time."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return [run_seed(seed) for seed in seeds]
    finally:
        gc.enable()


def find_bug(name: str, first_seed: int) -> tuple[str, int, str]:
    """Simulate with a bug until it shows; ``(name, seeds needed or 0, what was seen)``."""
    for place in range(PLANTED_SEEDS):
        outcome = run_seed(first_seed + place, bug=name)
        if outcome.violation and not outcome.violation.startswith(CRASH):  # that would be the plant's own trouble
            return name, place + 1, outcome.violation
    return name, 0, ""


def measure(first_seed: int, seeds: int, workers: int = 2) -> dict[str, Any]:
    """Simulate many seeds, and every planted bug."""
    began = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        found = list(pool.map(find_bug, BUGS, [first_seed] * len(BUGS)))
        last = first_seed + seeds
        chunks = [range(first, min(first + CHUNK_SEEDS, last)) for first in range(first_seed, last, CHUNK_SEEDS)]
        outcomes = [outcome for chunk in pool.map(run_chunk, chunks) for outcome in chunk]
    broken = [outcome for outcome in outcomes if outcome.violation]
    return {
        "seeds": len(outcomes),
        "steps": sum(outcome.steps for outcome in outcomes),
        "violations": len(broken),
        "planted_found": sum(needed > 0 for _, needed, _ in found),
        "planted": len(found),
        "calls": sum(outcome.calls for outcome in outcomes),
        "simulated_hours": round(sum(outcome.simulated_s for outcome in outcomes) / 3600, 2),
        "seeds_to_find": {name: needed for name, needed, _ in found},
        "seen": {name: seen for name, _, seen in found},
        "failing_seeds": [outcome.seed for outcome in broken],
        "stories": _stories(broken[:2]),
        "duration_s": round(time.perf_counter() - began, 1),
    }


def _stories(broken: Iterable[Outcome]) -> list[str]:
    return ["\n".join([f"seed {outcome.seed}: {outcome.violation}", *outcome.tail]) for outcome in broken]


def read_replay(arguments: Sequence[str]) -> tuple[int, int, str] | None:
    """``(seed, messages, bug)`` if one seed is to be replayed; without ``--steps`` none is."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--bug", choices=sorted(BUGS), default="")
    given, _ = parser.parse_known_args(arguments)
    if given.steps is None:
        return None
    if given.steps < 1:
        parser.error(f"--steps: found {given.steps}, allowed: 1 or more messages")
    return given.seed, given.steps, given.bug


def replay(seed: int, messages: int, bug: str) -> None:
    """Simulate one seed and print how it ended; ends with status 1 if a promise broke."""
    outcome = run_seed(seed, messages, bug)
    for line in outcome.tail:
        print(line)
    told = outcome.violation or "every promise was kept"
    print(f"seed {seed}, {messages} messages: {outcome.steps} steps, digest {outcome.digest[:16]}: {told}")
    if outcome.violation:
        sys.exit(1)


def run(options: Options) -> None:
    """Measure and print the table; ends with status 1 if a promise broke or too many bugs went unseen."""
    results = measure(options.seed, QUICK_SEEDS if options.quick else FULL_SEEDS)
    rows = [
        ("seeds", f"{results['seeds']:,}", f"fleets simulated, {results['simulated_hours']} hours of theirs"),
        ("steps", f"{results['steps']:,}", "records that journals took"),
        ("violations", f"{results['violations']:,}", "broken promises (must be 0)"),
        ("planted found", f"{results['planted_found']} of {results['planted']}", "bugs planted (nine tenths at least)"),
    ]
    rows += [
        (f"  {name}", str(needed or "-"), results["seen"][name][:70])
        for name, needed in results["seeds_to_find"].items()
    ]
    for story in results.pop("stories"):
        print(story)
    report("simulator", options, results, rows, ("ray",))
    if results["violations"] or 10 * results["planted_found"] < 9 * results["planted"]:
        sys.exit(1)


def main() -> None:
    """Replay one seed, or measure."""
    chosen = read_replay(sys.argv[1:])
    if chosen is not None:
        replay(*chosen)
    else:
        run(read_options("simulator", "Simulate fleets under faults; --seed N --steps M replays one."))


if __name__ == "__main__":
    main()
