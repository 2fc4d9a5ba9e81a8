from collections import Counter

from pagefault.policies.eviction.random import Random
from tests.policies.facts import facts


def filled(seed: int) -> Random:
    policy = Random(seed=seed)
    for page_id in "abcdefgh":
        policy.on_insert(facts(page_id), 0)
    return policy


def test_all_leave_with_equal_chances() -> None:
    first = Counter(filled(seed).victims(10, (), 0)[0] for seed in range(1600))
    assert set(first) == set("abcdefgh")
    assert all(150 <= count <= 250 for count in first.values()), "200 each, 13 a standard deviation"


def test_all_unprotected_leave_with_equal_chances() -> None:
    first = Counter(filled(seed).victims(10, ("a", "h"), 0)[0] for seed in range(1200))
    assert set(first) == set("bcdefg")
    assert all(150 <= count <= 250 for count in first.values())


def test_a_seed_is_an_order() -> None:
    assert filled(3).victims(80, (), 0) == filled(3).victims(80, (), 0) != filled(4).victims(80, (), 0)


def test_explains_by_its_chance() -> None:
    policy = filled(1)
    policy.on_hit("a", 0)
    assert policy.explain("a", 0) == "leaves with a chance of 1 in 8"
