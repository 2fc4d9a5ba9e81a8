"""Verdicts on answers."""

from __future__ import annotations

import pytest

from pagefault.cluster.worlds.town_plan import TownPlan
from pagefault.cluster.worlds.town_score import Heard, Knowledge, judge, measure_spread, world_hash

TOPIC = "the colour of Ada-Ash's cat"
HEARD = [Heard(1, "teal", "Bela-Ash"), Heard(6, "amber", "Cora-Ash")]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (f"{TOPIC} is amber", "right"),
        (f"I think {TOPIC} is teal.", "stale"),
        (f"{TOPIC} is olive", "wrong"),
        ("the colour of Bela-Ash's cat is amber", "unknown"),
        (f"I do not know {TOPIC}.", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_answer_is_held_against_what_was_heard(answer: str, verdict: str) -> None:
    assert judge(answer, TOPIC, HEARD) == verdict


def test_what_people_believe_is_true_or_was_or_never() -> None:
    plan = TownPlan(("a", "b", "c"), 1, 1, (), {TOPIC: ((0, "teal"), (5, "amber"))}, {TOPIC: 4})
    known = {
        name: Knowledge({TOPIC: [Heard(6, value, "x")]})
        for name, value in zip("abc", ("teal", "amber", "red"), strict=True)
    }
    found = measure_spread(plan, known)
    assert (found.heard, found.ideal, found.true, found.outdated, found.garbled) == (3, 4, 1, 1, 1)


def test_the_hash_is_of_everything() -> None:
    def known(moment: int = 1, met: int = 1) -> dict[str, Knowledge]:
        person = Knowledge()
        person.hear(TOPIC, Heard(moment, "teal", "b"))
        person.met["b"] = met
        return {"a": person}

    hashes = [world_hash(known(), ["x"]), world_hash(known(2), ["x"]), world_hash(known(1, 2), ["x"])]
    hashes.append(world_hash(known(), ["y"]))
    assert len(set(hashes)) == 4
    assert world_hash(known(), ["x"]) == hashes[0]
