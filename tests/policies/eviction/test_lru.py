import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.eviction.selection import first_to_leave
from tests.policies.facts import facts


def filled() -> Lru:
    policy = Lru()
    for turn, page_id in enumerate("abcd"):
        policy.on_insert(facts(page_id), turn)
    return policy


def test_a_hit_puts_a_page_last() -> None:
    policy = filled()
    policy.on_hit("a", 4)
    policy.on_hit("c", 5)
    assert policy.victims(40, (), 6) == ["b", "d", "a", "c"]


def test_takes_no_more_than_needed_and_passes_over_the_protected() -> None:
    policy = filled()
    policy.on_hit("a", 4)
    assert policy.victims(11, {"b"}, 5) == ["c", "d"]


def test_within_a_turn_the_order_of_use_counts() -> None:
    policy = filled()
    policy.on_hit("b", 9)
    policy.on_hit("a", 9)
    assert policy.victims(40, (), 9) == ["c", "d", "b", "a"]


def test_explains_by_its_place() -> None:
    policy = filled()
    policy.on_hit("a", 4)
    assert policy.explain("a", 6) == "least recently used first: number 4 of 4 to leave"
    assert policy.explain("b", 6) == "least recently used first: number 1 of 4 to leave"
    with pytest.raises(KeyError):
        policy.explain("z", 6)


@given(st.lists(st.integers(0, 30)), st.integers(-5, 200), st.sets(st.integers(0, 30)))
def test_victims_are_those_of_the_end_that_all_policies_share(sizes: list[int], needed: int, held: set[int]) -> None:
    policy = Lru()
    for turn, tokens in enumerate(sizes):
        policy.on_insert(facts(str(turn), tokens), turn)
    order = [(str(turn), tokens) for turn, tokens in enumerate(sizes)]
    protected = {str(each): None for each in held}
    assert policy.victims(needed, protected.keys(), len(sizes)) == first_to_leave(order, needed, protected)


def test_a_hit_on_a_page_that_is_not_held_is_the_callers_mistake() -> None:
    with pytest.raises(KeyError):
        filled().on_hit("z", 7)


def test_refuses_a_broken_state_and_keeps_its_own() -> None:
    policy = filled()
    with pytest.raises(PolicyError, match=r"lru\.state\.pages\[0\]"):
        policy.load({"policy": "lru", "pages": [["a", "ten"]]})
    assert policy.victims(10, (), 5) == ["a"]
