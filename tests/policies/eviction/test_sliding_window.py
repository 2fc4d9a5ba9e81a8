from pagefault.policies.eviction.sliding_window import SlidingWindow
from tests.policies.facts import facts


def filled(kinds: str) -> SlidingWindow:
    """Pages ``p0``, ``p1``, … of 10 tokens; ``u`` is a user's message, ``a`` a reply."""
    policy = SlidingWindow()
    for turn, kind in enumerate(kinds):
        policy.on_insert(facts(f"p{turn}", kind={"u": "message", "a": "reply"}[kind]), turn)
    return policy


def ids(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def test_a_share_of_the_oldest_leaves_at_once() -> None:
    assert filled("aaaaaaaaaa").victims(10, (), 9) == ids(4)


def test_the_share_grows_in_steps_until_it_suffices() -> None:
    policy = filled("a" * 20)
    assert policy.victims(80, (), 9) == ids(8)
    assert policy.victims(90, (), 9) == ids(10)
    assert policy.victims(110, (), 9) == ids(12)
    assert policy.victims(10_000, (), 9) == ids(20)


def test_the_cut_is_moved_to_the_next_reply() -> None:
    assert filled("uauauuuaua").victims(10, (), 9) == ids(7)
    assert filled("uauaauuauu").victims(10, (), 9) == ids(4)
    assert filled("aaaauuuuuu").victims(10, (), 9) == ids(4), "there is none: the cut stays"


def test_the_protected_do_not_count() -> None:
    assert filled("aaaaaaaaaaaa").victims(10, {"p0", "p11"}, 9) == ["p1", "p2", "p3", "p4"]


def test_nothing_leaves_when_nothing_is_needed() -> None:
    assert filled("aaaa").victims(0, (), 9) == []
    assert SlidingWindow().victims(10, (), 9) == []


def test_explains_by_place_and_share() -> None:
    assert filled("aaaa").explain("p1", 9) == "number 2 of 4 from the old end, of which 40% leave at once"
