import pytest
from hypothesis import given

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.gdsf import Gdsf
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveGdsf(NaiveCache):
    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.level = 0.0
        self.now = 0
        self.uses: dict[str, int] = {}
        self.size: dict[str, int] = {}
        self.value: dict[str, tuple[float, int]] = {}
        self.coming: tuple[float, int] = (0.0, 0)

    def arrive(self, page: str, size: int) -> None:
        self.now += 1
        self.coming = (self.level + 1 / size, self.now)

    def hit(self, page: str) -> None:
        self.now += 1
        self.uses[page] += 1
        self.value[page] = (self.level + self.uses[page] / self.size[page], self.now)

    def evict(self, incoming: int) -> str:
        victim = min(self.value, key=self.value.__getitem__)
        self.level = self.value.pop(victim)[0]
        return victim

    def admit(self, page: str, size: int) -> None:
        self.uses[page] = 1
        self.size[page] = size
        self.value[page] = self.coming


@given(traces())
def test_is_its_definition(trace: Trace) -> None:
    assert evictions(Gdsf(), trace) == naive_evictions(NaiveGdsf(trace.capacity), trace)


def test_the_large_and_unused_leave_first() -> None:
    policy = Gdsf()
    for page_id, tokens in (("large", 100), ("small", 10), ("used", 100)):
        policy.on_insert(facts(page_id, tokens), 0)
    for _ in range(20):
        policy.on_hit("used", 1)
    assert policy.victims(210, (), 1) == ["large", "small", "used"]


def test_with_the_cost_of_tokens_size_does_not_matter() -> None:
    policy = Gdsf(cost_per_page=0, cost_per_token=1)
    for page_id, tokens in (("large", 100), ("small", 10)):
        policy.on_insert(facts(page_id, tokens), 0)
    policy.on_hit("large", 1)
    assert policy.victims(110, (), 1) == ["small", "large"]


def test_a_new_page_may_be_worth_the_least_unless_it_is_protected() -> None:
    policy = Gdsf()
    policy.on_insert(facts("a", 10), 0)
    policy.on_insert(facts("b", 100), 1)
    assert policy.victims(10, ("b",), 1) == ["a"]
    policy = Gdsf()
    policy.on_insert(facts("a", 10), 0)
    policy.on_insert(facts("b", 100), 1)
    assert policy.victims(10, (), 1) == ["b"]


def test_explains_by_value() -> None:
    policy = Gdsf()
    policy.on_insert(facts("a", 10), 0)
    policy.on_hit("a", 1)
    assert policy.explain("a", 1) == "value 0.2 above the last evicted (2 uses, 10 tokens): 0 of 1 pages are worth less"


def test_refuses_no_cost_at_all() -> None:
    with pytest.raises(PolicyError, match=r"^gdsf\.cost_per_page: .* more than 0 for at least one"):
        Gdsf(cost_per_page=0)
