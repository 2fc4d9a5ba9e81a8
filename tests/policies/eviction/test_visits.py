import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.visits import Visited, Visits
from tests.policies.facts import facts


class FewestVisits(Visits):
    name = "fewest"

    def _order(self, turn: int) -> list[str]:
        return sorted(self._pages, key=lambda page_id: self._pages[page_id].visits)

    def _reason(self, page_id: str, page: Visited, turn: int) -> str:
        return f"{page.visits} visits, {turn - page.used_turn} turns ago"


def filled() -> FewestVisits:
    policy = FewestVisits()
    for turn, page_id in enumerate("abc"):
        policy.on_insert(facts(page_id), turn)
    policy.on_hit("a", 7)
    return policy


def test_a_subclass_orders_and_explains() -> None:
    policy = filled()
    assert policy.victims(20, {"b"}, 9) == ["c", "a"]
    assert policy.explain("a", 9) == "1 visits, 2 turns ago: number 3 of 3 to leave"
    policy.on_remove("b", evicted=True)
    assert policy.victims(20, (), 9) == ["c", "a"]


def test_a_state_goes_through_a_dump() -> None:
    policy = FewestVisits()
    policy.load(filled().dump())
    assert policy.dump() == filled().dump()
    with pytest.raises(PolicyError, match=r"^fewest\.state\.pages\[0\]"):
        policy.load({"policy": "fewest", "pages": [["a", 10, 1]]})


def test_a_page_that_is_not_held_is_the_callers_mistake() -> None:
    for mistake in (lambda: filled().on_hit("z", 1), lambda: filled().explain("z", 1)):
        with pytest.raises(KeyError):
            mistake()
