"""The meter, beside a naive one that remembers every request."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.runtime.models.budget.meter import STAMP_MS, WINDOW_MS, Meter

STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "lend", "spend", "return"]), st.floats(0, 20_000), st.floats(0.5, 60)),
    max_size=200,
)


@given(st.integers(1, 200), STEPS)
def test_no_window_has_more_than_the_limit(limit: int, steps: list[tuple[str, float, float]]) -> None:
    meter = Meter(limit)
    now_ms = 1_000.0
    lent = 0.0
    sent: list[tuple[float, float]] = []
    for what, pause_ms, amount in steps:
        now_ms += pause_ms
        if what in ("take", "lend") and meter.can_lend(now_ms, amount):
            meter.lend(now_ms, amount)
            lent += amount
        if what == "take" and lent:
            meter.spent(now_ms, lent)
            sent.append((now_ms, lent))
            lent = 0.0
        elif what == "spend" and lent:
            part = min(lent, amount)
            meter.spent(now_ms, part)
            sent.append((now_ms, part))
            lent -= part
        elif what == "return":
            part = min(lent, amount)
            meter.returned(part)
            lent -= part
        in_window = sum(each for at_ms, each in sent if at_ms > now_ms - WINDOW_MS + STAMP_MS)
        assert in_window <= limit + 1e-3
        assert meter.lent == max(0.0, lent) or abs(meter.lent - lent) < 1e-6


@settings(max_examples=25)
@given(st.integers(1, 600))
def test_whoever_always_wants_more_gets_nearly_all_of_the_limit(limit: int) -> None:
    meter = Meter(limit)
    now_ms, sent = 0.0, deque[float]()
    while now_ms < 4 * WINDOW_MS:
        if meter.can_lend(now_ms, 1):
            meter.lend(now_ms, 1)
            meter.spent(now_ms, 1)
            sent.append(now_ms)
        else:
            now_ms += meter.wait_ms(now_ms, 1)
    late = [at_ms for at_ms in sent if at_ms >= 2 * WINDOW_MS]
    assert len(late) >= 0.94 * 2 * limit - 2
    gaps = [after - before for before, after in zip(late, list(late)[1:], strict=False)]
    assert max(gaps, default=0) <= 2 * WINDOW_MS / limit + 2 * STAMP_MS, "it goes out evenly, not in heaps"


def test_a_correction_gives_back_what_was_not_needed() -> None:
    meter = Meter(1_000)
    assert meter.can_lend(0, 900)
    meter.lend(0, 900)
    stamp = meter.spent(0, 900)
    assert not meter.can_lend(10, 900)
    assert meter.wait_ms(10, 900) > 50_000
    meter.correct(stamp, -880)
    assert meter.spent_in_window == 20
    assert meter.can_lend(2_000, 900)


def test_what_cost_more_than_was_asked_for_is_waited_for() -> None:
    meter = Meter(1_000)
    meter.lend(0, 10)
    meter.correct(meter.spent(0, 10), 400)
    assert not meter.can_lend(0, 10)
    assert 20_000 < meter.wait_ms(0, 10) < 30_000


def test_a_shrunk_limit_lets_a_large_request_go_alone() -> None:
    meter = Meter(1_000)
    meter.factor = 0.1
    assert meter.can_lend(0, 800)
    meter.lend(0, 800)
    meter.spent(0, 800)
    assert not meter.can_lend(WINDOW_MS / 2, 800)
    assert meter.can_lend(20 * WINDOW_MS, 800)


def test_never_more_than_the_limit_at_once() -> None:
    meter = Meter(10)
    assert not meter.can_lend(0, 11)
