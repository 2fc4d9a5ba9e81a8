"""Dates that questions name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.store.dates import Day, days_named, windows
from tests.runtime.store.helpers import at_ms


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("What happened on 7 July 2023?", {Day(2023, 7, 7)}),
        ("on the 7th of July, 2023", {Day(2023, 7, 7)}),
        ("July 7th, 2023 was hot", {Day(2023, 7, 7)}),
        ("on Jul 7, 2023", {Day(2023, 7, 7)}),
        ("since 2023-07-07", {Day(2023, 7, 7)}),
        ("all of 2023-07", {Day(2023, 7)}),
        ("during August 2022", {Day(2022, 8)}),
        ("Sept. 2022", {Day(2022, 9)}),
        ("what did you do in May?", {Day(0, 5)}),
        ("in late October", {Day(0, 10)}),
        ("on May 3 we rowed", {Day(0, 5, 3)}),
        ("the 3rd of May", {Day(0, 5, 3)}),
        ("the harvest in 2021", {Day(2021)}),
        ("from 2 May 2022 to 5 May 2022", {Day(2022, 5, 2), Day(2022, 5, 5)}),
        ("you may march on", set()),
        ("June said so", set()),
        ("it cost 2021 crowns", set()),
        ("30 February 2023", set()),
        ("2023-13-40", set()),
        ("", set()),
    ],
)
def test_dates_in_texts(text: str, days: set[Day]) -> None:
    assert set(days_named(text)) == days


@given(st.text() | st.text(alphabet="0123456789-/ julyanMayof,."))
def test_any_text_is_read(text: str) -> None:
    for day in days_named(text):
        assert windows([day], years=[2024])


def test_windows_are_days_months_and_years() -> None:
    [day, month, december, year] = windows([Day(2023, 7, 7), Day(2023, 7), Day(2023, 12), Day(2023)])
    assert (day.start_ms, day.end_ms) == (at_ms(2023, 7, 7, 0), at_ms(2023, 7, 8, 0))
    assert (month.start_ms, month.end_ms) == (at_ms(2023, 7, 1, 0), at_ms(2023, 8, 1, 0))
    assert (december.start_ms, december.end_ms) == (at_ms(2023, 12, 1, 0), at_ms(2024, 1, 1, 0))
    assert (year.start_ms, year.end_ms) == (at_ms(2023, 1, 1, 0), at_ms(2024, 1, 1, 0))


def test_a_date_without_a_year_is_meant_in_each() -> None:
    assert windows([Day(0, 5, 3)]) == ()
    starts = [window.start_ms for window in windows([Day(0, 5, 3)], years=(2022, 2023))]
    assert starts == [at_ms(2022, 5, 3, 0), at_ms(2023, 5, 3, 0)]
    assert len(windows([Day(0, 2, 29)], years=(2023, 2024))) == 1
