"""What a world is to the command line: a plan that runs on a fleet and ends in a report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef, Fleet
from pagefault.runtime.host.records import Answer, Inspection
from pagefault.runtime.values import AgentId, Interrupt

T = TypeVar("T")

FAILED_SHARE_MAX = 0.5
"""More failed chains than this share, and the run as a whole has failed."""


class RunningFleet(Fleet, Protocol):
    """What worlds need of a fleet besides the public methods."""

    @property
    def folder(self) -> Path: ...
    async def answer(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ...) -> Answer: ...
    async def idle(self) -> None: ...


class Progress(Protocol):
    """Where a long run says how far it is."""

    def begin(self, what: str, total: int) -> None: ...
    def advance(self, count: int = 1) -> None: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table at the end: what, how much, and what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went: ``results`` for programs, ``rows`` for people; ``failed`` says why, if it did."""

    title: str
    results: Mapping[str, Any]
    rows: Sequence[Row]
    failed: str = ""


def with_tiers(report: Report, tiers: Mapping[str, Mapping[str, int]]) -> Report:
    """The report with what each tier below the contexts did, if there are any but the archive."""
    if not tiers:
        return report
    asked = sum(counts["hits"] for counts in tiers.values())
    rows = [
        Row(f"  from {name}", f"{counts['hits']:,}", f"of {asked:,} pages paged in, {counts['tokens_up']:,} tokens")
        for name, counts in tiers.items()
    ]
    return replace(report, results={**report.results, "tiers": tiers}, rows=[*report.rows, *rows])


@dataclass(slots=True)
class Totals:
    """Counters of many agents added up."""

    counters: dict[str, int] = field(default_factory=dict)
    context_tokens_max: int = 0
    context_budget: int = 0

    def add(self, inspection: Inspection) -> None:
        for name, value in inspection.statistics.items():
            self.counters[name] = self.counters.get(name, 0) + value
        self.context_tokens_max = max(self.context_tokens_max, inspection.statistics["context_tokens_max"])
        self.context_budget = max(self.context_budget, inspection.prompt_limit)

    def __getitem__(self, name: str) -> int:
        return self.counters.get(name, 0)

    def results(self, seconds: float) -> dict[str, Any]:
        """What every run reports of its memory, for programs."""
        names = ("page_faults", "refaults", "evictions", "tokens_paged_in", "tokens_paged_out", "steps", "overflows")
        return {name: self[name] for name in names} | {
            "steps_per_s": round(self["steps"] / seconds, 1),
            "seconds": round(seconds, 2),
            "context_tokens_max": self.context_tokens_max,
            "context_budget": self.context_budget,
        }

    def rows(self, seconds: float) -> list[Row]:
        """The same for people."""
        return [
            Row("page faults", f"{self['page_faults']:,}", "pages that were needed and not in the context"),
            Row("evictions", f"{self['evictions']:,}", "pages that left a context to make room"),
            Row("tokens paged in / out", f"{self['tokens_paged_in']:,} / {self['tokens_paged_out']:,}", ""),
            Row(
                "largest context",
                f"{self.context_tokens_max:,} of {self.context_budget:,}",
                "tokens sent at once; never over",
            ),
            Row("steps", f"{self['steps']:,}", f"{self['steps'] / seconds:,.0f} a second, {seconds:.1f} s in all"),
        ]


@dataclass(slots=True)
class Outcomes:
    """How the chains of a run ended; the words of the first failure are kept."""

    chains: int = 0
    failed: int = 0
    first: str = ""

    async def answer(self, fleet: RunningFleet, agent: AgentId, event: Interrupt) -> Answer:
        """Have an agent handle an event.  A chain that fails, or takes too long, is counted and does not raise."""
        try:
            answer = await fleet.answer(agent, event)
        except TimeoutError:
            answer = Answer("", "timeout", 0, "no answer in time")
        self.chains += 1
        if answer.outcome not in GOOD_OUTCOMES:
            self.failed += 1
            self.first = self.first or f"{agent}: {answer.outcome}: {answer.message}"
        return answer

    def problem(self, totals: Totals) -> str:
        """Why the run has failed, if it has."""
        if totals["overflows"]:
            return f"the context was over its budget {totals['overflows']} times"
        if self.failed > FAILED_SHARE_MAX * self.chains:
            return f"{self.failed:,} of {self.chains:,} chains failed; the first: {self.first}"
        return ""


GOOD_OUTCOMES = ("yielded", "duplicate")
"""A duplicate was handled before, by the run that this one goes on from."""


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order.  The first error ends the rest, and is raised when all of it has ended."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class World(Protocol):
    """One kind of run.  ``agents`` makes the population from the file's agent table; ``run`` lives it."""

    name: str

    def agents(self, template: Mapping[str, Any]) -> list[Agent]: ...
    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report: ...


@runtime_checkable
class BringsFunctions(Protocol):
    """A world whose agents call functions of its own, which the fleet has to be given when it begins."""

    @property
    def functions(self) -> Sequence[Callable[..., Any]]: ...


def functions_of(world: World) -> Sequence[Callable[..., Any]]:
    """The functions that a world brings along, if it does."""
    return world.functions if isinstance(world, BringsFunctions) else ()
