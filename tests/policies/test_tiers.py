from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import PageFacts, PolicyError
from pagefault.policies.tiers import ARCHIVE, Tier, TierStack, tier_chain

SMALL, LARGE = 100, 300


def page(number: int, tokens: int = 40) -> PageFacts:
    return PageFacts(f"p{number}", "message", tokens, number)


def chain(*, inclusive: tuple[bool, ...] = (False, False)) -> tuple[Tier, ...]:
    capacities = (SMALL, LARGE)
    tiers = [Tier(f"t{n}", capacities[n], inclusive=kind) for n, kind in enumerate(inclusive)]
    return (*tiers, ARCHIVE)


def test_a_page_sinks_tier_by_tier_and_rises_from_where_it_is() -> None:
    stack = TierStack(chain())
    for number in range(12):  # 2 fit into the first tier, 7 into the second
        stack.demote(page(number))
    assert [stack.where(f"p{number}") for number in range(12)] == [2] * 3 + [1] * 7 + [0] * 2
    assert stack.take_gone() == ["p0", "p1", "p2"]
    assert stack.tokens == [80, 280]
    assert [stack.fetch(page(number)) for number in (11, 5, 0)] == [0, 1, 2]
    assert [stack.where(f"p{number}") for number in (11, 5, 0)] == [2, 2, 2], "exclusive tiers give pages up"
    assert [counts.hits for counts in stack.counts] == [1, 1, 1]
    assert stack.counts[1].tokens_up == 40


def test_an_inclusive_tier_keeps_copies_of_what_is_made_and_passes_by() -> None:
    stack = TierStack(chain(inclusive=(False, True)))
    stack.store(page(1))
    assert stack.where("p1") == 1, "made pages are copied before they leave the context"
    assert stack.fetch(page(1)) == 1
    assert stack.where("p1") == 1
    assert stack.fetch(page(2)) == 2
    assert stack.where("p2") == 1, "what comes up from the archive is copied on its way"


def test_a_page_larger_than_a_tier_passes_it() -> None:
    stack = TierStack(chain())
    stack.demote(page(1, SMALL + 1))
    assert stack.where("p1") == 1
    stack.demote(page(2, LARGE + 1))
    assert stack.where("p2") == 2
    assert stack.take_gone() == ["p2"]


def test_what_is_removed_is_nowhere() -> None:
    stack = TierStack(chain(inclusive=(True, True)))
    stack.store(page(1))
    stack.remove("p1")
    stack.remove("never seen")
    assert "p1" not in stack
    assert stack.tokens == [0, 0]


def test_it_says_where_a_page_is() -> None:
    stack = TierStack(chain())
    stack.demote(page(1))
    assert stack.explain("p1").startswith("in t0: ")
    assert stack.explain("p9") == "only in archive"


@pytest.mark.parametrize(
    ("tables", "field"),
    [
        ([{"name": "host", "capacity": 3}], "tier[0].capacity"),
        ([{"capacity_tokens": 3}], "tier[0].name"),
        ([{"name": "context", "capacity_tokens": 3}], "tier[0].name"),
        ([{"name": "a", "capacity_tokens": 3}, {"name": "a", "capacity_tokens": 3}], "tier[0].name"),
        ([{"name": "host", "capacity_tokens": 0}], "tier[0].capacity_tokens"),
        ([{"name": "a"}, {"name": "b"}], "tier[0].capacity_tokens"),
        ([{"name": "a", "capacity_tokens": 3, "policy": "best"}], "eviction"),
        ([{"name": "a", "capacity_tokens": 3, "parameters": {"k": 1}}], "lru.k"),
        ([{"name": "a", "capacity_tokens": 3, "inclusive": 1}], "tier[0].inclusive"),
        ([{"name": "a", "capacity_tokens": 3, "latency_ms": -1}], "tier[0].latency_ms"),
        ([{"name": f"t{n}", "capacity_tokens": 3} for n in range(9)], "tiers"),
    ],
)
def test_what_makes_no_chain_is_refused_by_name(tables: list[dict[str, Any]], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        tier_chain(tables)
    assert caught.value.field in (field, field.replace("lru", "eviction"))


def test_a_chain_ends_in_the_archive() -> None:
    assert tier_chain([]) == (ARCHIVE,)
    made = tier_chain([{"name": "host", "capacity_tokens": 9, "policy": "importance", "parameters": {"decay": 0.9}}])
    assert [tier.name for tier in made] == ["host", "archive"]
    assert made[0].parameters == (("decay", 0.9),)
    own = tier_chain([{"name": "deep", "latency_ms": 50}])
    assert own == (Tier("deep", latency_ms=50),)


class Naive:
    """Two LRU tiers as lists of ids, by the rules of the module's docstring."""

    def __init__(self, inclusive: tuple[bool, bool]) -> None:
        self.inclusive = inclusive
        self.tiers: list[OrderedDict[str, int]] = [OrderedDict(), OrderedDict()]

    def where(self, key: str) -> int:
        return next((n for n, tier in enumerate(self.tiers) if key in tier), 2)

    def push(self, number: int, key: str, tokens: int) -> None:
        if number == 2 or key in self.tiers[number]:
            return
        self.insert(number, key, tokens)

    def insert(self, number: int, key: str, tokens: int) -> None:
        tier, capacity = self.tiers[number], (SMALL, LARGE)[number]
        if tokens > capacity:
            self.push(number + 1, key, tokens)
            return
        tier[key] = tokens
        while sum(tier.values()) > capacity:
            victim = next(iter(tier))
            self.push(number + 1, victim, tier.pop(victim))

    def pass_by(self, below: int, key: str, tokens: int) -> None:
        for number in range(below - 1, -1, -1):
            if self.inclusive[number] and key not in self.tiers[number]:
                self.insert(number, key, tokens)

    def fetch(self, key: str, tokens: int) -> int:
        found = self.where(key)
        if found < 2:
            if self.inclusive[found]:
                self.tiers[found].move_to_end(key)
            else:
                del self.tiers[found][key]
        self.pass_by(found, key, tokens)
        return found


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.booleans(), st.booleans()),
    st.lists(st.tuples(st.sampled_from(["store", "demote", "fetch", "remove"]), st.integers(0, 14)), max_size=120),
)
def test_it_is_the_naive_chain(inclusive: tuple[bool, bool], steps: list[tuple[str, int]]) -> None:
    stack, naive = TierStack(chain(inclusive=inclusive)), Naive(inclusive)
    for action, number in steps:
        one = page(number, 10 + 25 * (number % 5) + (300 if number == 14 else 0))
        if action == "store":
            stack.store(one)
            naive.pass_by(2, one.id, one.tokens)
        elif action == "demote":
            stack.demote(one)
            naive.push(0, one.id, one.tokens)
        elif action == "fetch":
            assert stack.fetch(one) == naive.fetch(one.id, one.tokens)
        else:
            stack.remove(one.id)
            for tier in naive.tiers:
                tier.pop(one.id, None)
        assert [stack.where(f"p{n}") for n in range(15)] == [naive.where(f"p{n}") for n in range(15)]
        assert stack.tokens == [sum(tier.values()) for tier in naive.tiers]
