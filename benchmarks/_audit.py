"""What the journals of a fleet say happened, compared with what its senders were promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.records import decode_definition, decode_event
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.effects import ChainEnded, StorePages
from pagefault.runtime.kernel.events import InterruptArrived, Recovered
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


def _audit_one(result: Audit, workshop: Workshop, journal: SqliteJournal, agent: AgentId, expected: set[str]) -> None:
    state = workshop.make(decode_definition(agent, journal.definition(agent)))
    arrived: set[str] = set()
    ended: Counter[str] = Counter()
    pages: Counter[str] = Counter()
    epoch = 0
    for seq, data in journal.records(agent):
        event = decode_event(agent, data)
        result.records += 1
        if isinstance(event, InterruptArrived):
            arrived.add(event.interrupt.id)
        if isinstance(event, Recovered):
            if event.epoch <= epoch:
                result.found("stale_commits", f"{agent}, record {seq}: epoch {event.epoch} after {epoch}")
            epoch = event.epoch
        for effect in state.handle(event):
            if isinstance(effect, ChainEnded):
                ended[effect.cause] += 1
            elif isinstance(effect, StorePages):
                pages.update(page.cause for page in effect.pages if page.kind is PageKind.MESSAGE)
    for key in sorted(expected - arrived):
        result.found("lost", f"{agent}/{key} never arrived")
    for key in sorted(expected & arrived - ended.keys()):
        result.found("lost", f"{agent}/{key} was never handled")
    for key, count in (ended | pages).items():
        if count > 1:
            result.found("duplicated", f"{agent}/{key}: {ended[key]} chains, {pages[key]} pages")
    recovered = workshop.revive(journal.activate(agent)).state
    if recovered.digest() != state.digest():
        result.found("replay_divergences", agent)
