"""A trace seen by an optimum: intervals between two uses of a page, and the room that is left at each event.

A page that is resident at an event and needed again later is either kept until then, or might as well leave
at once.  So the choices of every policy, online or not, are one yes or no for each *interval* between two
consecutive events of one page, of which the second is a reference.  The interval *spans* the events strictly
between its two: at both ends the page is there anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pagefault.policies.contract import PolicyError

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Intervals:
    """The intervals of a trace in the order of their ends; ``start``, ``end``, ``page`` and ``tokens`` are
    parallel arrays.  ``room_tokens`` says for every event what other pages than its own may take."""

    start: Integers
    end: Integers
    page: Integers
    tokens: Integers
    room_tokens: Integers

    def __len__(self) -> int:
        return len(self.end)

    @property
    def spans(self) -> NDArray[np.bool_]:
        """Which intervals span any event.  One that spans none is kept by every policy."""
        return np.asarray(self.end - self.start > 1, dtype=bool)

    def least_room(self) -> Integers:
        """For every interval the least room at the events that it spans; the largest integer if there are none."""
        most = np.iinfo(np.int64).max
        return np.array(
            [
                int(self.room_tokens[start + 1 : end].min(initial=most))
                for start, end in zip(self.start.tolist(), self.end.tolist(), strict=True)
            ],
            dtype=np.int64,
        )


def intervals(
    sizes: Sequence[int] | Integers,
    pages: Sequence[int] | Integers,
    is_reference: Sequence[bool] | NDArray[np.bool_],
    capacity_tokens: int,
    room_tokens: Sequence[int] | Integers | None = None,
) -> Intervals:
    """The intervals of a trace of which ``pages`` are the page indices, event by event.

    ``sizes`` are tokens by page index.  An event that is no reference is the insertion of its page, its first
    event.  An event of page -1 concerns none.  At every event the page that enters is let in whatever its
    size, so that the others have ``capacity_tokens`` less its size; ``room_tokens``, one value an event, says
    otherwise for traces that look at their capacity at other times.  Raises ``PolicyError``.
    """
    tokens = _row("sizes", sizes)
    page = _row("pages", pages)
    references = np.asarray(is_reference, dtype=bool)
    if len(references) != len(page):
        raise PolicyError("is_reference", len(references), f"one flag for each of the {len(page)} events")
    if capacity_tokens < 1:
        raise PolicyError("capacity_tokens", capacity_tokens, "at least 1")
    if tokens.size and tokens.min() < 0:
        raise PolicyError("sizes", int(tokens.min()), "at least 0 tokens")
    if page.size and not -1 <= page.min() <= page.max() < len(tokens):
        raise PolicyError("pages", [int(page.min()), int(page.max())], f"from -1 to {len(tokens) - 1}")
    if room_tokens is None:
        room = capacity_tokens - np.where(page < 0, 0, tokens[page] if len(tokens) else 0)
    else:
        room = _row("room_tokens", room_tokens)
        if len(room) != len(page):
            raise PolicyError("room_tokens", len(room), f"one value for each of the {len(page)} events")
    starts, ends = _pairs(page, references)
    return Intervals(starts, ends, page[ends], tokens[page[ends]], room.astype(np.int64))


def _pairs(page: Integers, references: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Start and end of every interval.  Raises ``PolicyError`` for a use before, or an insertion after, the first."""
    last: dict[int, int] = {}
    starts, ends = [], []
    for event, (index, reference) in enumerate(zip(page.tolist(), references.tolist(), strict=True)):
        if index < 0:
            continue
        if reference != (index in last):
            allowed = "a reference after the insertion of its page" if reference else "one insertion of every page"
            raise PolicyError(f"pages[{event}]", index, allowed)
        if reference:
            starts.append(last[index])
            ends.append(event)
        last[index] = event
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def _row(field: str, given: ArrayLike) -> Integers:
    row = np.asarray(given)
    if row.ndim != 1 or (row.size and not np.issubdtype(row.dtype, np.integer)):
        raise PolicyError(field, f"{row.ndim} dimensions of {row.dtype}", "one row of whole numbers")
    return row.astype(np.int64)
