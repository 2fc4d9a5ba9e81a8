import os
import subprocess
import sys

import pytest

from pagefault.policies.contract import Capability, PolicyError
from pagefault.policies.eviction.importance import Importance, estimated_importance, scaled
from tests.policies.facts import facts


def test_the_score_is_the_papers() -> None:
    policy = Importance(decay=0.5)
    policy.on_insert(facts("old", importance=0.9), 0)  # recency 0.5**4 -> 0,        importance 1
    policy.on_insert(facts("mid", importance=0.5), 2)  # recency 0.5**2 -> 3/15,     importance 0.5
    policy.on_insert(facts("new", importance=0.1), 4)  # recency 1      -> 1,        importance 0
    assert policy.victims(30, (), 4) == ["mid", "old", "new"]  # 0.7, 1.0 and (used later) 1.0
    assert policy.explain("mid", 4) == (
        "score 0.700 (recency 0.20, importance 0.50, relevance 0.00): number 1 of 3 to leave"
    )


def test_recency_alone_is_least_recently_used() -> None:
    policy = Importance(importance_weight=0)
    for turn, page_id in enumerate("abcd"):
        policy.on_insert(facts(page_id, importance=1 - turn / 10), turn)
    policy.on_hit("a", 4)
    assert policy.victims(40, (), 5) == ["b", "c", "d", "a"]


def test_importance_alone_ignores_time() -> None:
    policy = Importance(recency_weight=0)
    for turn, claimed in enumerate([0.4, 0.1, 0.9, 0.2]):
        policy.on_insert(facts(f"p{turn}", importance=claimed), turn)
    policy.on_hit("p1", 9)
    assert policy.victims(40, (), 10) == ["p1", "p3", "p0", "p2"]


def test_relevance_keeps_what_shares_rare_words_with_the_newest_page() -> None:
    policy = Importance(recency_weight=0, importance_weight=0, relevance_weight=1)
    policy.on_insert(facts("boat", text="the boat lies in the harbour"), 0)
    policy.on_insert(facts("soup", text="the soup is on the stove"), 1)
    policy.on_insert(facts("ask", text="where does the harbour begin?"), 2)
    assert policy.victims(30, (), 3) == ["soup", "boat", "ask"]
    policy.on_hit("soup", 3)
    assert policy.victims(30, (), 3) == ["boat", "ask", "soup"]


def test_equally_relevant_pages_are_not_told_apart_by_rounding() -> None:
    # All cosines are 1/sqrt(5), which comes out as two numbers; they are all there is, so scaling makes them 0 and 1.
    policy = Importance(recency_weight=0, importance_weight=0, relevance_weight=1)
    for turn, text in enumerate(["a b c d", "e f g h i j k l m"] * 2):
        policy.on_insert(facts(f"p{turn}", text=text), turn)
    policy.on_insert(facts("ask", text="a b e f g"), 4)
    policy.on_remove("ask", evicted=False)
    assert policy.victims(40, (), 5) == ["p0", "p1", "p2", "p3"]


def test_protecting_a_page_does_not_change_the_order_of_the_others() -> None:
    policy = Importance()
    for turn, claimed in enumerate([0.0, 0.5, 0.4, 1.0]):
        policy.on_insert(facts(f"p{turn}", importance=claimed), turn * 50)
    whole = list(policy.victims(40, (), 200))
    for held in whole:
        assert policy.victims(40, {held}, 200) == [page_id for page_id in whole if page_id != held]


def test_size_aware_makes_a_long_page_earn_its_room() -> None:
    plain, aware = Importance(recency_weight=0), Importance(recency_weight=0, size_aware=True)
    for policy in (plain, aware):
        policy.on_insert(facts("none", tokens=1, importance=0.0), 0)
        policy.on_insert(facts("short", tokens=10, importance=0.5), 1)
        policy.on_insert(facts("long", tokens=400, importance=1.0), 2)
    assert plain.victims(1000, (), 3) == ["none", "short", "long"]
    assert aware.victims(1000, (), 3) == ["none", "long", "short"]
    assert Capability.SIZE_AWARE in aware.capabilities - plain.capabilities


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("Okay, thanks!", "My sister moved to Lisbon in 2019 and opened a bakery."),
        ("Where does your sister live?", "She lives in a small flat near the old tram depot."),
        ("we went to a place and did a thing", "We went to Prague and saw Dvorak at the Rudolfinum."),
        ("", "something"),
    ],
)
def test_a_specific_text_is_estimated_higher(less: str, more: str) -> None:
    assert 0 <= estimated_importance(facts("a", text=less)) < estimated_importance(facts("b", text=more)) < 1


def test_the_estimate_by_its_definition() -> None:
    # visited, Marta, Porto, 2021 have four letters or more; Porto is a name (Marta begins the sentence), 2021 a number.
    assert estimated_importance(facts("a", text="Marta visited Porto in 2021.")) == 8 / (8 + 12)


def test_notices_count_nothing_and_results_less() -> None:
    text = "The archive has 2,481 pages about Lisbon."
    notice, result, message = (
        estimated_importance(facts("a", kind=kind, text=text)) for kind in ("notice", "result", "message")
    )
    assert notice == 0 < result < message


def test_a_claim_beats_the_estimate() -> None:
    policy = Importance(recency_weight=0)
    policy.on_insert(facts("dull", text="ok", importance=0.9), 0)
    policy.on_insert(facts("rich", text="Anna met Prince Rupert in Innsbruck in 1996"), 1)
    assert policy.victims(10, (), 2) == ["rich"]


def test_scaling_covers_the_unit_interval_or_says_nothing() -> None:
    assert scaled([2.0, 4.0, 3.0]) == [0.0, 1.0, 0.5]
    assert scaled([7.0, 7.0]) == [0.0, 0.0]
    assert scaled([]) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay": 0}, r"importance\.decay: found 0, allowed: a number of at least 1e-06 and at most 1"),
        ({"decay": "high"}, r"importance\.decay: found 'high'"),
        ({"recency_weight": -1}, r"importance\.recency_weight: found -1"),
        ({"recency_weight": float("nan")}, r"importance\.recency_weight: found nan"),
        ({"recency_weight": float("inf")}, r"importance\.recency_weight: found inf, allowed: a finite number"),
        ({"recency_weight": 0, "importance_weight": 0}, "more than 0 for at least one of the weights"),
        ({"size_aware": 1}, r"importance\.size_aware: found 1, allowed: true or false"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, float], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Importance(**given)  # type: ignore[arg-type]  # wrong on purpose


def test_the_order_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "from pagefault.policies.eviction.importance import Importance\n"
        "from pagefault.policies.contract import PageFacts\n"
        "policy = Importance(relevance_weight=1)\n"
        "for n in range(60):\n"
        "    text = ' '.join(f'word{n * k % 17}' for k in range(1, 9))\n"
        "    policy.on_insert(PageFacts(id=f'p{n}', kind='message', tokens=5, text=text), n)\n"
        "print(policy.victims(10**6, (), 60), policy.dump())\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(answers) == 1
