"""Who keeps what is needed?  All eviction policies beside the exact optimum, on conversations and tool calls.

``--data`` is a folder with conversations of LoCoMo, trajectories of tau-bench, or both; files are recognised by
what is in them.  Every policy plays every trace with the parameters that it ships with, and is told nothing of
which trace it is.

The optimum is not only worked out but played: its schedule goes through the lab as a policy, which must have the
very hits that were promised, and gives the optimum's cost.  Intervals draw whole conversations or episodes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._families import Family, Holds, Run, families, sorted_files
from benchmarks._report import Options, read_options, report
from pagefault.policies.lab.bounds import intervals_of
from pagefault.policies.lab.measures import Measures, bootstrap, gap_closed, measure, pooled
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.sweep import uses_of
from pagefault.policies.lab.trace import Integers, TraceError
from pagefault.policies.offline.belady import Belady, BeladySize
from pagefault.policies.offline.exact import Objective, optimum
from pagefault.policies.offline.schedule import Scheduled
from pagefault.policies.registry import make_policy, policy_names

OURS = "foresight"
OPTIMUM = "optimum"
OFFLINE = ("belady", "belady_size", OPTIMUM)
SEEDS = 5
"""Placements of spread questions; one of them with ``--quick``."""
SYNTHETIC_SEEDS, SYNTHETIC_SEEDS_QUICK = 10, 1
DATA_NEEDED = "a folder with conversations of LoCoMo (*.json), trajectories of tau-bench (*.json, *.json.gz), or both"
AIMS: Mapping[str, float] = {"locomo_spread": 0.25, "locomo_end": 0.15, "tau_bench": 0.60}
"""Of ``gap_closed``, on data that no weight was fitted on."""
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Played:
    """What all policies, and the optimum, made of one trace; ``best_tokens`` is the most tokens that can be hit."""

    unit: str
    results: Mapping[str, Measures]
    best_tokens: float
    exact: bool


def play(run: Run) -> Played:
    """Every policy and the optimum on one trace.  Raises ``PolicyBreach`` for a policy that breaks its contract."""
    trace, budget = run.trace, run.budget
    given, uses = intervals_of(trace, budget), uses_of(trace)
    best = optimum(given, objective=Objective.OBJECTS)
    # Where all pages are of one size, the most objects are the most tokens.
    are_alike = len(np.unique(trace.tokens)) == 1
    best_tokens = best if are_alike else optimum(given, objective=Objective.TOKENS)
    policies = {name: make_policy(name) for name in policy_names()}
    policies |= {
        "belady": Belady(uses=uses),
        "belady_size": BeladySize(uses=uses),
        OPTIMUM: Scheduled(uses=uses, kept=given.end[best.kept > 0.5].tolist()),
    }
    results = {name: measure(replay(trace, policy, budget)) for name, policy in policies.items()}
    hits = results[OPTIMUM].hits
    # A schedule that is not proven the best may be bettered by luck, never missed.
    assert hits >= best.hits if not best.exact else hits == best.hits, f"{run.unit}: {hits} hits of {best.hits}"
    return Played(run.unit, results, best_tokens.hit_tokens, best.exact and best_tokens.exact)


def totals(played: Sequence[Played]) -> dict[str, Measures]:
    """Of every policy, pooled over all traces."""
    return {name: pooled([each.results[name] for each in played]) for name in played[0].results}


def leaderboard(sums: Mapping[str, Measures], best_tokens: float) -> dict[str, dict[str, float]]:
    """A row for each policy: the optimum, then the best first.

    ``cost`` is input tokens a model call, by the prices of a provider that caches prefixes.  The optimum's
    tokens are those of the optimum of tokens, its cost is that of the optimum of objects.
    """
    best = sums[OPTIMUM]
    most_tokens = best_tokens / best.reference_tokens if best.reference_tokens else 1.0
    order = sorted(sums, key=lambda name: (name != OPTIMUM, -sums[name].object_hit_ratio, name))
    return {
        name: {
            "object_hit": round(sums[name].object_hit_ratio, DIGITS),
            "token_hit": round(most_tokens if name == OPTIMUM else sums[name].token_hit_ratio, DIGITS),
            "regret": round(max(0.0, best.object_hit_ratio - sums[name].object_hit_ratio), DIGITS),
            "cost": round(sums[name].cost_per_call, 1),
        }
        for name in order
    }


def best_known(sums: Mapping[str, Measures]) -> str:
    """The best of the policies that do not know the future and are not ours; of equals the first by name."""
    known = sorted(name for name in sums if name not in (OURS, *OFFLINE))
    return max(known, key=lambda name: sums[name].object_hit_ratio)


def intervals(played: Sequence[Played], known: str) -> dict[str, list[float]]:
    """Ends of the 95 % intervals of ours, the best known and the gap closed; none for a single unit."""
    hits = {name: _by_unit(played, lambda of: of.hits, name) for name in (OURS, known, OPTIMUM)}
    references = _by_unit(played, lambda of: of.references, OURS)
    if len(references) < 2:
        return {}
    gained, gap = hits[OURS] - hits[known], hits[OPTIMUM] - hits[known]
    found = {
        OURS: bootstrap(hits[OURS].tolist(), references.tolist()),
        known: bootstrap(hits[known].tolist(), references.tolist()),
        "gap_closed": bootstrap(gained.tolist(), gap.tolist()),
    }
    return {name: [round(each.low, DIGITS), round(each.high, DIGITS)] for name, each in found.items()}


def _by_unit(played: Sequence[Played], count: Callable[[Measures], int], policy: str) -> Integers:
    """Counts of one policy, summed over the runs of each conversation or episode."""
    sums: dict[str, int] = {}
    for each in played:
        sums[each.unit] = sums.get(each.unit, 0) + count(each.results[policy])
    return np.array(list(sums.values()), dtype=np.int64)


def compared(played: Sequence[Played]) -> dict[str, Any]:
    """What is reported of one family: its part of each of the keys of the JSON object."""
    sums = totals(played)
    known = best_known(sums)
    ratios = [sums[name].object_hit_ratio for name in (OURS, known, OPTIMUM)]
    return {
        "leaderboard": leaderboard(sums, sum(each.best_tokens for each in played)),
        "best_known": known,
        "ours": {"policy": OURS, "gap_closed": round(gap_closed(*ratios), DIGITS)},
        "intervals": intervals(played, known),
        "units": len({each.unit for each in played}),
        "exact": all(each.exact for each in played),
    }


def found_in(options: Options) -> tuple[list[Family], dict[str, str]]:
    """The families, and what each file holds.  Raises ``SystemExit`` where there is nothing, or a file is broken."""
    assert options.data is not None  # read_options demands it
    files = sorted_files(options.data)
    if not {Holds.LOCOMO, Holds.TAU_BENCH} & set(files.values()):
        found = f"found {str(options.data)!r} with {len(files)} files of other kinds"
        raise SystemExit(f"--data: {found}, allowed: {DATA_NEEDED}")
    placements, synthetic = (1, SYNTHETIC_SEEDS_QUICK) if options.quick else (SEEDS, SYNTHETIC_SEEDS)
    try:
        made = families(
            files,
            seeds=range(options.seed, options.seed + placements),
            synthetic_seeds=range(options.seed, options.seed + synthetic),
        )
    except TraceError as problem:
        raise SystemExit(f"--data: {problem}") from problem
    return made, {path.relative_to(options.data).as_posix(): holds.value for path, holds in files.items()}


def run(found: Sequence[Family]) -> dict[str, Any]:
    """Play all families, over all processors.  Key, then family, as the JSON object has it."""
    runs = [run for family in found for run in family.runs]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        played = processes.map(play, runs)
        by_family = {family.name: compared([next(played) for _ in family.runs]) for family in found}
    keys = ("leaderboard", "best_known", "ours", "intervals", "units", "exact")
    return {key: {name: row[key] for name, row in by_family.items()} for key in keys}


def print_leaderboard(family: Family, board: Mapping[str, Mapping[str, float]]) -> None:
    """One family as a table."""
    table = Table(title=f"{family.name}: {family.what}", title_justify="left")
    table.add_column("policy")
    for column in ("object hit", "token hit", "regret", "cost a call"):
        table.add_column(column, justify="right")
    for name, row in board.items():
        style = "bold" if name == OURS else "dim" if name in OFFLINE else ""
        figures = (f"{row[key]:.3f}" for key in ("object_hit", "token_hit", "regret"))
        table.add_row(name, *figures, f"{row['cost']:,.1f}", style=style)
    Console(width=120).print(table)


def summary(family: Family, results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """One family's rows of the table at the end."""
    name = family.name
    board, known, ends = (results[key][name] for key in ("leaderboard", "best_known", "intervals"))
    pooled_over = f"over {results['units'][name]} {family.units}"
    aim = f"aim, on unseen data: {AIMS[name]:.2f}" if name in AIMS else "for information"
    return [
        (name, f"{board[OURS]['object_hit']:.3f}", f"object hit ratio of {OURS}, {pooled_over}{_within(ends, OURS)}"),
        (name, f"{board[known]['object_hit']:.3f}", f"of {known}, the best known{_within(ends, known)}"),
        (name, f"{board[OPTIMUM]['object_hit']:.3f}", "of the optimum"),
        (
            name,
            f"{results['ours'][name]['gap_closed']:.3f}",
            f"of the gap between them is closed by {OURS}{_within(ends, 'gap_closed')}; {aim}",
        ),
    ]


def _within(ends: Mapping[str, Sequence[float]], name: str) -> str:
    return f" (95 %: {ends[name][0]:.3f} to {ends[name][1]:.3f})" if name in ends else ""


def main() -> None:
    """Run, print the leaderboards, the table and the JSON object."""
    description = (__doc__ or "").partition("\n")[0]
    options = read_options("policies", description, data_needed=DATA_NEEDED, data_is_folder=True)
    found, files = found_in(options)
    results = {**run(found), "files": files}
    for family in found:
        print_leaderboard(family, results["leaderboard"][family.name])
    rows = [row for family in found for row in summary(family, results)]
    others = [name for name, holds in files.items() if holds == Holds.OTHER]
    if others:
        rows.append(("passed over", str(len(others)), "files that hold something else: " + ", ".join(others)))
    report("policies", options, results, rows, ["numpy", "scipy"])


if __name__ == "__main__":
    main()
