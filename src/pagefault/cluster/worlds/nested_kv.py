"""Nested key-value: chains of look-ups that no window holds (MemGPT, Packer et al. 2023, section 3.2.2).

A record has many pairs of ids; an *ordering* of L of them links them: the value of each is the key of the next.
Whoever is asked for the value of the first key has to look it up, see that the value is a key again, look that up, and
so on: h = L - 1 hops take h + 1 look-ups, and one more to verify that the last value is no key.

As in the released task the pairs are archival memory (``Key-value pair: key = …, value = …``).  Here each agent files
them itself, since they come to it as observations, a batch at a time.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pagefault.cluster.worlds.contract import Outcomes, Progress, Report, Row, RunningFleet, Totals, together
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

HOPS_MAX = 5
BATCH = 14
"""Pairs that are shown at a time; a reply may not call more functions than that."""
AT_ONCE = 16
PAIR = "Key-value pair: key = {}, value = {}"
QUESTION = "What is the value of key {}? If that value is itself a key, go on to its value, to the end of the chain."

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One question: the pairs as they are stored, the key that is asked for, and the value at the end of its chain."""

    name: str
    hops: int
    pairs: Pairs
    key: str
    answer: str


def link(pairs: Pairs, ordering: Sequence[int]) -> Pairs:
    """The pairs with the values of an ordering's keys replaced by the next one's key, all but the last.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for a place that no pair has, or that is named twice.
    """
    if len(set(ordering)) != len(ordering) or not all(0 <= place < len(pairs) for place in ordering):
        raise ConfigError("orderings", list(ordering), f"different places from 0 to {len(pairs) - 1}")
    linked = list(pairs)
    for place, following in itertools.pairwise(ordering):
        linked[place] = (pairs[place][0], pairs[following][0])
    return tuple(linked)


def make_tasks(records: Sequence[Pairs], orderings: Mapping[int, Sequence[Sequence[int]]]) -> list[Task]:
    """A task for each record, number of hops and ordering; ``orderings`` has lists of hops + 1 places by hops."""
    return [
        Task(f"kv-{number}-{hops}-{which}", hops, linked, linked[ordering[0]][0], linked[ordering[-1]][1])
        for number, pairs in enumerate(records)
        for hops, chosen in sorted(orderings.items())
        for which, ordering in enumerate(chosen)
        for linked in [link(pairs, ordering)]
    ]


def made_up(records: int, pairs: int, orderings: int, seed: int) -> list[Task]:
    """Tasks of the same shape from a seed, where the released files are not at hand."""
    chance = random.Random(seed)  # noqa: S311 - a seeded task, not a secret

    def identity() -> str:
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))

    made = [tuple((identity(), identity()) for _ in range(pairs)) for _ in range(records)]
    chosen = {hops: [chance.sample(range(pairs), hops + 1) for _ in range(orderings)] for hops in range(HOPS_MAX + 1)}
    return make_tasks(made, chosen)


def load_tasks(folder: Path, records: int, orderings: int) -> list[Task]:
    """Tasks from the released files: ``kv*.jsonl.gz`` (a record a line) and ``orderings*.json``.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for a folder that does not have them, or fewer.
    """
    kv, order = sorted(folder.glob("kv*.jsonl*")), sorted(folder.glob("orderings*.json"))
    if not kv or not order:
        raise ConfigError("--data", str(folder), "a folder with kv*.jsonl.gz and orderings*.json")
    try:
        with gzip.open(kv[0], "rt") if kv[0].suffix == ".gz" else kv[0].open() as file:
            lines = [json.loads(line) for _, line in zip(range(records), file, strict=False)]
        found: list[Pairs] = [
            tuple((str(key), str(value)) for key, value in line["ordered_kv_records"]) for line in lines
        ]
        lists: list[list[list[int]]] = list(json.loads(order[0].read_bytes()).values())
        chosen = {len(each[0]) - 1: each[:orderings] for each in lists if each}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError("--data", str(folder), f"files of the nested key-value task: {error!r}") from error
    if len(found) < records or any(len(each) < orderings for each in chosen.values()):
        allowed = f"{records} records, and {orderings} orderings of each length"
        raise ConfigError("--data", f"{len(found)} records", allowed)
    return make_tasks(found, chosen)


class NestedKv:
    """Puts every task to an agent of its own."""

    name = "nested_kv"

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = tuple(tasks)
        if not self.tasks:
            raise ConfigError("nested_kv.tasks", 0, "1 or more")

    def agents(self, template: Mapping[str, Any]) -> list[Agent]:
        """One agent a task, all made alike but for the name."""
        return [Agent(**{**template, "name": task.name}) for task in self.tasks]

    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report:
        """Have all pairs filed, then put the questions, and count the searches that each took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        progress.begin("nested key-value", len(self.tasks))
        outcomes = Outcomes()
        gate = asyncio.Semaphore(AT_ONCE)

        async def put(task: Task) -> tuple[str, int]:
            async with gate:
                for first in range(0, len(task.pairs), BATCH):
                    shown = "\n".join(PAIR.format(*pair) for pair in task.pairs[first : first + BATCH])
                    event = _event(f"{task.name}-pairs-{first}", InterruptKind.OBSERVATION, shown)
                    await outcomes.answer(fleet, AgentId(task.name), event)
                event = _event(f"{task.name}-question", InterruptKind.MESSAGE, QUESTION.format(task.key))
                answer = await outcomes.answer(fleet, AgentId(task.name), event)
            progress.advance()
            return answer.text, answer.steps - 1  # every step but the last, which answers, is one search

        answers = await together(put(task) for task in self.tasks)
        totals = Totals()
        for ref in refs:
            totals.add(await ref.inspect())
        return self._report(answers, outcomes, totals, loop.time() - began)

    def _report(self, answers: Sequence[tuple[str, int]], outcomes: Outcomes, totals: Totals, seconds: float) -> Report:
        asked: Counter[int] = Counter()
        solved: Counter[int] = Counter()
        exact: Counter[int] = Counter()
        searched: Counter[int] = Counter()
        for task, (text, searches) in zip(self.tasks, answers, strict=True):
            asked[task.hops] += 1
            solved[task.hops] += task.answer in text
            exact[task.hops] += searches == task.hops + 2
            searched[task.hops] += searches
        by_hops = {str(hops): round(solved[hops] / asked[hops], 4) for hops in sorted(asked)}
        results = {
            "tasks": len(self.tasks),
            "by_hops": by_hops,
            "searches": {str(hops): round(searched[hops] / asked[hops], 3) for hops in sorted(asked)},
            "exact_searches": {str(hops): round(exact[hops] / asked[hops], 4) for hops in sorted(asked)},
            **totals.results(seconds),
            "failed_chains": outcomes.failed,
        }
        rows = [
            Row(
                f"{hops} hops",
                f"{solved[hops] / asked[hops]:.1%}",
                f"of {asked[hops]} solved; {searched[hops] / asked[hops]:.2f} searches each, {hops + 2} are needed",
            )
            for hops in sorted(asked)
        ]
        return Report("Nested key-value", results, [*rows, *totals.rows(seconds)], outcomes.problem(totals))


def _event(key: str, kind: InterruptKind, text: str) -> Interrupt:
    priority = Priority.USER if kind is InterruptKind.MESSAGE else Priority.WORLD
    return Interrupt(InterruptId(key), kind, priority, "examiner", text, created_ms=1_700_000_000_000)
