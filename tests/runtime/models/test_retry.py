"""Retries by themselves, on a made-up clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import ConfigError, ModelBusy, ModelError, ModelMalformed, ModelRefused, ModelUnavailable
from pagefault.runtime.models.retry import RetryPolicy, Timing, retry_after_ms, with_retries

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Time that passes by sleeping and by asking."""

    def __init__(self, chances: Iterator[float]) -> None:
        self.now_ms = 0.0
        self.slept_ms: list[float] = []
        self._chances = chances

    def timing(self) -> Timing:
        return Timing(lambda: self.now_ms, lambda: 0.0, self.sleep_ms, lambda: next(self._chances, 0.5))

    async def sleep_ms(self, delay_ms: float) -> None:
        self.slept_ms.append(delay_ms)
        self.now_ms += delay_ms


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3_000),
        ({"retry-after": " 3 "}, 3_000),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, float("inf")),
        ({"retry-after-ms": "20", "retry-after": "3"}, 20),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3_000),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90_000),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0),
        ({"retry-after": "Fri, 99 Foo 2026 00:00:00 GMT"}, None),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_ms(headers, NOW.timestamp() * 1_000) == expected


@given(value=st.text(max_size=40))
def test_any_header_is_a_wait_or_nothing(value: str) -> None:
    found = retry_after_ms({"retry-after": value}, 0.0)
    assert found is None or found >= 0


@settings(max_examples=200, deadline=None)
@given(
    kinds=st.lists(st.sampled_from([ModelBusy, ModelUnavailable, ModelMalformed, ModelRefused, None]), max_size=12),
    asked_ms=st.sampled_from([0, 1, 700, 61_000]),
    chances=st.lists(st.floats(0, 1), max_size=12),
    attempt_cost_ms=st.integers(0, 30_000),
)
def test_every_bound_holds(
    kinds: list[type[ModelError] | None], asked_ms: int, chances: list[float], attempt_cost_ms: int
) -> None:
    policy = RetryPolicy(deadline_ms=100_000)
    clock = Clock(iter(chances))
    script = iter(kinds)
    asked: list[tuple[int, float]] = []

    async def ask(attempt: int, timeout_ms: float) -> str:
        asked.append((attempt, timeout_ms))
        assert clock.now_ms < policy.deadline_ms
        clock.now_ms += min(attempt_cost_ms, timeout_ms)
        kind = next(script, None)
        if kind is not None:
            raise kind("no", retry_after_ms=asked_ms)
        return "yes"

    try:
        answer = asyncio.run(with_retries(policy, clock.timing(), ask))
    except ModelError as error:
        answer = ""
        final = error
    assert [attempt for attempt, _ in asked] == list(range(1, len(asked) + 1))
    assert len(asked) <= policy.attempts_max
    assert sum(kind is ModelMalformed for kind in kinds[: len(asked)]) <= policy.malformed_max
    assert all(timeout_ms <= policy.attempt_ms for _, timeout_ms in asked)
    assert clock.now_ms <= policy.deadline_ms + 1
    for slept_ms in clock.slept_ms:
        assert slept_ms >= asked_ms or asked_ms == 0
        assert slept_ms <= policy.retry_after_ms_max * 1.1
    if not answer:
        assert final.attempts == len(asked)
        assert not any(kind is ModelRefused for kind in kinds[: len(asked) - 1])


async def test_other_errors_pass_through() -> None:
    async def ask(attempt: int, timeout_ms: float) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await with_retries(RetryPolicy(), Clock(iter(())).timing(), ask)


async def test_the_real_clock_sleeps_as_long_as_it_says() -> None:
    timing = Timing()
    before = timing.monotonic_ms()
    await timing.sleep_ms(20)
    assert timing.monotonic_ms() - before >= 19
    assert timing.wall_ms() > NOW.timestamp() * 1_000 - 10**12


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3"])
def test_bounds_are_whole_numbers(value: object) -> None:
    with pytest.raises(ConfigError, match=r"model\.deadline_ms: found"):
        RetryPolicy(deadline_ms=value)  # type: ignore[arg-type]  # that is the mistake
