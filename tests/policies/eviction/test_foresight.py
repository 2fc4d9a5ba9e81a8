import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.conformance import check_eviction_policy
from pagefault.policies.contract import Capability, EvictionPolicy, PageFacts, PolicyError
from pagefault.policies.eviction.foresight import Foresight
from pagefault.policies.registry import make_policy

NEWS = "Last Friday my sister Ingrid sold her bakery in Tromso and bought an old lighthouse."
CHATTER = "Wow, that sounds so great! Thanks, good luck to you!"
QUESTION = "What have you been up to? Anything new?"


def page(number: int, text: str = "", *, tokens: int = 20, kind: str = "message", author: str = "Per") -> PageFacts:
    return PageFacts(f"p{number}", kind, tokens, ordinal=number, author=author, text=text)


def told(pages: Sequence[PageFacts], **parameters: float) -> EvictionPolicy:
    policy = make_policy("foresight", **parameters)
    for turn, each in enumerate(pages):
        policy.on_insert(each, turn)
    return policy


def order(policy: EvictionPolicy) -> list[str]:
    return list(policy.victims(10**9, (), 100))


def test_it_keeps_the_contract() -> None:
    check_eviction_policy(Foresight)
    check_eviction_policy(lambda: Foresight(rewrite_weight=0.5), steps=600)


def test_it_goes_by_text_and_size() -> None:
    assert {Capability.NEEDS_TEXT, Capability.SIZE_AWARE} == Foresight().capabilities


def test_news_stay_and_chatter_and_questions_leave() -> None:
    policy = told([page(0, CHATTER), page(1, NEWS), page(2, CHATTER), page(3, QUESTION)])
    assert order(policy)[-1] == "p1"


def test_what_was_said_before_is_no_news() -> None:
    once = told([page(0, NEWS), page(1, NEWS.replace("Friday", "Monday"))])
    assert order(once) == ["p1", "p0"]


def test_a_result_that_brings_identifiers_stays_longer_than_one_that_repeats_them() -> None:
    record = '{"order": "AX4471", "customer": "ingrid_berg_2210", "flight": "TR338", "paid": 512}'
    policy = told([page(0, "hello"), page(1, record, kind="result"), page(2, record, kind="result")])
    assert order(policy).index("p2") < order(policy).index("p1")
    assert "identifiers that it brings" in policy.explain("p1", 3)


def test_a_long_page_has_to_be_worth_its_room() -> None:
    policy = told([page(0, NEWS, tokens=200), page(1, NEWS.replace("Ingrid", "Solveig"), tokens=20)])
    assert order(policy) == ["p0", "p1"]
    careless = told([page(0, NEWS, tokens=200), page(1, CHATTER, tokens=20)], size_power=0.0)
    assert order(careless) == ["p1", "p0"]


def test_a_use_makes_a_page_stay_and_is_remembered_beyond_an_eviction() -> None:
    policy = told([page(0, CHATTER), page(1, CHATTER), page(2, CHATTER)], use_weight=50.0)
    last = order(policy)[0]
    policy.on_hit(last, 3)
    assert order(policy)[-1] == last
    policy.on_remove(last, evicted=True)
    policy.on_insert(page(int(last[1:]), CHATTER), 4)
    assert order(policy)[-1] == last
    assert "used 2 times" in policy.explain(last, 4)


def test_recency_counts_once_uses_have_shown_that_it_does() -> None:
    pages = [page(number, NEWS) for number in range(400)]
    lately, long_ago = told(pages), told(pages)
    for _ in range(30):
        lately.on_hit("p398", 400)
        long_ago.on_hit("p2", 400)
    old, young = "p70", "p390"
    assert order(lately).index(old) < order(lately).index(young)
    assert order(long_ago).index(young) < order(long_ago).index(old)


def test_pages_without_text_among_others_leave_by_size_and_age() -> None:
    policy = told([page(0, tokens=5), page(1, tokens=50), page(2, tokens=10), page(3, NEWS, tokens=10)])
    assert [each for each in order(policy) if each != "p3"] == ["p1", "p2", "p0"]


def test_a_flush_that_weighs_the_prefix_cache_takes_pages_that_lie_together() -> None:
    pages = [page(number, NEWS if number % 4 else CHATTER, tokens=10) for number in range(40)]
    plain, batch = told(pages), told(pages, rewrite_weight=10.0)

    def first_hole(policy: EvictionPolicy) -> int:
        return min(int(each[1:]) for each in policy.victims(100, {"p39"}, 50))

    assert first_hole(batch) > first_hole(plain)
    assert first_hole(batch) == 29
    assert "p39" not in batch.victims(10**9, {"p39"}, 50)


def test_it_says_why_in_one_line() -> None:
    policy = told([page(0, QUESTION, author="Liv"), page(1, NEWS), page(2, CHATTER, author="Liv")])
    kept, gone = policy.explain("p1", 3), policy.explain("p2", 3)
    assert "1 pages old, 20 tokens: number 3 of 3 to leave" in kept
    assert "+ " in kept
    assert "- courtesies" in gone


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.text(max_size=60), st.integers(0, 400)), max_size=15), st.integers(0, 15))
def test_a_dump_in_mid_trace_changes_nothing(texts: list[tuple[str, int]], when: int) -> None:
    through, straight = Foresight(), Foresight()
    for turn, (text, tokens) in enumerate(texts):
        if turn == when:
            asleep = json.dumps(through.dump(), allow_nan=False)
            through = Foresight()
            through.load(json.loads(asleep))
        for policy in (through, straight):
            policy.on_insert(page(turn, text, tokens=tokens), turn)
            for victim in policy.victims(tokens - 100, {f"p{turn}"}, turn):
                policy.on_remove(victim, evicted=True)
    assert through.dump() == straight.dump()
    assert order(through) == order(straight)


@pytest.mark.parametrize(
    ("name", "value"), [("use_weight", -1.0), ("size_power", 3.0), ("rewrite_weight", float("nan"))]
)
def test_parameters_have_bounds(name: str, value: float) -> None:
    with pytest.raises(PolicyError, match=rf"foresight\.{name}"):
        make_policy("foresight", **{name: value})


def test_a_state_of_another_policy_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"foresight\.state\.policy"):
        Foresight().load({"policy": "lru", "pages": []})


def test_where_there_is_nothing_to_read_it_goes_by_last_use() -> None:
    policy = Foresight()
    for number in range(6):
        policy.on_insert(PageFacts(f"p{number}", "page", 10 + number, number), number)
    policy.on_hit("p0", 6)
    policy.on_hit("p2", 7)
    assert list(policy.victims(10**6, (), 8)) == ["p1", "p3", "p4", "p5", "p0", "p2"]
    assert "no page has a text to read" in policy.explain("p1", 8)
    woken = Foresight()
    woken.load(policy.dump())
    assert list(woken.victims(10**6, (), 8)) == ["p1", "p3", "p4", "p5", "p0", "p2"]
    woken.on_insert(PageFacts("p9", "message", 10, 9, text="Marta moved to Lisbon in 2021"), 9)
    assert "uses expected" in woken.explain("p9", 9), "with one text there is something to compare"
    woken.on_remove("p9", evicted=True)
    assert "no page has a text to read" in woken.explain("p1", 9)
