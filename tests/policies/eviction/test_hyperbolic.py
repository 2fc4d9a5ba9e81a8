from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.contract import Capability
from pagefault.policies.eviction.hyperbolic import Hyperbolic
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveHyperbolic(NaiveCache):
    def __init__(self, capacity: int, *, size_aware: bool) -> None:
        super().__init__(capacity)
        self.size_aware = size_aware
        self.now = 0
        self.uses: dict[str, int] = {}
        self.came: dict[str, int] = {}

    def hit(self, page: str) -> None:
        self.now += 1
        self.uses[page] += 1

    def priority(self, page: str) -> float:
        size = self.resident[page] if self.size_aware else 1
        return self.uses[page] / (size * (1 + self.now - self.came[page]))

    def evict(self, incoming: int) -> str:
        victim = min(self.came, key=lambda page: (self.priority(page), page))
        del self.came[victim], self.uses[victim]
        return victim

    def admit(self, page: str, size: int) -> None:
        self.now += 1
        self.uses[page] = 1
        self.came[page] = self.now


@given(traces(), st.booleans())
def test_with_a_sample_of_all_is_its_definition(trace: Trace, size_aware: bool) -> None:
    """Up to ties, which the policy breaks by a place in memory: there the priorities must be equal."""
    naive = NaiveHyperbolic(trace.capacity, size_aware=size_aware)
    policy = Hyperbolic(size_aware=size_aware)
    found, expected = evictions(policy, trace), naive_evictions(naive, trace)
    differs = next((at for at, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]), None)
    if differs is None:
        return
    naive = NaiveHyperbolic(trace.capacity, size_aware=size_aware)
    for number in trace.requests[:differs]:
        naive.request(f"p{number}", trace.sizes[number])
    first = next(
        at for at, pair in enumerate(zip(found[differs], expected[differs], strict=False)) if pair[0] != pair[1]
    )
    for victim in expected[differs][:first]:
        del naive.resident[victim]
    assert naive.priority(found[differs][first]) == naive.priority(expected[differs][first])


def test_a_sample_misses_the_lowest_now_and_then() -> None:
    def lowest_leaves(seed: int) -> bool:
        policy = Hyperbolic(sample=8, seed=seed)
        for number in range(64):
            policy.on_insert(facts(f"p{number}", 100 if number == 40 else 1), 0)
        return policy.victims(1, (), 0) == ["p40"]

    found = [lowest_leaves(seed) for seed in range(200)]
    assert 5 <= sum(found) <= 60, "8 draws of 64 find it about 12 times in 100"


def test_says_that_it_is_size_aware_only_if_it_is() -> None:
    assert Capability.SIZE_AWARE in Hyperbolic().capabilities
    assert Capability.SIZE_AWARE not in Hyperbolic(size_aware=False).capabilities


def test_explains_by_uses_and_stay() -> None:
    policy = Hyperbolic()
    for page_id in "ab":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("a", 1)
    assert policy.explain("a", 1) == "2 uses in 2 references: 1 of 2 pages rank below it"
