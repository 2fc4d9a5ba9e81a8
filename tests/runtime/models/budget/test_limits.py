"""Shrinking, recovering, slots."""

from __future__ import annotations

from pagefault.runtime.models.budget.limits import DECREASE, DECREASE_EVERY_MS, PAUSE_MS, Limits
from pagefault.runtime.models.budget.settings import Endpoint


def test_a_429_pauses_and_shrinks_and_time_heals() -> None:
    limits = Limits(Endpoint("e", requests_per_minute=600, tokens_per_minute=60_000, concurrency=10))
    assert limits.can_take(0, 100)
    limits.busy(0, 5_000)
    limits.busy(10, 0)
    assert limits.factor == DECREASE, "refusals of one moment are one sign"
    assert not limits.can_take(4_999, 100)
    assert limits.wait_ms(1_000, 100) == 4_000
    assert limits.can_take(5_000, 100)
    assert limits.slots_max == 6
    assert limits.requests is not None
    assert limits.requests.allowed == 600 * DECREASE
    limits.busy(5_000 + DECREASE_EVERY_MS, 0)
    assert limits.factor < DECREASE
    assert limits.wait_ms(5_000 + DECREASE_EVERY_MS, 100) == PAUSE_MS
    assert limits.can_take(120_000, 100)
    assert limits.factor == 1.0
    assert limits.slots_max == 10


def test_it_never_shrinks_to_nothing_nor_pauses_for_ever() -> None:
    limits = Limits(Endpoint("e", requests_per_minute=10, concurrency=2))
    for second in range(1_000):
        limits.busy(second * 2_000.0, 1e12)
    assert limits.slots_max == 1
    assert limits.factor > 0
    assert limits.can_take(1_000 * 2_000.0 + 400_000, 1)


def test_slots_are_freed_when_calls_end() -> None:
    limits = Limits(Endpoint("e", concurrency=2))
    stamps = [limits.take(0, 5) for _ in range(2)]
    assert not limits.can_take(0, 5)
    assert limits.wait_ms(0, 5) == float("inf")
    limits.end(stamps[0], -3)
    assert limits.can_take(0, 5)
    limits.unsent(stamps[1], 5)
    assert limits.slots == 0
