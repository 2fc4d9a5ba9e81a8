"""The past of a fleet's agents, as a program sees it: what every fleet has alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.history import Changes, fork, open_history
from pagefault.runtime.host.records import Inspection, decode_event
from pagefault.runtime.host.services import PastStores
from pagefault.runtime.host.timeline import Milestone, StepRow, milestones, timeline
from pagefault.runtime.host.whole_run import RunReplay, replay_run
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.events import InterruptArrived
from pagefault.runtime.store.mail import LETTERS_MAX
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, Message

ARRIVAL_RECORDS = 3
"""Records that are looked through for each interrupt: it is followed by a reply or two, and by results."""


@dataclass(frozen=True, slots=True)
class Recollection:
    """An agent as it was after record ``seq`` of its journal, when it had taken ``step`` steps.

    ``messages`` is exactly what the model was sent for that step, where a step was asked for (else empty).
    """

    agent: AgentId
    seq: int
    step: int
    at_ms: int
    inspection: Inspection
    messages: tuple[Message, ...]


class Pasts(ABC):
    """Replays and forks.  Nothing here wakes an agent, or disturbs one that is awake.

    All methods raise :class:`~pagefault.runtime.errors.UnknownAgent`,
    :class:`~pagefault.runtime.errors.StoreUnavailable`, :class:`~pagefault.runtime.errors.StoreCorrupt`, and
    :class:`~pagefault.runtime.errors.UnknownName` for functions or policies that this process does not have.
    """

    @abstractmethod
    def _archives(self) -> tuple[Workshop, PastStores]:
        """What to replay with; raises :class:`~pagefault.runtime.errors.UsageError` when the fleet is not open."""

    @abstractmethod
    async def agents(self, prefix: str = "") -> list[AgentId]: ...
    @abstractmethod
    async def dead_letters(self, limit: int = ..., to: AgentId | str | None = None) -> list[DeadLetter]: ...

    async def replay(self, agent: AgentId | str, *, step: int | None = None, record: int | None = None) -> Recollection:
        """An agent as it was when it had taken a step, or after a record; as it is in the journal now by default.

        Raises :class:`~pagefault.runtime.errors.UsageError` for what is not in its past.
        """
        if step is not None and record is not None:
            raise UsageError(f"step and record: found {step} and {record}, allowed: one of them")
        workshop, stores = self._archives()
        history = await open_history(workshop, stores, AgentId(agent))
        if step is not None:
            moment = await history.at_step(step)
        else:
            moment = await history.at_record(history.last_seq if record is None else record)
        shown = moment.inspection(workshop)
        return Recollection(moment.agent, moment.seq, moment.steps, moment.at_ms, shown, moment.messages)

    async def arrivals(self, agent: AgentId | str, limit: int) -> list[Interrupt]:
        """The newest interrupts that an agent accepted, oldest first: those among the last records of its journal, of
        which ``ARRIVAL_RECORDS`` times ``limit`` are read.  Nothing is lived again for it."""
        _, stores = self._archives()
        name = AgentId(agent)
        last_seq = (await stores.past(name)).last_seq
        count = ARRIVAL_RECORDS * limit
        records = await stores.some_records(name, max(0, last_seq - count), count)
        events = (decode_event(name, data) for _, data in records)
        return [event.interrupt for event in events if isinstance(event, InterruptArrived)][-limit:]

    async def timeline(self, agent: AgentId | str, first: int = 1, last: int | None = None) -> AsyncIterator[StepRow]:
        """What an agent did, step by step, in order, as it is found; see
        :func:`~pagefault.runtime.host.timeline.timeline`."""
        workshop, stores = self._archives()
        history = await open_history(workshop, stores, AgentId(agent))
        async for row in timeline(history, first, last):
            yield row

    async def milestones(self, agent: AgentId | str) -> list[Milestone]:
        """An overview of a long life: the agent's counters at every snapshot that was kept, and now."""
        workshop, stores = self._archives()
        return await milestones(await open_history(workshop, stores, AgentId(agent)))

    async def verify(self, agent: AgentId | str) -> int:
        """Live an agent's whole past again, without a model, and compare with every snapshot that was kept.

        Returns how many those were.  Raises :class:`~pagefault.runtime.errors.ReplayDivergence`.
        """
        workshop, stores = self._archives()
        return await (await open_history(workshop, stores, AgentId(agent))).verify()

    async def replay_run(self, prefix: str = "", advance: Callable[[], None] = lambda: None) -> RunReplay:
        """Live the whole run again, of all agents or those whose names begin with ``prefix``, without a model: does
        each past give the states that were recorded, and did all that agents sent each other arrive?"""
        workshop, stores = self._archives()
        names = await self.agents(prefix)
        letters = await self.dead_letters(LETTERS_MAX)
        return await replay_run(workshop, stores, names, letters, advance)

    async def fork(
        self, agent: AgentId | str, name: str, *, at: int | None = None, changes: Changes | None = None
    ) -> AgentId:
        """Make the agent ``name``, which begins as ``agent`` was when it had taken ``at`` steps (default: as it is
        now), with another policy, persona or model if ``changes`` says so.

        Raises :class:`~pagefault.runtime.errors.AgentExists`, and
        :class:`~pagefault.runtime.errors.UsageError` for what cannot be; nothing is made then.
        """
        workshop, stores = self._archives()
        history = await open_history(workshop, stores, AgentId(agent))
        moment = await (history.at_record(history.last_seq) if at is None else history.at_step(at))
        return await fork(workshop, stores, moment, AgentId(name), changes)
