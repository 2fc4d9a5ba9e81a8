from pagefault.policies.eviction.memgpt import MemGpt
from tests.policies.facts import facts


def filled(kinds: str, keep_last: int = 3) -> MemGpt:
    """Pages ``p0``, ``p1``, … of 10 tokens; ``u`` is a user's message, ``a`` a reply."""
    policy = MemGpt(keep_last=keep_last)
    for turn, kind in enumerate(kinds):
        policy.on_insert(facts(f"p{turn}", kind={"u": "message", "a": "reply"}[kind]), turn)
    return policy


def test_the_oldest_leave_first_whatever_was_used() -> None:
    policy = filled("aaaaaa")
    policy.on_hit("p0", 9)
    assert policy.victims(20, (), 9) == ["p0", "p1"]


def test_the_rest_does_not_begin_with_a_users_message() -> None:
    assert filled("uauaua").victims(20, (), 9) == ["p0", "p1", "p2"]
    assert filled("uuuaua").victims(10, (), 9) == ["p0", "p1"], "one more, not all of them"
    assert filled("uauaua").victims(10, (), 9) == ["p0"]


def test_the_last_three_leave_only_if_nothing_else_suffices() -> None:
    assert filled("uauaaa").victims(30, (), 9) == ["p0", "p1", "p2"]
    assert filled("aaaaua").victims(40, (), 9) == ["p0", "p1", "p2", "p3"]
    assert filled("aaaaaa").victims(1000, (), 9) == ["p0", "p1", "p2", "p3", "p4", "p5"]
    assert filled("aaaaaa", keep_last=0).victims(50, (), 9) == ["p0", "p1", "p2", "p3", "p4"]


def test_the_protected_are_passed_over() -> None:
    assert filled("aaauaaa").victims(20, {"p1"}, 9) == ["p0", "p2", "p3"]


def test_nothing_leaves_when_nothing_is_needed() -> None:
    assert filled("uuuuuu").victims(0, (), 9) == []


def test_explains_by_place() -> None:
    policy = filled("aaaaaa")
    assert policy.explain("p1", 9) == "number 2 of 6 to leave, in the order of coming in"
    assert policy.explain("p3", 9) == "one of the last 3 messages: stays if the others suffice"
