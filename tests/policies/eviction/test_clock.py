import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.clock import Clock
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveClock(NaiveCache):
    def __init__(self, capacity: int, most: int) -> None:
        super().__init__(capacity)
        self.most = most
        self.queue: list[str] = []
        self.count: dict[str, int] = {}

    def hit(self, page: str) -> None:
        self.count[page] = min(self.most, self.count[page] + 1)

    def evict(self, incoming: int) -> str:
        while self.count[self.queue[0]]:
            self.count[self.queue[0]] -= 1
            self.queue.append(self.queue.pop(0))
        return self.queue.pop(0)

    def admit(self, page: str, size: int) -> None:
        self.queue.append(page)
        self.count[page] = 0


@given(traces(), st.integers(1, 3))
def test_is_its_definition(trace: Trace, bits: int) -> None:
    expected = naive_evictions(NaiveClock(trace.capacity, 2**bits - 1), trace)
    assert evictions(Clock(bits=bits), trace) == expected


def test_a_used_page_gets_a_second_chance_but_no_third() -> None:
    policy = Clock()
    for page_id in "abc":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("a", 1)
    policy.on_hit("a", 1)
    assert policy.explain("a", 1) == "the hand meets it after 0 others and passes it 1 more times"
    assert policy.victims(30, (), 1) == ["b", "c", "a"]


def test_a_protected_page_keeps_its_place_and_its_count() -> None:
    policy = Clock()
    for page_id in "abc":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("b", 1)
    assert policy.victims(10, {"a"}, 1) == ["c"]
    policy.on_remove("c", evicted=True)
    assert policy.victims(20, (), 1) == ["a", "b"]


@pytest.mark.parametrize("bits", [0, 9, 1.5, True])
def test_refuses_bits_that_cannot_be(bits: int) -> None:
    with pytest.raises(PolicyError, match=r"^clock\.bits: .* allowed: a whole number from 1 to 8$"):
        Clock(bits=bits)
