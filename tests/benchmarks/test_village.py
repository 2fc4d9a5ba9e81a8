"""The village's benchmark, small: the same world twice and in both paces, and it pays not to wait."""

from __future__ import annotations

from benchmarks.village import measure


def test_a_small_town_is_lived_alike_and_faster_out_of_order() -> None:
    found = measure(1, agents=10, thinkers=10, days=2)
    assert found["is_same_twice"]
    assert found["is_same_in_both_paces"]
    assert found["lockstep_speedup"] > 1
    assert found["recall_accuracy"] == 1.0
    assert found["steps"] > 100
