"""Dates named in a question, so that a search can look near them.

Reads what English speakers write: ``7 July 2023``, ``July 7th, 2023``, ``August 2023``, ``in May``,
``in 2023``, ``2023-07-07``, ``2023-07``.  Times are UTC.  Relative dates ("yesterday") need a clock, which a
search does not have: whoever asks can turn them into filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["Day", "Window", "days_named", "windows"]

MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
SHORT: Final = "jan feb mar apr jun jul aug sept sep oct nov dec"
MONTH: Final = rf"(?P<month>{'|'.join(MONTHS)}|{'|'.join(SHORT.split())})\.?"
DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
PATTERNS: Final = tuple(
    re.compile(rf"\b{pattern}\b")
    for pattern in (
        rf"{YEAR}-(?P<month>\d\d)-(?P<day>\d\d)",
        rf"{YEAR}-(?P<month>\d\d)",
        rf"{DAY}\s+(?:of\s+)?{MONTH},?\s+{YEAR}",
        rf"{MONTH}\s+{DAY},?\s+{YEAR}",
        rf"{MONTH},?\s+(?:of\s+)?{YEAR}",
        rf"{DAY}\s+(?:of\s+)?{MONTH}",
        rf"{MONTH}\s+{DAY}",
        # Alone, "may" and "march" are mostly verbs.
        rf"(?:in|during|since|until|by|before|after|of|last|this|next)\s+(?:early\s+|mid[ -]|late\s+)?{MONTH}",
        rf"(?:in|during|since|until|by|before|after|of)\s+{YEAR}",
    )
)
"""Most telling first; what one has read is not read again by the next."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day, or a whole month (``day`` 0), or a year (``month`` 0); ``year`` 0 means that none was named."""

    year: int = 0
    month: int = 0
    day: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start_ms`` until before ``end_ms``."""

    start_ms: int
    end_ms: int


def days_named(text: str) -> tuple[Day, ...]:
    """The dates that a text names, in no order, each once."""
    left = text.lower()
    found: set[Day] = set()
    for pattern in PATTERNS:
        for match in pattern.finditer(left):
            groups = match.groupdict()
            day = Day(int(groups.get("year") or 0), _month(groups.get("month")), int(groups.get("day") or 0))
            if _window_of(day, day.year or 2000) is not None:
                found.add(day)
        left = pattern.sub(" ", left)
    return tuple(found)


def windows(days: Iterable[Day], years: Iterable[int] = ()) -> tuple[Window, ...]:
    """The stretches of time that dates stand for; a date without a year means it in each of ``years``."""
    around = tuple(years)
    stretches = [_window_of(day, year) for day in days for year in ((day.year,) if day.year else around)]
    return tuple(stretch for stretch in stretches if stretch is not None)


def _month(name: str | None) -> int:
    if not name:
        return 0
    if name.isdigit():
        return int(name)
    return next(number for number, month in enumerate(MONTHS, 1) if month.startswith(name[:3]))


def _window_of(day: Day, year: int) -> Window | None:
    """``None`` for a date that is in no calendar."""
    try:
        start = datetime(year, day.month or 1, day.day or 1, tzinfo=UTC)
        if day.day:
            end = start + timedelta(days=1)
        elif day.month:
            end = datetime(year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        else:
            end = datetime(year + 1, 1, 1, tzinfo=UTC)
    except ValueError:
        return None
    return Window(round(start.timestamp() * 1000), round(end.timestamp() * 1000))
