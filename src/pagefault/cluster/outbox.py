"""What waits to be sent to one host: lanes that keep the order of their messages, within the host's credit.

A *lane* holds what one router has for one agent at one priority.  At most one run of it is under way at a time, and
what has to be sent again goes back to its front: so messages of a sender arrive in the order in which they were
sent, though their agent moves or its host is lost meanwhile.  Lanes of higher priority go first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from pagefault.runtime.host.records import Receipt
from pagefault.runtime.values import AgentId, Interrupt, Priority

BATCH_MAX = 200
"""Interrupts in one call of a host."""
RUN_MAX = 100
"""Interrupts of one lane in one call, so that one agent's flood leaves room for others."""
WINDOW = 1_000
WINDOW_BYTES = 4 * 2**20
"""What may be under way to a host that has not said yet how much it takes."""
ENVELOPE_BYTES = 256
"""What an interrupt has beside its text, about."""


@dataclass(slots=True)
class Parcel:
    """An interrupt on its way.  ``insists``: the scheduler has just said that its agent lives where it is sent."""

    agent: AgentId
    interrupt: Interrupt
    receipt: asyncio.Future[Receipt]
    size_bytes: int
    tries: int = 0
    insists: bool = False


def size_of(interrupt: Interrupt) -> int:
    """About how many bytes an interrupt takes on its way."""
    return ENVELOPE_BYTES + len(interrupt.text)


@dataclass(slots=True)
class Lane:
    """Parcels for one agent at one priority, in the order in which they were given."""

    agent: AgentId
    priority: Priority
    waiting: deque[Parcel] = field(default_factory=deque)

    def take(self, count: int, size_bytes: int) -> list[Parcel]:
        """The next run: so many parcels, and so many bytes (one parcel at least, however large).  Those that
        nobody waits for any more are dropped."""
        run: list[Parcel] = []
        taken_bytes = 0
        while self.waiting and len(run) < count:
            parcel = self.waiting[0]
            if parcel.receipt.done():
                self.waiting.popleft()
                continue
            if run and taken_bytes + parcel.size_bytes > size_bytes:
                break
            taken_bytes += parcel.size_bytes
            run.append(self.waiting.popleft())
        return run

    def put_back(self, parcels: list[Parcel]) -> None:
        """These have to be sent again, before all others."""
        self.waiting.extendleft(reversed(parcels))


@dataclass(slots=True)
class Run:
    """Parcels of one lane that are under way together."""

    lane: Lane
    parcels: list[Parcel]


@dataclass(slots=True)
class Outbox:
    """Lanes that wait for one host, what is under way to it, and its credit."""

    host: str
    window: int = WINDOW
    window_bytes: int = WINDOW_BYTES
    under_way: int = 0
    under_way_bytes: int = 0
    senders: int = 0
    _lanes: dict[Priority, deque[Lane]] = field(default_factory=dict)

    def put(self, lane: Lane) -> None:
        """This lane has something to send."""
        self._lanes.setdefault(lane.priority, deque()).append(lane)

    @property
    def is_empty(self) -> bool:
        return not any(self._lanes.values())

    def lanes(self) -> list[Lane]:
        """Take out all lanes: they have to go elsewhere."""
        taken = [lane for priority in sorted(self._lanes) for lane in self._lanes[priority]]
        self._lanes.clear()
        return taken

    def take(self) -> list[Run]:
        """The next batch, highest priorities first, within the credit; empty when nothing may be sent now.

        At least one parcel goes if nothing is under way, so that a large one is not stuck for ever.
        """
        room = min(BATCH_MAX, self.window - self.under_way)
        room_bytes = self.window_bytes - self.under_way_bytes
        if not self.under_way:
            room, room_bytes = max(1, room), max(1, room_bytes)
        runs: list[Run] = []
        for priority in sorted(self._lanes):
            lanes = self._lanes[priority]
            while lanes and room > 0 and room_bytes > 0:
                lane = lanes.popleft()
                parcels = lane.take(min(room, RUN_MAX), room_bytes)
                size_bytes = sum(parcel.size_bytes for parcel in parcels)
                room -= len(parcels)
                room_bytes -= size_bytes
                self.under_way += len(parcels)
                self.under_way_bytes += size_bytes
                runs.append(Run(lane, parcels))
        return runs

    def settled(self, runs: list[Run], credit: tuple[int, int] | None) -> None:
        """A batch is back; ``credit`` is what the host said it takes, if it said so."""
        for run in runs:
            self.under_way -= len(run.parcels)
            self.under_way_bytes -= sum(parcel.size_bytes for parcel in run.parcels)
        if credit is not None:
            self.window, self.window_bytes = credit
