"""An agent: the one door for events, snapshots, and the context as bytes."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, astuple, fields
from typing import Any

from pagefault.policies.consolidation.off import Off
from pagefault.policies.contract import Consolidation, EvictionPolicy, FetchPolicy, ImportanceScorer, WriteBack
from pagefault.policies.scorers.claimed import Claimed
from pagefault.runtime.errors import ConfigError, InvalidTransition, StoreCorrupt
from pagefault.runtime.kernel.effects import AnyEffect, DemotePages
from pagefault.runtime.kernel.events import Event
from pagefault.runtime.kernel.filed import Filed
from pagefault.runtime.kernel.functions import Block, FunctionTable, TokenCounter
from pagefault.runtime.kernel.guard import GuardedEviction
from pagefault.runtime.kernel.handlers import subject
from pagefault.runtime.kernel.pages import Entry, from_row, row
from pagefault.runtime.kernel.phases import TABLE
from pagefault.runtime.kernel.settings import AgentDefinition, validate
from pagefault.runtime.kernel.state import AgentData, Chain, FlushJob, Outstanding, Phase, Timer
from pagefault.runtime.kernel.statistics import Statistics
from pagefault.runtime.values import Fidelity, InterruptId, Message, PageId

SNAPSHOT_VERSION = 1
SNAPSHOT_TYPES: tuple[type[Any], ...] = (Entry, Chain, Outstanding, FlushJob, Statistics, Timer, Block)
"""Dataclasses that a snapshot holds besides those of values.py and plain JSON values."""


class AgentState(AgentData):
    """One agent as a pure state machine.

    Feed it events with :meth:`handle`; record each event; perform the effects.  Between events it can be
    saved with :meth:`dump` and brought back with :meth:`load`.
    """

    def __init__(
        self,
        definition: AgentDefinition,
        counter: TokenCounter,
        functions: FunctionTable,
        *,
        eviction: EvictionPolicy,
        write_back: WriteBack,
        fetch: FetchPolicy,
        scorer: ImportanceScorer | None = None,
        consolidation: Consolidation | None = None,
    ) -> None:
        """Make an agent that has not lived.

        Raises :class:`~pagefault.runtime.errors.ConfigError` for a setting that cannot work and
        :class:`~pagefault.runtime.errors.ContextTooSmall` when the fixed parts leave no room.
        """
        validate(definition)
        super().__init__(
            definition,
            counter,
            functions,
            eviction=GuardedEviction(eviction),
            write_back=write_back,
            fetch=fetch,
            scorer=scorer or Claimed(),
            consolidation=consolidation or Off(),
        )
        for name in definition.exports:
            if functions.get(name) is None:
                given = ", ".join(schema.name for schema in functions.schemas()) or "nothing: it has no functions"
                raise ConfigError("exports", name, f"names of the agent's own functions: {given}")

    def handle(self, event: Event) -> list[AnyEffect]:
        """Take one event and return what it brings about, in order.

        After calling this you must record the event, then perform the effects: those with ``gated`` only
        when the record is durable.  If recording fails, throw this object away and load the agent again.
        Raises :class:`~pagefault.runtime.errors.InvalidTransition` for an event that cannot be.
        """
        handler = TABLE[self.phase].get(type(event))
        if handler is None:
            raise InvalidTransition(
                f"{self.definition.id}: {type(event).__name__} cannot be handled while {self.phase.value}; "
                f"story:\n{self.story}"
            )
        self.out = []
        self.now_ms = event.at_ms
        before = self.phase.value
        handler(self, event)
        if self.demoted:
            self.out.append(DemotePages(self.cause, tuple(self.demoted)))
            self.demoted = []
        self.story.add(event.at_ms, before, type(event).__name__, subject(event), self.phase.value)
        effects, self.out = self.out, []
        return effects

    # --- looking in

    def context_bytes(self) -> bytes:
        """What would be sent now, as canonical JSON: equal bytes mean the same context."""
        assembled = self.context.assemble()
        messages = [_plain(message) for message in assembled.messages]
        return json.dumps(messages, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )

    def digest(self) -> str:
        """SHA-256 of :meth:`context_bytes`."""
        return hashlib.sha256(self.context_bytes()).hexdigest()

    def explain(self, page_id: PageId) -> str:
        """Why a page is where it is, in one line."""
        shown = self.context.entries.get(page_id)
        if shown is None:
            return f"{page_id} is not in the context" + (": it was evicted" if page_id in self.evicted else "")
        if shown.page.fidelity is not Fidelity.FULL:
            return f"{page_id} was evicted and left a handle"
        if page_id in self.pinned:
            return f"{page_id} is pinned"
        return self.eviction.explain(page_id, self.turn)

    # --- snapshots

    def dump(self) -> dict[str, Any]:
        """The whole state as dicts, lists, plain values and dataclasses of :data:`SNAPSHOT_TYPES`."""
        return {
            "version": SNAPSHOT_VERSION,
            "phase": self.phase.value,
            "chain": self.chain,
            "suspended": list(self.suspended),
            "parked": [[key, chain] for key, chain in self.parked.items()],
            "outstanding": self.outstanding,
            "flush": self.flush,
            "pinned": sorted(self.pinned),
            "statistics": asdict(self.statistics),
            "warned": self.warned,
            "epoch": self.epoch,
            "now_ms": self.now_ms,
            "paused_until_ms": self.paused_until_ms,
            "timers": [[key, timer] for key, timer in self.timers.items()],
            "filed": list(astuple(self.filed)),
            "seen": list(self.seen),
            "steps_at_snapshot": self.steps_at_snapshot,
            "ordinal": self.ordinal,
            "calls_made": self.calls_made,
            "remembered": [[key, page_id] for key, page_id in self.remembered.items()],
            "evicted": list(self.evicted),
            "rating": list(self.rating),
            "mailbox": self.mailbox.dump(),
            "entries": [row(shown) for shown in self.context.entries.values()],
            "blocks": [
                [block.label, block.text, *([True] if block.untrusted else [])]
                for block in self.context.blocks.values()
            ],
            "summary": [
                self.context.summary,
                self.context.summary_pages,
                *([True] if self.context.summary_untrusted else []),
            ],
            "correction_permille": self.context.correction_permille,
            "eviction": self.eviction.dump(),
            "story": [list(line) for line in self.story.lines()],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take on a state that :meth:`dump` gave; this object must be fresh.

        Raises :class:`~pagefault.runtime.errors.StoreCorrupt` when the state is not such a one.
        """
        if state.get("version") != SNAPSHOT_VERSION:
            raise StoreCorrupt(f"snapshot version: found {state.get('version')!r}, allowed: {SNAPSHOT_VERSION}")
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise StoreCorrupt(
                f"snapshot of {self.definition.id} cannot be read: {type(error).__name__}: {error}"
            ) from error

    def _load(self, state: Mapping[str, Any]) -> None:
        self.phase = Phase(state["phase"])
        self.chain = state["chain"]
        self.suspended = list(state["suspended"])
        self.parked = {InterruptId(key): chain for key, chain in state["parked"]}
        self.outstanding = state["outstanding"]
        self.flush = state["flush"]
        known = {field.name for field in fields(Statistics)}
        self.statistics = Statistics(**{key: int(value) for key, value in state["statistics"].items() if key in known})
        for name in ("warned", "epoch", "now_ms", "paused_until_ms", "steps_at_snapshot", "ordinal", "calls_made"):
            setattr(self, name, state[name])
        self.seen = dict.fromkeys(str(each) for each in state.get("seen", ()))
        self.filed = Filed(*state.get("filed", ()))
        self.timers = {str(key): timer for key, timer in state["timers"]}
        self.remembered = OrderedDict((InterruptId(key), PageId(page_id)) for key, page_id in state["remembered"])
        self.evicted = OrderedDict.fromkeys(PageId(key) for key in state["evicted"])
        self.rating = dict.fromkeys(PageId(key) for key in state.get("rating", ()))
        self.mailbox.load(state["mailbox"])
        self.context.queue.load(from_row(each) for each in state["entries"])
        for label, text, *untrusted in state["blocks"]:
            if label in self.context.blocks and (untrusted or self.context.blocks[label].text != text):
                self.context.set_block(label, text, untrusted=bool(untrusted))
        text, pages, *untrusted = state["summary"]
        self.context.set_summary(text, pages, untrusted=bool(untrusted))
        self.context.correction_permille = int(state["correction_permille"])
        self.eviction.load(state["eviction"])
        self.pinned = {PageId(page_id) for page_id in state["pinned"]}
        self.story.load(state["story"])


def _plain(message: Message) -> dict[str, Any]:
    """``dataclasses.asdict``, spelt out: it takes ten times as long, and whoever looks at a fleet looks at many."""
    return {
        "role": message.role,
        "text": message.text,
        "calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.calls],
        "answers": message.answers,
        "name": message.name,
    }
