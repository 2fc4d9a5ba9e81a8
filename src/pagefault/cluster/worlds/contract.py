"""What a world is to the command line: a plan that runs on a fleet and ends in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef, Fleet
from pagefault.runtime.host.records import Answer, Inspection
from pagefault.runtime.values import AgentId, Interrupt


class RunningFleet(Fleet, Protocol):
    """What worlds need of a fleet besides the public methods."""

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


class World(Protocol):
    """One kind of run.  ``agents`` makes the population from the file's agent table; ``run`` lives it."""

    name: str

    def agents(self, template: Mapping[str, Any]) -> list[Agent]: ...
    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report: ...
