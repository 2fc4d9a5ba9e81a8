"""The witness: sees what every journal takes, lives each agent's life along with it, and says which promise broke.

It is told of appends, activations, acknowledgements and runs of functions when they happen, and keeps of each agent
a kernel of its own, fed with the records as they become durable.  So it knows what *must* be true, without asking the
hosts: what they did is held against it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pagefault.runtime.functions.definition import CallContext
from pagefault.runtime.host.records import decode_definition, decode_event
from pagefault.runtime.host.snapshots import encode_snapshot
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import invariants
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.events import InterruptArrived
from pagefault.runtime.store.protocols import Activation, Append, Journal
from pagefault.runtime.values import AgentId, CallId, Interrupt, InterruptId, InterruptKind, PageId, Priority

TIMER_SLACK_MS = 30_000
WITHOUT_CHAIN = frozenset({InterruptKind.REPLY, InterruptKind.CANCEL, InterruptKind.KILL, InterruptKind.MASK})
"""These begin no chain, so none of theirs ends."""
Lane = tuple[AgentId, Priority]


@dataclass(slots=True)
class Life:
    """One agent as its durable records have made it."""

    state: AgentState
    definition: bytes
    checks: list[int] = field(default_factory=list)  # of each record
    epoch: int = 0
    owner: object = None  # who was given that epoch; None if nobody knows
    accepted: dict[InterruptId, int] = field(default_factory=dict)  # with the order of acceptance
    ended: Counter[InterruptId] = field(default_factory=Counter)
    calls: set[CallId] = field(default_factory=set)
    sent: dict[Lane, list[Interrupt]] = field(default_factory=dict)
    stored: dict[PageId, None] = field(default_factory=dict)
    withdrawn: set[InterruptId] = field(default_factory=set)

    def has_heard_of(self, interrupt: InterruptId) -> bool:
        """Whether it was accepted, or need not be any more: its sender has taken it back."""
        return interrupt in self.accepted or interrupt in self.withdrawn

    @property
    def next_seq(self) -> int:
        return len(self.checks) + 1


class Witness:
    """Sees everything.  ``report`` is called with the first promise that is broken, as ``(promise, what)``.

    ``has_page`` says whether the archive has a page of an agent; ``rewinds`` is for journals that a power cut may set
    back: then what happened may have unhappened, and only what still must be true is checked.
    """

    def __init__(
        self,
        workshop: Workshop,
        report: Callable[[str, str], None],
        has_page: Callable[[AgentId, PageId], bool],
        now_ms: Callable[[], int],
        *,
        rewinds: bool = False,
    ) -> None:
        self._workshop = workshop
        self._report = report
        self._has_page = has_page
        self._now_ms = now_ms
        self._rewinds = rewinds
        self._lives: dict[AgentId, Life] = {}
        self.acknowledged: dict[tuple[AgentId, InterruptId], int] = {}
        self.orders: dict[tuple[AgentId, Priority], list[InterruptId]] = {}
        self.runs: Counter[CallId] = Counter()
        self.steps = 0
        self.activations = 0
        self.repeats = 0
        self.refused = 0

    @property
    def agents(self) -> Mapping[AgentId, Life]:
        """All lives."""
        return self._lives

    # --- what is seen

    def registered(self, agent: AgentId, definition: bytes) -> None:
        """An agent was made."""
        if agent not in self._lives:
            self._lives[agent] = Life(self._workshop.make(decode_definition(agent, definition)), definition)

    def activated(self, activation: Activation, owner: object) -> None:
        """Somebody was given the right to run an agent: is what it was given that agent?"""
        life = self._lives[activation.agent]
        self.activations += 1
        if activation.epoch <= life.epoch:
            self._report("P2", f"{activation.agent}: epoch {activation.epoch} was given after {life.epoch}")
        life.epoch, life.owner = activation.epoch, owner
        revived = self._workshop.revive(activation)
        if revived.next_seq != life.next_seq:
            self._report("P1", f"{activation.agent}: revived at {revived.next_seq}, its life is at {life.next_seq}")
        elif encode_snapshot(revived.state.dump()) != encode_snapshot(life.state.dump()):
            self._report("P5", f"{activation.agent}: snapshot {activation.snapshot_seq} and its tail are another life")

    def appended(self, append: Append, owner: object) -> None:
        """A journal took an append."""
        life = self._lives[append.agent]
        if append.records and append.first_seq < life.next_seq:
            checks = [zlib.crc32(record) for record in append.records]
            if life.checks[append.first_seq - 1 : append.first_seq - 1 + len(checks)] != checks:
                self._report("P2", f"{append.agent}: record {append.first_seq} was there, and taken again")
            self.repeats += 1
            return
        if append.first_seq != life.next_seq:
            self._report("P1", f"{append.agent}: took record {append.first_seq}, the next is {life.next_seq}")
            return
        if append.epoch != life.epoch or (life.owner is not None and owner is not life.owner):
            self._report("P2", f"{append.agent}: epoch {append.epoch} of {owner} committed, {life.epoch} is the newest")
        for record in append.records:
            self._live(append.agent, life, record)
        if append.snapshot is not None:
            self._saved(append.agent, life)

    def _live(self, agent: AgentId, life: Life, record: bytes) -> None:
        self.steps += 1
        life.checks.append(zlib.crc32(record))
        event = decode_event(agent, record)
        for effect in life.state.handle(event):
            self._effect(agent, life, effect)
        if isinstance(event, InterruptArrived) and event.interrupt.kind in WITHOUT_CHAIN:
            life.ended.setdefault(event.interrupt.id, 1)
            if event.interrupt.kind is InterruptKind.CANCEL:
                life.withdrawn.add(event.interrupt.target)
        invariants.check(life.state)

    def _effect(self, agent: AgentId, life: Life, effect: fx.AnyEffect) -> None:
        if isinstance(effect, fx.Accept):
            if effect.duplicate:
                return
            if effect.cause in life.accepted:
                self._report("P3", f"{agent} accepted {effect.cause} twice")
            life.accepted[effect.cause] = len(life.accepted)
        elif isinstance(effect, fx.ChainEnded):
            life.ended[effect.cause] += 1
            if life.ended[effect.cause] > 1:
                self._report("P3", f"{agent}: the chain of {effect.cause} ended twice")
        elif isinstance(effect, fx.RunFunction):
            life.calls.add(effect.call_id)
        elif isinstance(effect, fx.Send):
            life.sent.setdefault((effect.to, effect.interrupt.priority), []).append(effect.interrupt)
        elif isinstance(effect, fx.StorePages):
            life.stored.update(dict.fromkeys(page.id for page in effect.pages))
        elif isinstance(effect, fx.ForgetPages):
            for page_id in effect.page_ids:
                life.stored.pop(page_id, None)

    def _saved(self, agent: AgentId, life: Life) -> None:
        """A snapshot stands for all before it: nobody will write those pages again."""
        missing = [page_id for page_id in life.stored if not self._has_page(agent, page_id)]
        if missing:
            self._report("P1", f"{agent}: saved at {life.next_seq - 1}, the archive lacks {', '.join(missing[:5])}")

    def acked(self, agent: AgentId, interrupt: InterruptId) -> None:
        """A sender was told that its interrupt is accepted for good."""
        self.acknowledged[agent, interrupt] = self._now_ms()
        if interrupt not in self._lives[agent].accepted:
            self._report("P1", f"{agent}: {interrupt} was acknowledged, and is in no journal")

    def ran(self, context: CallContext, *, once: bool) -> None:
        """A function runs."""
        self.runs[context.call_id] += 1
        if context.call_id not in self._lives[context.agent].calls:
            self._report("P4", f"{context.agent}: {context.call_id} runs before its call is in the journal")
        if once and self.runs[context.call_id] > 1:
            self._report("P4", f"{context.agent}: {context.call_id} may run once, and ran again")

    # --- a journal was opened again

    def reopened(self, journal: Journal, agents: Iterable[AgentId], lost_from_ms: int | None) -> None:
        """Hold what a journal has of these agents against what it took.  ``lost_from_ms``: it may lack what it took
        since then."""
        there = set(journal.agents())
        for agent in agents:
            if agent not in there:
                self._report("P1", f"{agent}: registered, and gone from the journal")
            else:
                self._compare(journal, agent, lost_from_ms)

    def _compare(self, journal: Journal, agent: AgentId, lost_from_ms: int | None) -> None:
        life = self._lives[agent]
        records = [data for _, data in journal.records(agent)]
        checks = [zlib.crc32(record) for record in records]
        if checks[: len(life.checks)] == life.checks:
            for record in records[len(life.checks) :]:  # it was taken, and nobody was told
                self._live(agent, life, record)
            life.owner = None
            return
        if lost_from_ms is None or checks != life.checks[: len(checks)]:
            self._report("P1", f"{agent}: {len(life.checks)} records were taken, {len(checks)} are there or differ")
            return
        self._rewind(agent, life, records, lost_from_ms)

    def _rewind(self, agent: AgentId, life: Life, records: list[bytes], lost_from_ms: int) -> None:
        """What was lost never happened; what had been acknowledged earlier must be there."""
        made = self._workshop.make(decode_definition(agent, life.definition))
        fresh = self._lives[agent] = Life(made, life.definition)
        self.runs = Counter({call: count for call, count in self.runs.items() if call not in life.calls})
        for record in records:
            self._live(agent, fresh, record)
        for (name, interrupt), at_ms in list(self.acknowledged.items()):
            if name == agent and interrupt not in fresh.accepted:
                if at_ms < lost_from_ms:
                    self._report("P1", f"{agent}: {interrupt} was acknowledged {lost_from_ms - at_ms} ms too early")
                del self.acknowledged[name, interrupt]

    # --- at the end, when nothing is under way

    def unfinished(self) -> list[str]:
        """What was accepted and is not ended yet, in words."""
        return [
            f"{agent}: {interrupt}"
            for agent, life in self._lives.items()
            for interrupt in life.accepted
            if not life.ended[interrupt]
        ]

    def undelivered(self, buried: Iterable[tuple[AgentId, InterruptId]]) -> list[str]:
        """What agents sent and nobody has, in words.  ``buried`` are dead letters."""
        if self._rewinds:
            return []
        letters = set(buried)
        return [
            f"{agent} sent {each.id} to {to}"
            for agent, life in self._lives.items()
            for (to, _), interrupts in life.sent.items()
            for each in interrupts
            if each.kind is not InterruptKind.CANCEL
            and not (to in self._lives and self._lives[to].has_heard_of(each.id))
            and (to, each.id) not in letters
        ]

    def close(self, buried: Iterable[tuple[AgentId, InterruptId]]) -> None:
        """All is quiet: has everything happened?  ``buried`` are dead letters."""
        for agent, interrupt in self.acknowledged:
            if interrupt not in self._lives[agent].accepted:
                self._report("P1", f"{agent}: {interrupt} was acknowledged, and is in no journal")
        for what in self.unfinished()[:3]:
            self._report("liveness", f"{what} was accepted, and never ended")
        for what in self.undelivered(buried)[:3]:
            self._report("P1", f"{what}, where it never arrived")
        for agent, life in self._lives.items():
            self._close_one(agent, life)
        if not self._rewinds:
            self._check_orders()

    def behind(self) -> list[AgentId]:
        """Agents whose pages the archive lacks."""
        return [
            agent for agent, life in self._lives.items() if any(not self._has_page(agent, page) for page in life.stored)
        ]

    def _close_one(self, agent: AgentId, life: Life) -> None:
        missing = [page_id for page_id in life.stored if not self._has_page(agent, page_id)]
        if missing:
            self._report("P1", f"{agent}: the archive lacks {', '.join(missing[:5])} for good")
        late = [
            timer_id
            for timer_id, timer in life.state.timers.items()
            if max(timer.at_ms, life.state.paused_until_ms) < self._now_ms() - TIMER_SLACK_MS
        ]
        if late:
            self._report("liveness", f"{agent}: its timer {late[0]} never rang")

    def _check_orders(self) -> None:
        """What one sender sent to one agent, at one priority, was accepted in that order."""
        lives = self._lives.values()
        lanes = [(to, [each.id for each in sent]) for life in lives for (to, _), sent in life.sent.items()]
        lanes += [(to, sent) for (to, _), sent in self.orders.items()]
        for to, sent in lanes:
            accepted = self._lives[to].accepted if to in self._lives else {}
            places = [accepted[interrupt] for interrupt in sent if interrupt in accepted]
            if places != sorted(places):
                self._report("P6", f"{to}: accepted in another order than sent: {sent}, {places}")
