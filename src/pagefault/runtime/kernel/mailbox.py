"""The mailbox: bounded, in order of priority, and within a priority in order of arrival.

Interrupts are refused when a bound is reached (:attr:`Offer.reason`), never dropped.  Priorities can be
masked: masked interrupts wait.  ``kill`` and ``operator`` cannot be masked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from pagefault.runtime.kernel.settings import MailboxSettings
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, Priority

UNMASKABLE = frozenset({Priority.KILL, Priority.OPERATOR})
_OVERHEAD_BYTES = 128


@dataclass(frozen=True, slots=True)
class Offer:
    """What became of an offered interrupt: taken, or not (``reason``); ``replaced`` was coalesced away."""

    taken: bool
    reason: str = ""
    replaced: Interrupt | None = None


class Mailbox:
    """Interrupts that wait for one agent."""

    __slots__ = ("_arrivals", "_bytes", "_coalesced", "_places", "_queues", "mask", "settings")

    def __init__(self, settings: MailboxSettings) -> None:
        self.settings = settings
        self.mask: frozenset[Priority] = frozenset()
        self._queues: dict[Priority, OrderedDict[int, Interrupt]] = {}
        self._places: dict[InterruptId, tuple[Priority, int]] = {}
        self._coalesced: dict[tuple[str, str, Priority], InterruptId] = {}
        self._bytes = 0
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Interrupt]:
        """In the order in which they would be served if nothing were masked."""
        for priority in Priority:
            yield from self._queues.get(priority, {}).values()

    def __contains__(self, interrupt_id: InterruptId) -> bool:
        return interrupt_id in self._places

    def is_queued(self, sender: str, coalesce: str, priority: Priority) -> bool:
        """Whether an interrupt of this sender with this key waits, which the next one would replace."""
        return (sender, coalesce, priority) in self._coalesced

    @property
    def bytes(self) -> int:
        return self._bytes

    def offer(self, interrupt: Interrupt) -> Offer:
        """Queue an interrupt if the bounds allow."""
        size = _size_bytes(interrupt)
        if problem := self.problem(interrupt):
            return Offer(False, problem)
        key = (interrupt.sender, interrupt.coalesce, interrupt.priority)
        older = self._coalesced.get(key) if interrupt.coalesce else None
        if older is not None:
            priority, arrival = self._places[older]
            replaced = self._queues[priority][arrival]
            del self._places[older]
            self._bytes += size - _size_bytes(replaced)
            self._queues[priority][arrival] = interrupt  # keeps the place of the one it replaces
            self._places[interrupt.id] = (priority, arrival)
            self._coalesced[key] = interrupt.id
            return Offer(True, replaced=replaced)
        self._insert(interrupt, size)
        return Offer(True)

    def problem(self, interrupt: Interrupt) -> str:
        """Why an interrupt cannot be queued now; empty if it can.  Changes nothing."""
        if size_problem := self.size_problem(interrupt):
            return size_problem
        grown = _size_bytes(interrupt)
        older = self._coalesced.get((interrupt.sender, interrupt.coalesce, interrupt.priority))
        if interrupt.coalesce and older is not None:
            priority, arrival = self._places[older]
            grown -= _size_bytes(self._queues[priority][arrival])
        elif len(self._places) >= self.settings.interrupts_max:
            return f"{len(self._places)} interrupts wait; at most {self.settings.interrupts_max} may"
        if self._bytes + grown > self.settings.bytes_max:
            return f"{self._bytes} bytes wait; at most {self.settings.bytes_max} may"
        return ""

    def size_problem(self, interrupt: Interrupt) -> str:
        """Why an interrupt can never be taken; empty if it is small enough."""
        size = _size_bytes(interrupt)
        if size > self.settings.interrupt_bytes_max:
            return f"interrupt of {size} bytes; at most {self.settings.interrupt_bytes_max} are taken"
        return ""

    def _insert(self, interrupt: Interrupt, size: int) -> None:
        assert interrupt.id not in self._places, f"{interrupt.id} is queued already"
        queue = self._queues.get(interrupt.priority)
        if queue is None:
            queue = self._queues[interrupt.priority] = OrderedDict()
        self._arrivals += 1
        queue[self._arrivals] = interrupt
        self._places[interrupt.id] = (interrupt.priority, self._arrivals)
        if interrupt.coalesce:
            self._coalesced[interrupt.sender, interrupt.coalesce, interrupt.priority] = interrupt.id
        self._bytes += size

    def peek(self, *, hold_timers: bool = False) -> Interrupt | None:
        """The next interrupt to serve, or ``None``; ``hold_timers`` leaves timers and heartbeats waiting."""
        if not self._places:
            return None
        for priority in Priority:
            queue = self._queues.get(priority)
            if not queue or priority in self.mask:
                continue
            if not hold_timers:
                return next(iter(queue.values()))
            for interrupt in queue.values():
                if interrupt.kind not in (InterruptKind.TIMER, InterruptKind.HEARTBEAT):
                    return interrupt
        return None

    def remove(self, interrupt_id: InterruptId) -> Interrupt | None:
        """Take an interrupt out, wherever it stands; ``None`` if it is not here."""
        place = self._places.pop(interrupt_id, None)
        if place is None:
            return None
        priority, arrival = place
        interrupt = self._queues[priority].pop(arrival)
        if interrupt.coalesce:
            self._coalesced.pop((interrupt.sender, interrupt.coalesce, priority), None)
        self._bytes -= _size_bytes(interrupt)
        assert self._bytes >= 0, "mailbox bytes fell below zero"
        return interrupt

    def set_mask(self, priorities: frozenset[Priority]) -> None:
        self.mask = priorities - UNMASKABLE

    def dump(self) -> dict[str, object]:
        return {"interrupts": list(self), "mask": sorted(int(priority) for priority in self.mask)}

    def load(self, state: dict[str, object]) -> None:
        interrupts, mask = state["interrupts"], state["mask"]
        assert isinstance(interrupts, list)
        assert isinstance(mask, list)
        for interrupt in interrupts:
            assert isinstance(interrupt, Interrupt)
            self._insert(interrupt, _size_bytes(interrupt))
        self.mask = frozenset(Priority(value) for value in mask)

    def check(self) -> None:
        """Assert that counts, bytes and places agree and that no bound is passed."""
        queued = list(self)
        assert len(queued) == len(self._places), "a queued interrupt has no place"
        assert sum(_size_bytes(interrupt) for interrupt in queued) == self._bytes, "bytes do not add up"
        assert len(queued) <= self.settings.interrupts_max, "more interrupts than the bound"
        assert self._bytes <= self.settings.bytes_max, "more bytes than the bound"
        assert not self.mask & UNMASKABLE, "kill or operator is masked"


def _size_bytes(interrupt: Interrupt) -> int:
    """Everything that a sender chooses the length of."""
    names = (interrupt.id, interrupt.sender, interrupt.session, interrupt.coalesce, interrupt.in_reply_to)
    size = sum(map(len, (*names, interrupt.target, interrupt.trace, *interrupt.tags))) + 8 * len(interrupt.mask)
    text = interrupt.text
    return size + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) + _OVERHEAD_BYTES
