"""Chance that is the same in every run: numbers from a seed, and a set that can be drawn from."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

_MULTIPLIER, _INCREMENT = 6364136223846793005, 1442695040888963407  # Knuth's MMIX generator, TAOCP 2, section 3.3.4


class Numbers:
    """Pseudo-random whole numbers; ``state`` is all that there is to it."""

    __slots__ = ("state",)

    def __init__(self, seed: int) -> None:
        self.state = seed % 2**64

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound - 1``; ``bound`` is at most 2**31."""
        self.state = (self.state * _MULTIPLIER + _INCREMENT) % 2**64
        return (self.state >> 33) * bound >> 31


def drawn(seed: int, *occasion: object) -> float:
    """A number from 0 to below 1 that depends on the occasion alone: asking again does not change it."""
    words = "\0".join(map(str, (seed, *occasion))).encode()
    numbers = Numbers(zlib.crc32(words) << 32 | zlib.adler32(words))
    numbers.below(1)
    return numbers.below(2**31) / 2**31


class DrawingSet:
    """Page ids, one of which can be drawn in O(1)."""

    __slots__ = ("_ids", "_places")

    def __init__(self, page_ids: Iterable[str] = ()) -> None:
        self._ids = list(page_ids)
        self._places = {page_id: place for place, page_id in enumerate(self._ids)}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, page_id: str) -> bool:
        return page_id in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def add(self, page_id: str) -> None:
        self._places[page_id] = len(self._ids)
        self._ids.append(page_id)

    def remove(self, page_id: str) -> None:
        """Raises ``KeyError`` if it is not there."""
        place = self._places.pop(page_id)
        last = self._ids.pop()
        if last != page_id:
            self._ids[place] = last
            self._places[last] = place

    def draw(self, numbers: Numbers) -> str:
        """One of the pages.  Raises ``IndexError`` when there is none."""
        return self._ids[numbers.below(len(self._ids))]
