"""Whose turn it is: by priority, with a share for the lower ones, and fair among agents of one priority.

Fair is start-time fair queueing (Goyal, Vin and Cheng 1996) by tokens: a call's tag is when its agent's last
one would have ended had all agents shared a server evenly, and the lowest tag is next.  An agent that asks
for much gets no more than one that asks for little, and nobody saves up a right by being silent.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from pagefault.runtime.values import Priority

FLOWS_KEPT = 4_096
"""Tags of agents that are behind the present are forgotten when there are more."""


class Fairness:
    """Tags of the agents of each priority."""

    def __init__(self) -> None:
        self._ends: dict[tuple[Priority, str], float] = {}
        self._now: dict[Priority, float] = {}
        self._keep = FLOWS_KEPT

    def tag(self, priority: Priority, agent: str, tokens: float) -> float:
        """The tag of a call that comes in."""
        present = self._now.get(priority, 0.0)
        start = max(present, self._ends.get((priority, agent), 0.0))
        self._ends[priority, agent] = start + max(1.0, tokens)
        if len(self._ends) > self._keep:
            self._ends = {flow: end for flow, end in self._ends.items() if end > self._now.get(flow[0], 0.0)}
            self._keep = max(FLOWS_KEPT, 2 * len(self._ends))
        return start

    def peek(self, priority: Priority, agent: str) -> float:
        """The tag that a call would get."""
        return max(self._now.get(priority, 0.0), self._ends.get((priority, agent), 0.0))

    def served(self, priority: Priority, tag: float) -> None:
        """A call with this tag goes out."""
        self._now[priority] = max(self._now.get(priority, 0.0), tag)


class Turns:
    """The order of priorities for one endpoint.

    The highest that waits is first.  For every ``1 / lower_share`` calls of it one goes to a lower one that
    waits, each of those in turn: so with ``k`` lower ones waiting, each has at least one of every
    ``k * (1 + 1 / lower_share)`` calls, rounded up.
    """

    def __init__(self, lower_share: float) -> None:
        self._share = lower_share
        self._credit = 0.0
        self._served: dict[Priority, int] = {}
        self._calls = 0

    def order(self, waiting: Iterable[Priority]) -> list[Priority]:
        """The priorities that wait, the one whose turn it is first."""
        ranked = sorted(waiting)
        if len(ranked) > 1 and self._credit >= 1.0 - 1e-9:
            starved = min(ranked[1:], key=lambda each: (self._served.get(each, 0), each))
            return [starved, *(each for each in ranked if each is not starved)]
        return ranked

    def served(self, priority: Priority, waiting: Iterable[Priority]) -> None:
        """A call of this priority goes out; ``waiting`` are those that waited then, it included."""
        self._calls += 1
        self._served[priority] = self._calls
        if priority > min(waiting, default=priority):
            self._credit = 0.0
        elif any(each > priority for each in waiting):
            self._credit = min(1.0, self._credit + self._share)


@dataclass(slots=True)
class Lane:
    """Calls for one model that would best go to one endpoint, by priority and tag; what left is passed over."""

    endpoint: str
    model: str
    heaps: dict[Priority, list[tuple[float, int]]] = field(default_factory=dict)

    def push(self, priority: Priority, tag: float, number: int) -> None:
        heapq.heappush(self.heaps.setdefault(priority, []), (tag, number))
