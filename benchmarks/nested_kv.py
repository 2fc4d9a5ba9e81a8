"""Nested key-value, the MemGPT paper's task that no window solves: chains of look-ups through archival memory.

Every task has an agent of its own, with 140 pairs of ids in its archive and a context that holds a sixth of them.  A
scripted mind follows the chain by the agent's own searches: what is measured is whether memory gives it what it asks
for.  h hops take h + 2 searches: h + 1 look-ups and one that shows that the chain has ended.  Searches are hybrid; the
first record is put once more with searches by substring, as in the paper.

``--data`` is the folder of the released files (records and orderings); without it, tasks of the same shape are made
from the seed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from benchmarks._report import Options, read_options, report
from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.nested_kv import HOPS_MAX, NestedKv, load_tasks, made_up
from pagefault.cluster.worlds.nested_kv_exam import template_for
from pagefault.cluster.worlds.playing import NoProgress
from pagefault.runtime.host.local import Local

PAIRS = 140
ORDERINGS = 30
RECORDS = 3
CONTEXT = {"context_tokens": 8192, "policy": "lru"}


async def solve(options: Options, search: str, records: int) -> Report:
    """Put every task to an agent of its own, which searches in this way."""
    orderings = 3 if options.quick else ORDERINGS
    if options.data is None:
        tasks = made_up(records, PAIRS, orderings, options.seed)
    else:
        tasks = load_tasks(options.data, records, orderings)
    world = NestedKv(tasks)
    with tempfile.TemporaryDirectory(prefix="pagefault-kv-") as folder:
        async with Local(folder, durability="async") as fleet:
            refs = await fleet.spawn_many(world.agents({**template_for(search), **CONTEXT}))
            return await world.run(fleet, refs, NoProgress())


def is_solved(found: Report) -> bool:
    """Whether every chain was followed to its end with exactly the searches that it needs."""
    solved, exact = found.results["by_hops"], found.results["exact_searches"]
    return len(solved) > HOPS_MAX and {*solved.values(), *exact.values()} == {1.0}


def main() -> None:
    """Measure and print the table; ends with status 1 if a task was not solved with exactly h + 2 searches."""
    options = read_options(
        "nested_kv",
        "Chains of look-ups through archival memory.",
        data_welcome="the folder of the released files",
        data_is_folder=True,
    )
    found = asyncio.run(solve(options, "hybrid", 2 if options.quick else RECORDS))
    by_text = asyncio.run(solve(options, "substring", 1))
    rows = [(row.name, row.value, row.meaning) for row in found.rows]
    shares = by_text.results["by_hops"]
    rows.append(("by substring", f"{min(shares.values()):.1%}", f"of {by_text.results['tasks']}, the worst hops"))
    substring = {name: by_text.results[name] for name in ("tasks", "by_hops", "searches", "exact_searches")}
    report("nested_kv", options, {**found.results, "substring": substring}, rows, ("qdrant-edge-py", "wordllama"))
    if not (is_solved(found) and is_solved(by_text)):
        sys.exit(1)


if __name__ == "__main__":
    main()
