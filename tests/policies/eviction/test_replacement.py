"""What the base class promises, for every policy that is built on it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import CapacityAware, PolicyError
from pagefault.policies.eviction.replacement import Replacement, Segmented, first_free
from pagefault.policies.registry import EVICTION, make_policy
from tests.policies.eviction.naive import Trace, evictions, traces
from tests.policies.facts import facts

BUILT = sorted(name for name, made in EVICTION.items() if isinstance(made, type) and issubclass(made, Replacement))
SEGMENTED = sorted(name for name in BUILT if isinstance(make_policy(name), Segmented))
ALL = 10**9


def filled(name: str, pages: str = "abcdef") -> Replacement:
    policy = make_policy(name)
    assert isinstance(policy, Replacement)
    for turn, page_id in enumerate(pages):
        policy.on_insert(facts(page_id), turn)
    return policy


def test_there_are_policies_built_on_it() -> None:
    assert {"arc", "clock", "gdsf", "lfu", "lirs", "lru_k", "s3fifo", "sieve", "slru", "two_q"} <= set(BUILT)


@pytest.mark.parametrize("name", BUILT)
def test_a_named_page_that_stays_is_named_first_again(name: str) -> None:
    policy = filled(name)
    first = list(policy.victims(20, {"f"}, 6))
    policy.on_insert(facts("g"), 7)
    assert list(policy.victims(40, {"f", "g"}, 7))[:2] == first


@pytest.mark.parametrize("name", BUILT)
def test_a_named_page_that_is_protected_stays_and_the_others_are_named(name: str) -> None:
    policy = filled(name)
    first = list(policy.victims(20, {"f"}, 6))
    again = list(policy.victims(20, {"f", first[0]}, 6))
    assert first[0] not in again
    assert again[0] == first[1]
    assert set(policy.victims(ALL, (), 6)) == set("abcdef"), "it may leave later"


@pytest.mark.parametrize("name", BUILT)
def test_a_named_page_that_is_used_is_in_its_place_again(name: str) -> None:
    policy = filled(name)
    (first,) = policy.victims(10, {"f"}, 6)
    assert policy.explain(first, 6) == "was chosen: number 1 of 1 that are to leave next"
    policy.on_hit(first, 7)
    assert "chosen" not in policy.explain(first, 7)


@pytest.mark.parametrize("name", BUILT)
def test_the_arriving_page_has_no_place_until_it_is_used(name: str) -> None:
    policy = filled(name)
    assert policy.explain("f", 6).startswith("came in just now")
    assert list(policy.victims(ALL, {"f"}, 6)) != []
    assert policy.explain("f", 6).startswith("came in just now"), "the flush that it caused comes first"
    policy.on_hit("f", 7)
    assert not policy.explain("f", 7).startswith("came in just now")


@pytest.mark.parametrize("name", BUILT)
def test_an_arriving_page_that_is_not_protected_may_leave(name: str) -> None:
    policy = filled(name)
    assert set(policy.victims(ALL, (), 6)) == set("abcdef")


@pytest.mark.parametrize("name", BUILT)
def test_an_arriving_page_may_leave_by_itself(name: str) -> None:
    policy = filled(name)
    policy.on_remove("f", evicted=False)
    assert set(policy.victims(ALL, (), 6)) == set("abcde")
    policy.on_insert(facts("f"), 7)
    assert set(policy.victims(ALL, (), 7)) == set("abcdef")


@pytest.mark.parametrize("name", BUILT)
def test_a_page_that_is_not_held_is_the_callers_mistake(name: str) -> None:
    policy = filled(name)
    for mistake in (
        lambda: policy.on_hit("z", 7),
        lambda: policy.on_remove("z", evicted=True),
        lambda: policy.explain("z", 7),
    ):
        with pytest.raises(KeyError, match="z"):
            mistake()


@pytest.mark.parametrize("name", BUILT)
@settings(max_examples=40)
@given(trace=traces(), cut=st.integers(0, 60))
def test_a_dump_in_mid_trace_changes_nothing(name: str, trace: Trace, cut: int) -> None:
    whole, begun = make_policy(name), make_policy(name)
    expected = evictions(whole, trace)
    resumed: list[Replacement] = []

    class Resumes:
        """Passes everything on to ``begun``, and from call ``cut`` on to a policy that loaded its state."""

        def __init__(self) -> None:
            self.calls = 0

        def __getattr__(self, called: str) -> Any:
            self.calls += 1
            if self.calls == cut + 1:
                fresh = make_policy(name)
                assert isinstance(fresh, Replacement)
                fresh.load(begun.dump())
                resumed.append(fresh)
            return getattr(resumed[0] if resumed else begun, called)

    assert evictions(Resumes(), trace) == expected


@pytest.mark.parametrize("name", BUILT)
@settings(max_examples=40)
@given(trace=traces())
def test_many_victims_at_once_are_those_that_leave_one_by_one(name: str, trace: Trace) -> None:
    told = {"capacity_tokens": trace.capacity} if name in SEGMENTED else {}
    at_once, one_by_one = make_policy(name, **told), make_policy(name, **told)
    resident: dict[str, int] = {}
    for turn, number in enumerate(trace.requests):
        page = facts(f"p{number}", trace.sizes[number])
        for policy in (at_once, one_by_one):
            if page.id in resident:
                policy.on_hit(page.id, turn)
            else:
                policy.on_insert(page, turn)
        resident[page.id] = page.tokens
        if sum(resident.values()) <= trace.capacity:
            continue
        needed = sum(resident.values()) - trace.capacity // 2  # a flush down to half, as contexts do
        leaving = list(at_once.victims(needed, {page.id}, turn))
        for expected in leaving:
            assert list(one_by_one.victims(1, {page.id}, turn)) == [expected]
            for policy in (at_once, one_by_one):
                policy.on_remove(expected, evicted=True)
            del resident[expected]


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("policy", "another"),
        ("pages", [["a", "ten"]]),
        ("arriving", 3),
        ("arriving", "nowhere"),
        ("leaving", [["nowhere", 0]]),
        ("leaving", None),
        ("pages", [["a", 10], ["stranger", 10]]),
    ],
)
def test_refuses_a_broken_state_and_keeps_its_own(name: str, field: str, value: object) -> None:
    policy = filled(name)
    policy.victims(20, {"f"}, 6)
    before = policy.dump()
    with pytest.raises(PolicyError, match=rf"^{name}\.state"):
        policy.load({**before, field: value})
    assert policy.dump() == before


@pytest.mark.parametrize("name", BUILT)
def test_refuses_a_state_that_lacks_a_field(name: str) -> None:
    policy = filled(name)
    state = policy.dump()
    for field in state:
        if field == "arriving":
            continue
        with pytest.raises(PolicyError, match=rf"^{name}\.state"):
            make_policy(name).load({key: value for key, value in state.items() if key != field})


@pytest.mark.parametrize("name", SEGMENTED)
def test_learns_the_capacity_from_what_a_flush_lets_stay(name: str) -> None:
    policy = filled(name)
    assert policy.dump()["capacity_tokens"] == 0
    policy.victims(25, {"f"}, 6)
    assert policy.dump()["capacity_tokens"] == 35
    policy.victims(30, {"f"}, 6)
    assert policy.dump()["capacity_tokens"] == 35, "the most that stayed"


@pytest.mark.parametrize("name", SEGMENTED)
def test_is_told_the_capacity_at_any_time(name: str) -> None:
    policy = filled(name)
    assert isinstance(policy, CapacityAware)
    policy.set_capacity(50)
    policy.victims(ALL, {"f"}, 6)
    policy.victims(1, {"f"}, 6)
    assert policy.dump()["capacity_tokens"] == 50
    with pytest.raises(PolicyError, match=rf"^{name}\.capacity_tokens: found 0, allowed: a whole number from 1"):
        policy.set_capacity(0)


@pytest.mark.parametrize("name", SEGMENTED)
def test_what_is_told_outlives_a_snapshot(name: str) -> None:
    asleep = make_policy(name, capacity_tokens=50)
    awake = make_policy(name, capacity_tokens=70)
    awake.load(asleep.dump())
    assert awake.dump()["capacity_tokens"] == 70
    learns = make_policy(name)
    learns.load(asleep.dump())
    assert learns.dump()["capacity_tokens"] == 50


@pytest.mark.parametrize("name", SEGMENTED)
def test_no_list_refuses_a_page_that_fits_the_whole(name: str) -> None:
    policy = make_policy(name, capacity_tokens=100)
    for turn, tokens in enumerate((5, 99, 7, 60, 60, 100)):
        policy.on_insert(facts(f"p{turn}", tokens), turn)
        held = sum(row[1] for row in policy.dump()["pages"])
        for victim in policy.victims(held - 100, {f"p{turn}"}, turn):
            policy.on_remove(victim, evicted=True)
        assert f"p{turn}" in {row[0] for row in policy.dump()["pages"]}
        assert sum(row[1] for row in policy.dump()["pages"]) <= 100


def test_first_free_reads_no_further_than_it_must() -> None:
    assert first_free(iter("abc"), ()) == "a"
    assert first_free(iter("abc"), {"a", "b"}) == "c"
    assert first_free(iter("abc"), {"a", "b", "c"}) is None
    assert first_free((), ()) is None
