"""Up, down, and tried again."""

from __future__ import annotations

from pagefault.runtime.models.budget.health import COOL_MS, COOL_MS_MAX, Health


def test_it_rests_longer_with_each_failure_and_is_tried_with_one_call() -> None:
    health = Health()
    now_ms, rests = 0.0, []
    for _ in range(10):
        assert health.usable(now_ms)
        health.began()
        health.ended(is_up=False, now_ms=now_ms)
        rests.append(health.until_ms - now_ms)
        now_ms = health.until_ms
        assert not health.usable(now_ms - 1)
    assert rests[:3] == [COOL_MS, 2 * COOL_MS, 4 * COOL_MS]
    assert rests[-1] == COOL_MS_MAX
    assert health.failures == 10
    health.began()
    assert not health.usable(now_ms), "one call is enough to try it"
    health.ended(is_up=True, now_ms=now_ms)
    assert health.down_since_ms is None
    assert health.failures == 0


def test_failures_of_calls_begun_before_are_no_news() -> None:
    health = Health()
    health.ended(is_up=False, now_ms=0)
    for _ in range(50):
        health.ended(is_up=False, now_ms=100)
    assert health.until_ms == COOL_MS
    assert health.failures == 1


def test_a_trial_that_was_broken_off_may_be_made_again() -> None:
    health = Health()
    health.ended(is_up=False, now_ms=0, rest_ms=9_000)
    assert not health.usable(8_999)
    health.began()
    health.unknown()
    assert health.usable(9_000)
