import pytest
from hypothesis import given

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.lfu import Lfu, LfuAged, LfuDa
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveLfu(NaiveCache):
    def __init__(self, capacity: int, *, dynamic: bool = False, mean_max: float = float("inf")) -> None:
        super().__init__(capacity)
        self.dynamic = dynamic
        self.mean_max = mean_max
        self.level = 0
        self.now = 0
        self.count: dict[str, int] = {}
        self.key: dict[str, tuple[int, int]] = {}  # the key and when the page reached it

    def use(self, page: str) -> None:
        self.now += 1
        self.count[page] += 1
        self.key[page] = (self.count[page] + self.level, self.now)

    def hit(self, page: str) -> None:
        self.use(page)
        if sum(self.count.values()) > self.mean_max * len(self.count):
            order = sorted(self.key, key=self.key.__getitem__)
            for page_id in order:
                self.now += 1
                self.count[page_id] = -(-self.count[page_id] // 2)
                self.key[page_id] = (self.count[page_id], self.now)

    def evict(self, incoming: int) -> str:
        victim = min(self.key, key=self.key.__getitem__)
        if self.dynamic:
            self.level = self.key[victim][0]
        del self.key[victim], self.count[victim]
        return victim

    def admit(self, page: str, size: int) -> None:
        self.count[page] = 0
        self.use(page)


@given(traces())
def test_is_its_definition(trace: Trace) -> None:
    assert evictions(Lfu(), trace) == naive_evictions(NaiveLfu(trace.capacity), trace)


@given(traces())
def test_with_dynamic_ageing_is_its_definition(trace: Trace) -> None:
    assert evictions(LfuDa(), trace) == naive_evictions(NaiveLfu(trace.capacity, dynamic=True), trace)


@given(traces())
def test_with_halving_is_its_definition(trace: Trace) -> None:
    expected = naive_evictions(NaiveLfu(trace.capacity, mean_max=2), trace)
    assert evictions(LfuAged(mean_max=2), trace) == expected


def used(policy: Lfu, uses: dict[str, int]) -> Lfu:
    for page_id in uses:
        policy.on_insert(facts(page_id), 0)
    for page_id, count in uses.items():
        for _ in range(count - 1):
            policy.on_hit(page_id, 1)
    return policy


def test_among_equals_the_first_to_have_reached_the_count_leaves() -> None:
    policy = used(Lfu(), {"a": 3, "b": 1, "c": 2, "d": 1})
    assert policy.victims(40, (), 2) == ["b", "d", "c", "a"]
    assert "used 1 times" not in policy.explain("a", 2)


def test_explains_by_uses_and_those_below() -> None:
    policy = used(Lfu(), {"a": 3, "b": 1, "c": 2})
    assert policy.explain("c", 2) == "used 2 times: 1 of 3 pages rank below it"


def test_what_was_popular_once_fades_with_ageing_only() -> None:
    for policy, first in ((Lfu(), "z"), (LfuDa(), "a"), (LfuAged(mean_max=2), "a")):
        used(policy, {"a": 6})
        for number in range(20):
            policy.on_insert(facts(f"n{number}"), number)
            policy.on_hit(f"n{number}", number)
            policy.on_hit(f"n{number}", number)
            if number > 3:
                policy.on_remove(policy.victims(10, {f"n{number}"}, number)[0], evicted=True)
            if "a" not in {row[0] for row in policy.dump()["pages"]}:
                break
        gone = "a" not in {row[0] for row in policy.dump()["pages"]}
        assert gone == (first == "a"), policy.name


def test_refuses_an_unknown_ageing() -> None:
    with pytest.raises(PolicyError, match=r"^lfu\.ageing: found 'slow', allowed: one of none, halve, dynamic$"):
        Lfu(ageing="slow")
