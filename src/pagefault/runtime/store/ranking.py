"""How candidates of a hybrid search are ordered.

The engine finds pages that could answer (nearest in meaning, best in words, near a date that is named).
This module reads them more closely than an index can, and scores each by the sum of

* **coverage**: how well it speaks of each word of the question, in the manner of late interaction
  (ColBERT, Khattab and Zaharia 2020, https://arxiv.org/abs/2004.12832: sum over question words of the best
  match in the page) but over static word vectors.  A word and its inflections match with 1, other words
  with the cosine of their vectors, words with digits with nothing but themselves.  Words that few
  candidates speak of weigh more;
* **context**: what was said just before and after counts as well, at a discount.  An answer often leaves
  out what the question to it said;
* **meaning**: the similarity of the whole text;
* **author**: the page's author is named in the question;
* **date**: the page is near a date that the question names: people tell of things within days;
* **session**: the best of a page's session, so that the talk which a question is about counts for its parts.

The weights were chosen by hand on round numbers inside a wide plateau (halving or doubling any one of them
moves recall at 10 by about one point) and not fitted to any collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pagefault.runtime.store.dates import Day, windows
from pagefault.runtime.store.lexicon import Indices, Lexicon

__all__ = ["REACH", "Candidates", "Question", "score"]

Floats = npt.NDArray[np.float32]

SHARPNESS: Final = 1.5
"""Power of a match: a cosine of 0.4 is mostly chance, and counts 0.25."""
RARITY_POWER: Final = 4
"""Power of a match when counting how many candidates speak of a word: only close matches count."""
RARITY_LEAST: Final = 0.1
"""A word in every candidate still counts a little."""
NEXT_SHARE: Final = 0.6
"""What a word said one page away counts of one said here; two pages away: :data:`SECOND_SHARE`."""
SECOND_SHARE: Final = 0.3
REACH: Final = 4
"""How far apart in ordinals two pages of a session may be and still be neighbours: between two messages
there may be a reply and results."""
MEANING_WEIGHT: Final = 0.7
MEANING_NEXT_SHARE: Final = 0.3
AUTHOR_WEIGHT: Final = 0.25
DATE_WEIGHT: Final = 0.3
DATE_FADES_MS: Final = 7 * 86_400_000.0
SESSION_WEIGHT: Final = 0.2
SESSION_BEST: Final = 3
"""A session is as good as the mean of its three best pages."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.  ``words``: numbers in the lexicon, the names of authors left out."""

    words: Indices
    days: tuple[Day, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pages to be ordered, one place each in every field.

    ``words``: each page's numbers in the lexicon.  ``talks``: equal for pages of one agent, space and
    session; unique for a page that stands alone.  ``meaning``: cosine with the question.  ``named``:
    whether the question names the author.
    """

    words: Sequence[Indices]
    talks: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    created_ms: npt.NDArray[np.int64]
    meaning: Floats
    named: npt.NDArray[np.bool_]


def score(question: Question, candidates: Candidates, lexicon: Lexicon) -> Floats:
    """Scores of the candidates, higher is better; shape ``(n,)``, in their order."""
    count = len(candidates.words)
    if count == 0:
        return np.zeros(0, dtype=np.float32)
    order = np.lexsort((candidates.ordinals, candidates.talks))
    talks = candidates.talks[order]
    neighbours = _Neighbours(talks, candidates.ordinals[order])
    matches = _matches(question.words, [candidates.words[place] for place in order], lexicon)
    total = _coverage(matches, neighbours)
    total += MEANING_WEIGHT * neighbours.sum(np.maximum(candidates.meaning[order], 0.0), MEANING_NEXT_SHARE)
    total += AUTHOR_WEIGHT * candidates.named[order]
    total += DATE_WEIGHT * _nearness(question.days, candidates.created_ms[order])
    total += SESSION_WEIGHT * _best_of_talk(total, talks)
    scores = np.empty(count, dtype=np.float32)
    scores[order] = total
    return scores


class _Neighbours:
    """Who is next to whom, for pages sorted by talk and ordinal.  Works along the last axis."""

    def __init__(self, talks: npt.NDArray[np.int64], ordinals: npt.NDArray[np.int64]) -> None:
        self._next = self._near(talks, ordinals, 1)
        self._second = self._near(talks, ordinals, 2)

    @staticmethod
    def _near(talks: npt.NDArray[np.int64], ordinals: npt.NDArray[np.int64], steps: int) -> Floats:
        """For each page but the last ``steps``: 1 if the page that many places on is its neighbour."""
        near = (talks[steps:] == talks[:-steps]) & (ordinals[steps:] - ordinals[:-steps] <= REACH)
        return np.asarray(near, dtype=np.float32)

    def best(self, values: Floats, next_share: float, second_share: float) -> Floats:
        """The largest of a page's own value and its neighbours' shares."""
        result = values.copy()
        for near, steps, share in ((self._next, 1, next_share), (self._second, 2, second_share)):
            np.maximum(result[..., :-steps], values[..., steps:] * (share * near), out=result[..., :-steps])
            np.maximum(result[..., steps:], values[..., :-steps] * (share * near), out=result[..., steps:])
        return result

    def sum(self, values: Floats, next_share: float) -> Floats:
        """A page's own value plus a share of those next to it."""
        result = values.copy()
        result[:-1] += values[1:] * (next_share * self._next)
        result[1:] += values[:-1] * (next_share * self._next)
        return result


def _matches(asked: Indices, pages: Sequence[Indices], lexicon: Lexicon) -> Floats:
    """How well each page speaks of each word that is asked for: shape ``(words, pages)``, 0 to 1."""
    lengths = np.fromiter(map(len, pages), dtype=np.int64, count=len(pages))
    filled = np.flatnonzero(lengths)
    matches: Floats = np.zeros((len(asked), len(pages)), dtype=np.float32)
    if not len(asked) or not len(filled):
        return matches
    said = np.concatenate([page for page in pages if len(page)])
    words, places = _distinct(said)
    table = lexicon.similarities(asked, words)
    starts = np.cumsum(lengths[filled]) - lengths[filled]
    matches[:, filled] = np.maximum.reduceat(table[:, places], starts, axis=1)
    return matches


def _distinct(said: Indices) -> tuple[Indices, npt.NDArray[np.int32]]:
    """The distinct numbers, and where each of ``said`` is among them (as ``np.unique``, without sorting)."""
    places = np.zeros(int(said.max()) + 1, dtype=np.int32)
    places[said] = 1
    words = np.flatnonzero(places).astype(np.int32)
    places[words] = np.arange(len(words), dtype=np.int32)
    return words, places[said]


def _coverage(matches: Floats, neighbours: _Neighbours) -> Floats:
    """The mean over the question's words, rare ones weighing more; 0 to 1."""
    words, pages = matches.shape
    if words == 0:
        return np.zeros(pages, dtype=np.float32)
    speaking = (matches**RARITY_POWER).sum(axis=1)
    weights = np.maximum(np.log((pages + 1) / (speaking + 1)), RARITY_LEAST)
    in_context = neighbours.best(matches**SHARPNESS, NEXT_SHARE, SECOND_SHARE)
    coverage: Floats = (weights / weights.sum()) @ in_context
    return coverage


def _nearness(days: Sequence[Day], created_ms: npt.NDArray[np.int64]) -> Floats:
    """1 within a named date, fading with the distance in time; 0 if none is named."""
    nearness: Floats = np.zeros(len(created_ms), dtype=np.float32)
    if not days:
        return nearness
    years = np.unique(created_ms.astype("datetime64[ms]").astype("datetime64[Y]").astype(np.int64)) + 1970
    for window in windows(days, years.tolist()):
        before = window.start_ms - created_ms
        after = created_ms - (window.end_ms - 1)
        distance = np.maximum(np.maximum(before, after), 0)
        np.maximum(nearness, np.exp(-distance / DATE_FADES_MS), out=nearness, casting="same_kind")
    return nearness


def _best_of_talk(total: Floats, talks: npt.NDArray[np.int64]) -> Floats:
    """For each page the mean of the best scores of its talk (sorted by talk); missing ones count 0."""
    order = np.lexsort((-total, talks))
    starts = np.flatnonzero(np.r_[True, talks[1:] != talks[:-1]])
    sizes = np.diff(np.r_[starts, len(talks)])
    places = np.arange(len(talks)) - np.repeat(starts, sizes)
    best = np.where(places < SESSION_BEST, total[order], 0.0)
    means = np.asarray(np.add.reduceat(best, starts) / SESSION_BEST, dtype=np.float32)
    return np.repeat(means, sizes)
