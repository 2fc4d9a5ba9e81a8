"""Slow caches, written from the definitions with plain lists, to hold the policies against."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hypothesis import strategies as st

from pagefault.policies.contract import EvictionPolicy
from tests.policies.facts import facts


@dataclass(frozen=True)
class Trace:
    """``sizes`` of pages, and requests for them by their place there; no page is larger than the capacity."""

    sizes: tuple[int, ...]
    requests: tuple[int, ...]
    capacity: int


@st.composite
def traces(draw: st.DrawFn, *, sizes_max: int = 5) -> Trace:
    sizes = draw(st.lists(st.integers(1, sizes_max), min_size=6, max_size=14))
    # Neighbouring pages are drawn often, so that there are hits, ghosts and pages of every frequency.
    steps = draw(st.lists(st.integers(0, len(sizes) - 1) | st.integers(0, 3), min_size=20, max_size=150))
    return Trace(tuple(sizes), tuple(steps), draw(st.integers(sizes_max + 1, 6 * sizes_max)))


class NaiveCache(ABC):
    """Evicts one page at a time until the new one fits, then lets it in: as the textbooks have it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.resident: dict[str, int] = {}

    def request(self, page: str, size: int) -> list[str]:
        """What is evicted to let ``page`` in."""
        if page in self.resident:
            self.hit(page)
            return []
        self.arrive(page, size)
        evicted = []
        while sum(self.resident.values()) + size > self.capacity:
            victim = self.evict(size)
            del self.resident[victim]
            evicted.append(victim)
        self.resident[page] = size
        self.admit(page, size)
        return evicted

    def total(self, pages: list[str]) -> int:
        return sum(self.resident[page] for page in pages)

    def arrive(self, page: str, size: int) -> None:  # noqa: B027 - most have nothing to do
        """Before room is made."""

    @abstractmethod
    def hit(self, page: str) -> None: ...
    @abstractmethod
    def evict(self, incoming: int) -> str:
        """Choose a victim and take it out of the lists."""

    @abstractmethod
    def admit(self, page: str, size: int) -> None: ...


def naive_evictions(cache: NaiveCache, trace: Trace) -> list[list[str]]:
    """What each request evicts."""
    return [cache.request(f"p{number}", trace.sizes[number]) for number in trace.requests]


def evictions(policy: EvictionPolicy, trace: Trace) -> list[list[str]]:
    """What each request evicts by a policy: the page comes in first, protected, and room is made afterwards."""
    resident: dict[str, int] = {}
    answer = []
    for turn, number in enumerate(trace.requests):
        page, evicted = f"p{number}", []
        if page in resident:
            policy.on_hit(page, turn)
        else:
            resident[page] = trace.sizes[number]
            policy.on_insert(facts(page, trace.sizes[number]), turn)
            if (over := sum(resident.values()) - trace.capacity) > 0:
                evicted = list(policy.victims(over, (page,), turn))
            for victim in evicted:
                del resident[victim]
                policy.on_remove(victim, evicted=True)
            assert sum(resident.values()) <= trace.capacity
        answer.append(evicted)
    return answer
