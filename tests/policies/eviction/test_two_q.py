from hypothesis import given

from pagefault.policies.eviction.two_q import TwoQ
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveTwoQ(NaiveCache):
    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.a1in: list[str] = []
        self.a1out: list[tuple[str, int]] = []
        self.am: list[str] = []
        self.was_ghost = False
        self.largest = 0

    def arrive(self, page: str, size: int) -> None:
        self.largest = max(self.largest, size)
        self.was_ghost = page in dict(self.a1out)
        self.a1out = [ghost for ghost in self.a1out if ghost[0] != page]

    def hit(self, page: str) -> None:
        if page in self.am:
            self.am.remove(page)
            self.am.append(page)

    def evict(self, incoming: int) -> str:
        share, limit = max(int(self.capacity * 0.25), self.largest), int(self.capacity * 0.5)
        if self.am and not self.total(self.a1in) > share:
            return self.am.pop(0)
        page = self.a1in.pop(0) if self.a1in else ""
        if not page:
            return self.am.pop(0)
        size = self.resident[page]
        if size <= limit:
            while sum(each for _, each in self.a1out) + size > limit:
                self.a1out.pop(0)
            self.a1out.append((page, size))
        return page

    def admit(self, page: str, size: int) -> None:
        (self.am if self.was_ghost else self.a1in).append(page)


@given(traces())
def test_is_its_definition(trace: Trace) -> None:
    policy = TwoQ(capacity_tokens=trace.capacity)
    assert evictions(policy, trace) == naive_evictions(NaiveTwoQ(trace.capacity), trace)


def test_uses_in_the_waiting_queue_do_not_count_but_coming_back_does() -> None:
    policy = TwoQ(capacity_tokens=40)
    for page_id in "abcd":
        policy.on_insert(facts(page_id), 0)
    for _ in range(5):
        policy.on_hit("a", 1)
    policy.on_insert(facts("e"), 2)
    assert policy.victims(10, {"e"}, 2) == ["a"]
    policy.on_remove("a", evicted=True)
    policy.on_insert(facts("a"), 3)
    assert policy.victims(10, {"a"}, 3) == ["b"]
    policy.on_remove("b", evicted=True)
    policy.on_hit("a", 4)
    assert policy.explain("a", 4) == "came back soon, so it is in Am: number 1 of 1 by last use"
    assert policy.explain("c", 4) == "waits in A1in (30 tokens there): number 1 of 3"
