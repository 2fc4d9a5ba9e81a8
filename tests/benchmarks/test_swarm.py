"""The swarm in small: everyone registered answers, in few frames."""

from __future__ import annotations

from benchmarks.swarm import live, sizes


async def test_everyone_answers_and_remembers() -> None:
    found = await live(60, seed=3)
    assert found["registered"] == found["answered"] == 60
    assert found["steps"] == 66
    assert found["resident_max"] == 6
    assert found["hibernations"] >= 54


def test_the_curve_spans_two_decades() -> None:
    assert sizes(100_000) == [1_000, 10_000, 100_000]
    assert sizes(5_000) == [500, 5_000]
