from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.eviction.lru_k import LruK
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveLruK(NaiveCache):
    def __init__(self, capacity: int, k: int, retained: int) -> None:
        super().__init__(capacity)
        self.k = k
        self.retained = retained
        self.now = 0
        self.times: dict[str, list[int]] = {}
        self.came: dict[str, int] = {}
        self.ghosts: dict[str, list[int]] = {}

    def hit(self, page: str) -> None:
        self.now += 1
        self.times[page].append(self.now)

    def evict(self, incoming: int) -> str:
        def backward(page: str) -> tuple[int, int]:
            times = self.times[page]
            return (0, self.came[page]) if len(times) < self.k else (1, times[-self.k])

        victim = min(self.times, key=backward)
        self.ghosts[victim] = self.times.pop(victim)
        while len(self.ghosts) > self.retained:
            del self.ghosts[next(iter(self.ghosts))]
        return victim

    def admit(self, page: str, size: int) -> None:
        self.times[page] = self.ghosts.pop(page, [])
        self.hit(page)
        self.came[page] = self.now


@given(traces(), st.integers(1, 4), st.integers(0, 3))
def test_is_its_definition(trace: Trace, k: int, retained: int) -> None:
    # The textbook cache remembers what it evicts before it looks the new page up: as the flush does.
    expected = naive_evictions(NaiveLruK(trace.capacity, k, retained), trace)
    assert evictions(LruK(k=k, retained_pages=retained), trace) == expected


def test_what_was_used_once_leaves_before_what_was_used_twice_long_ago() -> None:
    policy = LruK()
    for page_id in "abc":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("a", 1)
    policy.on_insert(facts("d"), 2)
    assert policy.victims(30, {"d"}, 2) == ["b", "c", "a"]


def test_explains_by_uses() -> None:
    policy = LruK()
    for page_id in "abc":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("a", 1)
    assert policy.explain("b", 1) == "used fewer than 2 times: number 1 of 2 such pages to leave"
    assert policy.explain("a", 1) == "its last use but 1 was 3 references ago; 2 younger pages leave first"
