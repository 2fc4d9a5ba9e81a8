import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.sinks import Sinks
from tests.policies.facts import facts


def filled(count: int = 8, **parameters: int) -> Sinks:
    policy = Sinks(**parameters)
    for turn in range(count):
        policy.on_insert(facts(f"p{turn}"), turn)
    return policy


def test_the_first_pages_stay_and_the_window_slides() -> None:
    policy = filled()
    assert policy.victims(20, (), 9) == ["p4", "p5"]
    assert policy.victims(20, {"p4"}, 9) == ["p5", "p6"]
    assert filled(sinks=1).victims(20, (), 9) == ["p1", "p2"]
    assert filled(sinks=0).victims(20, (), 9) == ["p0", "p1"]


def test_sinks_leave_last_the_latest_first_if_nothing_else_suffices() -> None:
    assert filled().victims(1000, (), 9) == ["p4", "p5", "p6", "p7", "p3", "p2", "p1", "p0"]


def test_a_sink_that_left_is_not_replaced() -> None:
    policy = filled()
    policy.on_remove("p0", evicted=False)
    policy.on_insert(facts("p0"), 9)
    assert policy.victims(50, (), 9) == ["p4", "p5", "p6", "p7", "p0"]
    woken = Sinks()
    woken.load(policy.dump())
    woken.on_insert(facts("p9"), 10)
    assert woken.victims(1000, (), 10)[5:] == ["p9", "p3", "p2", "p1"]


def test_explains_sinks_and_window() -> None:
    policy = filled()
    assert policy.explain("p1", 9) == "one of the first 4 pages: stays as a sink of attention"
    assert policy.explain("p5", 9).startswith("came in 4 turns ago")


@pytest.mark.parametrize(("field", "value"), [("sinks", ["z"]), ("sinks", None), ("seen", 5), ("seen", "all")])
def test_refuses_a_broken_state(field: str, value: object) -> None:
    policy = filled()
    with pytest.raises(PolicyError, match=rf"^sinks\.state\.{field}"):
        policy.load({**policy.dump(), field: value})
