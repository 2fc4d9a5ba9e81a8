"""What the journals of a fleet say happened, compared with what its senders were promised."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.records import decode_definition, decode_event
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import ChainEnded, StorePages
from pagefault.runtime.kernel.events import Event, InterruptArrived, Recovered
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId, PageKind


@dataclass(slots=True)
class Audit:
    """Broken promises, each with an example in words."""

    lost: int = 0
    duplicated: int = 0
    stale_commits: int = 0
    replay_divergences: int = 0
    records: int = 0
    examples: list[str] = field(default_factory=list)

    def found(self, what: str, example: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        if len(self.examples) < 10:
            self.examples.append(f"{what}: {example}")


def audit(folder: Path, acked: Mapping[str, str]) -> Audit:
    """Live every agent's past again.  ``acked`` are the interrupts that were acknowledged, with their agents.

    ``lost``: an acknowledged interrupt never arrived, or its chain never ended.  ``duplicated``: one had more than
    one chain, or became more than one page.  ``stale_commits``: records of an activation after those of a newer one.
    ``replay_divergences``: the last snapshot and the records after it give another context than all records do.
    """
    result = Audit()
    workshop = Workshop(Registry(), BpeTokenCounter(), make_processor)
    expected: dict[str, set[str]] = {}
    for key, agent in acked.items():
        expected.setdefault(agent, set()).add(key)
    for file in sorted(folder.glob("shards/*/journal.sqlite")):
        journal = SqliteJournal(file)
        try:
            for agent in journal.agents():
                _audit_one(result, workshop, journal, agent, expected.pop(agent, set()))
        finally:
            journal.close()
    for agent, keys in expected.items():
        result.found("lost", f"{agent} is in no journal, {len(keys)} interrupts with it")
    return result


@dataclass(slots=True)
class Life:
    """One agent's journal, lived again."""

    state: AgentState
    arrived: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    epochs: list[int] = field(default_factory=list)
    records: int = 0

    def live(self, event: Event) -> None:
        """Handle one event, and note what it brought about."""
        self.records += 1
        if isinstance(event, InterruptArrived):
            self.arrived.add(event.interrupt.id)
        if isinstance(event, Recovered):
            self.epochs.append(event.epoch)
        for effect in self.state.handle(event):
            if isinstance(effect, ChainEnded):
                self.ended[effect.cause] += 1
            elif isinstance(effect, StorePages):
                self.pages.update(page.cause for page in effect.pages if page.kind is PageKind.MESSAGE)


def _audit_one(result: Audit, workshop: Workshop, journal: SqliteJournal, agent: AgentId, expected: set[str]) -> None:
    life = Life(workshop.make(decode_definition(agent, journal.definition(agent))))
    for _, data in journal.records(agent):
        life.live(decode_event(agent, data))
    result.records += life.records
    for older, newer in itertools.pairwise(life.epochs):
        if newer <= older:
            result.found("stale_commits", f"{agent}: epoch {newer} after {older}")
    for key in sorted(expected):
        if key not in life.arrived or not life.ended[key]:
            result.found("lost", f"{agent}/{key} {'was never handled' if key in life.arrived else 'never arrived'}")
    for key, count in (life.ended | life.pages).items():
        if count > 1:
            result.found("duplicated", f"{agent}/{key}: {life.ended[key]} chains, {life.pages[key]} pages")
    if workshop.revive(journal.activate(agent)).state.digest() != life.state.digest():
        result.found("replay_divergences", agent)
