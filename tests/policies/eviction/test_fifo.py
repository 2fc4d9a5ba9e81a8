import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.fifo import Fifo
from tests.policies.facts import facts


def filled() -> Fifo:
    policy = Fifo()
    for turn, page_id in enumerate("abcd"):
        policy.on_insert(facts(page_id), turn)
    return policy


def test_leaves_in_the_order_of_coming_in_whatever_was_used() -> None:
    policy = filled()
    policy.on_hit("a", 4)
    assert policy.victims(40, (), 5) == ["a", "b", "c", "d"]


def test_takes_no_more_than_needed_and_passes_over_the_protected() -> None:
    assert filled().victims(11, {"b"}, 5) == ["a", "c"]


def test_a_page_that_comes_back_comes_in_last() -> None:
    policy = filled()
    policy.on_remove("a", evicted=True)
    policy.on_insert(facts("a"), 5)
    assert policy.victims(40, (), 6) == ["b", "c", "d", "a"]


def test_asking_changes_nothing() -> None:
    policy = filled()
    assert policy.victims(20, (), 5) == policy.victims(20, (), 5) == ["a", "b"]


def test_explains_by_age_and_place() -> None:
    assert filled().explain("c", 7) == "came in 5 turns ago: number 3 of 4 to leave"


def test_a_page_that_is_not_held_is_the_callers_mistake() -> None:
    with pytest.raises(KeyError):
        filled().explain("z", 7)
    with pytest.raises(KeyError):
        filled().on_remove("z", evicted=True)


def test_refuses_the_state_of_another_policy() -> None:
    with pytest.raises(PolicyError, match=r"fifo\.state\.policy: found 'lru', allowed: 'fifo'"):
        Fifo().load({"policy": "lru", "pages": []})
