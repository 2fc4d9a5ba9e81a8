from __future__ import annotations

import pytest

from pagefault.policies.contract import PageFacts, PolicyError
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.tiers import replay_tiers
from pagefault.policies.lab.trace import Budget, Source
from pagefault.policies.registry import make_policy, make_write_back
from pagefault.policies.tiers import Tier, tier_chain


def made(accesses: str) -> TraceBuilder:
    """One page of 10 tokens a letter; its first access is its insertion."""
    builder = TraceBuilder("letters", Source.SYNTHETIC)
    for turn, letter in enumerate(accesses):
        if letter in builder:
            builder.reference(letter, turn)
        else:
            builder.insert(PageFacts(letter, "message", 10, turn), turn)
    return builder


def test_what_the_context_lets_go_is_found_in_the_first_tier_that_has_it() -> None:
    ran = replay(made("abcdebab").build(), make_policy("lru"), Budget(20))
    tiers = tier_chain(
        [
            {"name": "near", "capacity_tokens": 20, "latency_ms": 1, "price_per_mtok": 2},
            {"name": "far", "latency_ms": 100, "price_per_mtok": 50},
        ]
    )
    report = replay_tiers(ran, tiers)
    # Context of two pages, near of two.  c d e push a, b, c down; a falls on to far.  b is near (c, d stay),
    # then a is far, and b is a hit in the context.
    assert report.requests == 2
    assert [counts.hits for counts in report.counts] == [1, 1]
    assert report.latency_ms == 101
    assert report.price == pytest.approx((10 * 2 + 10 * 50) / 1e6)
    assert report.mean_latency_ms == 50.5
    assert [row["hit_ratio"] for row in report.to_rows()] == [0.5, 0.5]
    with pytest.raises(KeyError):
        report.hit_ratio("nowhere")


def test_an_inclusive_tier_has_what_was_only_made() -> None:
    ran = replay(made("abca").build(), make_policy("fifo"), Budget(20))
    exclusive = replay_tiers(ran, tier_chain([Tier("near", 30)]))
    inclusive = replay_tiers(ran, tier_chain([Tier("near", 30, inclusive=True)]))
    small = replay_tiers(ran, tier_chain([Tier("near", 20, inclusive=True)]))
    assert (exclusive.hit_ratio("near"), inclusive.hit_ratio("near")) == (1.0, 1.0)
    assert small.hit_ratio("near") == 1.0, "a left the tier as a copy, and came back when the context let it go"
    assert inclusive.counts[0].inserted == 3


def test_what_a_write_back_forgets_takes_no_room_in_a_tier() -> None:
    near = tier_chain([Tier("near", 30, inclusive=True)])
    evicted = {}
    for name in ("archive", "drop"):
        ran = replay(made("abcd").build(), make_policy("fifo"), Budget(20), write_back=make_write_back(name))
        evicted[name] = replay_tiers(ran, near).counts[0].evicted
    assert evicted == {"archive": 1, "drop": 0}, "the copy of a has to go for d, unless a was forgotten"


def test_without_faults_nothing_is_asked_for() -> None:
    ran = replay(made("abab").build(), make_policy("lru"), Budget(20))
    report = replay_tiers(ran, tier_chain([]))
    assert (report.requests, report.latency_ms, report.mean_latency_ms) == (0, 0, 0)


def test_tiers_that_make_no_chain_are_refused() -> None:
    ran = replay(made("ab").build(), make_policy("lru"), Budget(20))
    with pytest.raises(PolicyError):
        replay_tiers(ran, [Tier("a", 10)])
