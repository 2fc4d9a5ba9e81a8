import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.history import History
from tests.policies.facts import facts


class Replies(History):
    name = "replies"

    def explain(self, page_id: str, turn: int) -> str:
        return self._kinds[page_id]


def filled() -> Replies:
    policy = Replies()
    policy.on_insert(facts("a", kind="reply"), 0)
    policy.on_insert(facts("b", kind="message"), 1)
    return policy


def test_kinds_go_through_a_dump_and_leave_with_the_page() -> None:
    policy = Replies()
    policy.load(filled().dump())
    assert policy.explain("a", 1) == "reply"
    policy.on_remove("a", evicted=True)
    with pytest.raises(KeyError):
        policy.explain("a", 1)


@pytest.mark.parametrize("kinds", [[["a", "reply"]], [["a", "reply"], ["b", 3]], None])
def test_refuses_a_state_without_the_kind_of_a_page(kinds: object) -> None:
    policy = filled()
    with pytest.raises(PolicyError, match=r"^replies\.state\.kinds"):
        policy.load({**policy.dump(), "kinds": kinds})
    assert policy.explain("b", 1) == "message"
