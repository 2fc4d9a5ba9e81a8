"""A frame: the place of one resident agent in a host."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from pagefault.runtime.functions.registry import AgentFunctions
from pagefault.runtime.host.records import CODEC, UNSENT, AgentRow
from pagefault.runtime.host.services import Owner
from pagefault.runtime.host.snapshots import encode_snapshot
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import (
    AnyEffect,
    CallModel,
    FindSubscribers,
    ForgetPages,
    LoadPages,
    Publish,
    Quarantine,
    RatePage,
    SearchArchive,
    Send,
    StorePages,
    Summarize,
)
from pagefault.runtime.kernel.events import Event
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.store.points import PRIVATE_SPACES
from pagefault.runtime.store.protocols import WORK, Append
from pagefault.runtime.values import AgentId, CallId, InterruptId

Unsettled = Send | Publish | Quarantine
"""Effects that take their time, and must be sure to have happened: an agent that has such is not done."""
_AT_WORK = (CallModel, Summarize, RatePage, SearchArchive, LoadPages, FindSubscribers)
"""Effects that could take the host down while they happen."""
RESTING = frozenset({Phase.IDLE, Phase.AWAITING_REPLY, Phase.STOPPED})
"""Phases in which nothing goes on until an interrupt or a timer comes."""
FRAME_BYTES = 24_000
TOKEN_BYTES = 9
REMEMBERED_BYTES = 200
"""What an agent takes beside its context, and what each token there and each remembered interrupt adds."""


def _concerns_others(effect: AnyEffect) -> bool:
    """Whether somebody besides the agent would miss this effect: nobody may speak to the agent for a long time.  Pages
    of its own can wait until it wakes, since only then it looks for them; what an operator takes out cannot."""
    if isinstance(effect, StorePages):
        return any(page.space not in PRIVATE_SPACES for page in effect.pages)
    return isinstance(effect, Unsettled | ForgetPages)


class Frame:
    """One resident agent: its kernel, events not yet handled, records not yet committed, calls under way."""

    __slots__ = (
        "_committed",
        "_durable_seq",
        "_records",
        "broken",
        "counted",
        "epoch",
        "functions",
        "gated",
        "given_up",
        "inbox",
        "is_away",
        "is_careful",
        "is_committing",
        "is_ready",
        "is_relaxed",
        "next_seq",
        "owner",
        "row",
        "row_seq",
        "seen",
        "seen_seq",
        "snapshot_seq",
        "state",
        "tasks",
        "tried_seq",
        "unsent",
    )

    def __init__(
        self, state: AgentState, functions: AgentFunctions, epoch: int, next_seq: int, snapshot_seq: int | None = None
    ) -> None:
        definition = state.definition
        self.state = state
        self.functions = functions
        self.owner = Owner(definition.tenant, definition.id, definition.spaces)
        self.epoch = epoch
        self.next_seq = next_seq
        self.inbox: deque[Event] = deque()
        self.gated: list[tuple[int, AnyEffect]] = []
        self.tasks: dict[CallId, asyncio.Task[Any]] = {}
        self.given_up: set[CallId] = set()  # cancelled before they could begin: they must not begin any more
        self.unsent: dict[InterruptId, Unsettled] = {}  # durable here, not yet accepted where they go
        self.broken: Exception | None = None
        self.counted: tuple[int, ...] = ()  # what metrics have taken from the kernel's counters
        self.seen: tuple[Phase, tuple[int, ...]] | None = None  # how metrics saw it last; none: they do not look
        self.row: AgentRow | None = None  # how surveys saw it last, and after which record
        self.row_seq = 0
        self.is_ready = False
        self.is_relaxed = False
        self.is_away = False  # hibernated: a new activation has the agent, or will
        self.is_committing = False
        self.is_careful = False  # the last activation died: nothing is begun that is not in the journal
        self.snapshot_seq = self.tried_seq = next_seq - 1 if snapshot_seq is None else snapshot_seq
        self.seen_seq = 0  # where the host found it when it last looked for those that rest
        self._durable_seq = next_seq - 1
        self._records: list[bytes] = []
        self._committed: asyncio.Event | None = None

    @property
    def id(self) -> AgentId:
        return self.owner.agent

    @property
    def last_seq(self) -> int:
        """The newest record of all that entered: as long as it is the same, so is the agent's state."""
        return self.next_seq + len(self._records) - 1

    @property
    def tail_records(self) -> int:
        """How many records are in the journal since a snapshot was saved, or last tried."""
        return self.next_seq - 1 - self.tried_seq

    @property
    def snapshot_steps(self) -> int:
        """How many steps apart the kernel asks for snapshots."""
        return self.state.definition.chain.snapshot_steps

    @property
    def has_records(self) -> bool:
        """Whether something has entered that no append has taken yet."""
        return bool(self._records)

    @property
    def is_committed(self) -> bool:
        """Whether everything that entered is in the journal."""
        return not self._records and not self.is_committing

    @property
    def is_at_rest(self) -> bool:
        return self.is_committed and not self.inbox and not self.tasks

    @property
    def may_sleep(self) -> bool:
        """Whether nothing is lost, and nobody kept waiting, if this agent is hibernated now.

        A chain that awaits another agent's reply may sleep with its agent: the journal has it, the reply finds
        the agent by name, and its deadline is one of the times that wake it.  So may messages that have not
        arrived: they go on without their sender, and the snapshot has them.
        """
        return self.is_at_rest and self.broken is None and self.state.phase in RESTING

    def wake_ms(self) -> int | None:
        """When this agent must be awake though nobody speaks to it, if its process dies now; see :class:`Append`."""
        if self.state.phase not in RESTING or self.unsent or any(_concerns_others(each) for _, each in self.gated):
            return WORK
        return self.timer_ms()

    def timer_ms(self) -> int | None:
        """When the clock next matters to this agent."""
        state = self.state
        times = [chain.waits_until_ms for chain in state.parked.values() if chain.answer is None]
        paused_until_ms = state.paused_until_ms if state.paused_until_ms > state.now_ms else 0
        if paused_until_ms:
            times.append(paused_until_ms)  # what the pause holds back goes on then, and not before
        times += [max(timer.at_ms, paused_until_ms) for timer in state.timers.values()]
        return min(times, default=None)

    @property
    def size_bytes(self) -> int:
        """About how much memory the agent takes: an estimate that costs nothing."""
        state = self.state
        return FRAME_BYTES + TOKEN_BYTES * state.statistics.context_tokens + REMEMBERED_BYTES * len(state.remembered)

    def handle(self, event: Event) -> list[AnyEffect]:
        """Let the kernel take an event; its record and gated effects wait for the commit."""
        self.is_relaxed = False
        effects = self.state.handle(event)
        seq = self.next_seq + len(self._records)
        self._records.append(CODEC.encode(event))
        for effect in effects:
            if self.waits_for_commit(effect):
                self.gated.append((seq, effect))
        return effects

    def waits_for_commit(self, effect: AnyEffect) -> bool:
        """Whether an effect may begin only when the event that caused it is in the journal.

        After a death that goes for all work, so that whatever dies of it again has been counted before.
        """
        return effect.gated or (self.is_careful and isinstance(effect, _AT_WORK))

    def relax(self) -> None:
        """The agent rests: what its context can make anew is not kept."""
        self.state.context.queue.relax()
        self.is_relaxed = True

    def take_append(self) -> tuple[Append, list[tuple[int, AnyEffect]]]:
        """What is to be committed now, and the effects to perform after it."""
        append = Append(self.id, self.epoch, self.next_seq, tuple(self._records), wake_ms=self.wake_ms())
        gated = self.gated
        self.next_seq += len(self._records)
        self._records = []
        self.gated = []
        self.is_committing = True
        return append, gated

    def snapshot(self) -> bytes:
        """The agent as it is now, with the messages of its past that may not have arrived: after this snapshot
        nothing else would know of them."""
        unsent = list(self.unsent.values())
        return encode_snapshot({**self.state.dump(), UNSENT: unsent})

    def settle_append(self) -> None:
        """The append that was taken has ended, one way or the other."""
        self.is_committing = False
        self._durable_seq = self.next_seq - 1
        if self._committed is not None:
            self._committed.set()
            self._committed = None

    async def committed(self) -> None:
        """Return when everything that has entered so far is in the journal (or the frame is broken).

        What enters later is not waited for: an agent that is spoken to without pause would wait for ever.
        """
        last_seq = self.next_seq + len(self._records) - 1
        while self._durable_seq < last_seq and self.broken is None:
            if self._committed is None:
                self._committed = asyncio.Event()
            await self._committed.wait()

    def break_off(self, error: Exception) -> None:
        """This activation is over: nothing more of it may take effect."""
        self.broken = error
        self.inbox.clear()
        self.gated.clear()
        self._records.clear()
        for task in self.tasks.values():
            task.cancel()
        self.tasks.clear()
        if self._committed is not None:
            self._committed.set()
            self._committed = None
