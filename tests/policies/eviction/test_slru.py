from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.eviction.slru import Slru
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveSlru(NaiveCache):
    def __init__(self, capacity: int, count: int) -> None:
        super().__init__(capacity)
        self.segments: list[list[str]] = [[] for _ in range(count)]
        self.largest = 0

    def arrive(self, page: str, size: int) -> None:
        self.largest = max(self.largest, size)

    def share(self) -> int:
        return max(self.capacity // len(self.segments), self.largest)

    def hit(self, page: str) -> None:
        at = next(index for index, segment in enumerate(self.segments) if page in segment)
        self.segments[at].remove(page)
        at = min(at + 1, len(self.segments) - 1)
        self.segments[at].append(page)
        for above in range(at, 0, -1):
            while self.total(self.segments[above]) > self.share():
                self.segments[above - 1].append(self.segments[above].pop(0))

    def evict(self, incoming: int) -> str:
        return next(segment for segment in self.segments if segment).pop(0)

    def admit(self, page: str, size: int) -> None:
        free = [s for s in self.segments if self.total(s) + size <= self.share()]
        (free or self.segments)[0].append(page)


@given(traces(), st.integers(2, 4))
def test_is_its_definition(trace: Trace, segments: int) -> None:
    policy = Slru(segments=segments, capacity_tokens=trace.capacity)
    assert evictions(policy, trace) == naive_evictions(NaiveSlru(trace.capacity, segments), trace)


def test_every_use_takes_a_page_one_segment_up() -> None:
    policy = Slru(segments=3, capacity_tokens=300)
    for page_id in "abc":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("a", 1)
    policy.on_hit("a", 1)
    policy.on_hit("b", 2)
    assert policy.explain("a", 2) == "in segment 3 of 3: number 1 of 1 there by last use"
    assert policy.victims(30, (), 2) == ["c", "b", "a"]


def test_a_capacity_that_is_told_later_binds_from_then_on() -> None:
    policy = Slru(segments=2)
    for page_id in "abcd":
        policy.on_insert(facts(page_id), 0)
        policy.on_hit(page_id, 0)
    assert policy.explain("a", 0).startswith("in segment 2 of 2: number 1 of 4")
    policy.set_capacity(40)
    policy.on_insert(facts("e"), 1)
    policy.on_hit("e", 1)
    assert policy.explain("e", 1).startswith("in segment 2 of 2: number 2 of 2")
