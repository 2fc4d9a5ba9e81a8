import math

import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.memory_os import MemoryOs, MemoryOsAsReleased
from pagefault.policies.registry import make_policy
from tests.policies.facts import facts


def filled(policy: MemoryOs, hits: dict[str, int]) -> MemoryOs:
    for turn, page_id in enumerate(hits):
        policy.on_insert(facts(page_id), turn)
    for page_id, count in hits.items():
        for _ in range(count):
            policy.on_hit(page_id, 10)
    return policy


def test_heat_is_visits_length_and_recency() -> None:
    policy = filled(MemoryOs(), {"a": 2, "b": 0})
    turns = 1e7 / 3600
    assert policy.explain("a", 1010).startswith(f"heat {2 + 1 + math.exp(-1000 / turns):.3f} (2 visits, the last 1000")
    policy = filled(MemoryOs(visit_weight=2, length_weight=3, recency_weight=4, turn_seconds=1e6), {"a": 2})
    assert policy.explain("a", 20).startswith(f"heat {4 + 3 + 4 * math.exp(-1):.3f}")


def test_the_coldest_leaves_first_and_among_equals_the_least_recently_used() -> None:
    policy = filled(MemoryOs(), {"a": 2, "b": 0, "c": 1, "d": 0})
    assert policy.victims(40, (), 20) == ["b", "d", "c", "a"]
    policy.on_hit("b", 21)
    assert policy.victims(20, (), 22) == ["d", "c"]


def test_recency_decides_within_a_visit_only() -> None:
    policy = filled(MemoryOs(), {"old": 2, "new": 1})
    policy.on_hit("new", 50_000)
    assert policy.victims(10, (), 50_000) == ["old"], "2 visits each, and one of them faded"


def test_as_released_the_fewest_visits_leave_and_then_the_first_in() -> None:
    policy = filled(MemoryOsAsReleased(), {"a": 1, "b": 0, "c": 0, "d": 3})
    policy.on_hit("b", 40)
    assert policy.victims(40, (), 50) == ["c", "a", "b", "d"], "b was used later than a, which does not count"
    assert policy.explain("d", 50) == "3 visits: number 4 of 4 to leave"


@pytest.mark.parametrize("field", ["visit_weight", "length_weight", "recency_weight"])
def test_refuses_weights_below_nothing(field: str) -> None:
    with pytest.raises(PolicyError, match=rf"^memory_os\.{field}: found -1, allowed: a number of at least 0$"):
        make_policy("memory_os", **{field: -1})
