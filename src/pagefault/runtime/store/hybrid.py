"""Hybrid search: the engine finds candidates by meaning, words and date; what they say decides.

The work of a search is bounded by the constants below, however many pages an agent has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.store.dates import days_named, windows
from pagefault.runtime.store.lexicon import Indices, Lexicon, shared_lexicon
from pagefault.runtime.store.points import Scope, fields_of
from pagefault.runtime.store.protocols import Embedder
from pagefault.runtime.store.ranking import REACH, Candidates, Question, score
from pagefault.runtime.store.words import STOP_WORDS, split_words
from pagefault.runtime.values import PageKind

__all__ = ["CandidateSource", "HybridSearch"]

SEEDS: Final = 24
"""Candidates from each way of finding them.  Recall is within half a point of this with 16, and with 200."""
NEAREST: Final = 128
"""How many pages' similarity is asked for; all others are taken to be as far as the last of them."""
DATE_SLACK_MS: Final = 3 * 86_400_000
"""A page this long before or after a date that is named is still a candidate for it."""
EQUALS_MAX: Final = 4_096
"""Pages of one similarity that paging keeps apart; among more, some may come twice and others not."""
READ_CHARS_MAX: Final = 16_000_000
"""Pages are kept read up to this many characters: some 30,000 usual ones, and about twice as many bytes."""
WORDS_ASKED_MAX: Final = 64
"""Words of a question that are looked at, the first ones: a search for a whole document stays a search."""
WORDS_READ_MAX: Final = 1_024
"""Words of a page that are ranked by, the first ones; the engine's index has them all."""
AUTHORS_MAX: Final = 128
"""Authors of an agent's pages that are looked for in questions: the most frequent ones."""
OWNERS_MAX: Final = 8_192
"""Owners whose authors are remembered."""

Ranked = list[tuple[int, float]]
"""Point ids and scores, best first."""


class CandidateSource(Protocol):
    """What hybrid search needs of an engine."""

    def nearest(self, vector: Sequence[float], scope: Scope, limit: int) -> Ranked:
        """The pages most similar to a vector; of equals at the limit, any."""

    def wording(self, terms: Sequence[int], scope: Scope, limit: int) -> Ranked:
        """The pages that hold any of the terms, by BM25; of equals at the limit, any."""

    def at_ordinals(self, ordinals: Collection[int], scope: Scope) -> list[int]:
        """The ids of the pages with these ordinals."""

    def texts(self, point_ids: Sequence[int]) -> dict[int, str]:
        """The JSON of pages, by id; what does not exist is left out."""

    def authors(self, owner: str, limit: int) -> list[str]:
        """The most frequent authors of an owner's pages."""


class _Reading(NamedTuple):
    """A page, as far as ranking reads it.

    ``text``: its JSON.  ``words``: numbers in the lexicon.  ``talk``: agent, space and session, or the page's
    own number if it stands alone.
    """

    text: str
    words: Indices
    talk: tuple[str, str, str] | int
    ordinal: int
    created_ms: int
    author: str


class HybridSearch:
    """Searches one source; remembers pages it has read and authors it has met.  Not for several threads at once."""

    def __init__(self, source: CandidateSource, embedder: Embedder) -> None:
        self._source = source
        self._embedder = embedder
        self._lexicon = shared_lexicon()
        self._young: dict[int, _Reading] = {}
        self._old: dict[int, _Reading] = {}
        self._young_chars = 0
        self._authors: dict[str, frozenset[str]] = {}

    def search(self, text: str, scope: Scope, first: int, last: int) -> list[tuple[str, float]]:
        """Results ``first`` to before ``last`` as page JSON and score.

        The best are the candidates as :mod:`~pagefault.runtime.store.ranking` orders them; after those come
        all other pages by similarity, so that paging reaches every page once.
        """
        asked, named = _without_names(text, self._names(scope))
        vector = self._vector(asked)
        ranked = self._ranked(asked, named, vector, scope)
        if last > len(ranked):
            # As many more as there are results, because each of them may be named again.
            among = {point for point, _ in ranked}
            further = self._nearest(vector, scope, last + len(ranked))
            lowest = min((value for _, value in ranked), default=0.0)
            ranked += [(point, lowest - 1.0 + value) for point, value in further if point not in among]
        wanted = ranked[first:last]
        readings = self._read([point for point, _ in wanted], shared_lexicon())
        return [(readings[point].text, value) for point, value in wanted if point in readings]

    def nearest(self, text: str, scope: Scope, first: int, last: int) -> Ranked:
        """Results ``first`` to before ``last`` by meaning alone, the names of authors left out."""
        vector = self._vector(_without_names(text, self._names(scope))[0])
        return self._nearest(vector, scope, last)[first:last]

    def forget(self, point_ids: Iterable[int]) -> None:
        """These pages were written or deleted."""
        for point in point_ids:
            self._young.pop(point, None)
            self._old.pop(point, None)

    def met(self, owner: str, author: str) -> None:
        """An owner has a page by this author."""
        authors = self._authors.get(owner)
        if authors is not None and author not in authors and len(authors) < AUTHORS_MAX:
            self._authors[owner] = authors | {author}

    def _nearest(self, vector: list[float], scope: Scope, last: int) -> Ranked:
        """All pages by similarity, at least the first ``last`` of them in an order that paging can rely on.

        Which of equals a source names depends on its limit, so it is asked until those at the end of its
        answer are no longer among the results.
        """
        limit = NEAREST
        while True:
            found = self._source.nearest(vector, scope, limit)
            settled = len(found) > last and (found[last - 1][1] > found[-1][1] or limit >= last + EQUALS_MAX)
            if len(found) < limit or settled:
                return found
            limit *= 2

    def _vector(self, asked: str) -> list[float]:
        vector: list[float] = self._embedder.embed([asked])[0].tolist()
        return vector

    def _ranked(self, asked: str, named: frozenset[str], vector: list[float], scope: Scope) -> Ranked:
        lexicon = shared_lexicon()
        words = np.array(list(dict.fromkeys(lexicon.indices(asked)))[:WORDS_ASKED_MAX], dtype=np.int32)
        question = Question(words, days_named(asked))
        near = dict(self._source.nearest(vector, scope, NEAREST))
        farthest = min(near.values(), default=0.0) if len(near) == NEAREST else 0.0
        terms = sorted(set(lexicon.stems(words)))
        seeds = dict.fromkeys(list(near)[:SEEDS])
        seeds.update(dict.fromkeys(point for point, _ in self._source.wording(terms, scope, 2 * SEEDS)[:SEEDS]))
        for window in windows(day for day in question.days if day.month):
            dated = scope.between(window.start_ms - DATE_SLACK_MS, window.end_ms + DATE_SLACK_MS)
            found = self._source.nearest(vector, dated, SEEDS)
            near.update(found)
            seeds.update(dict.fromkeys(point for point, _ in found))
        readings = self._with_neighbours(list(seeds), scope, lexicon)
        points = sorted(readings, key=lambda point: (readings[point].ordinal, point))
        read = [readings[point] for point in points]
        talks: dict[object, int] = {}
        candidates = Candidates(
            words=[reading.words for reading in read],
            talks=np.array([talks.setdefault(reading.talk, len(talks)) for reading in read], dtype=np.int64),
            ordinals=np.array([reading.ordinal for reading in read], dtype=np.int64),
            created_ms=np.array([reading.created_ms for reading in read], dtype=np.int64),
            meaning=np.array([near.get(point, farthest) for point in points], dtype=np.float32),
            named=np.array([reading.author in named for reading in read], dtype=np.bool_),
        )
        scores = score(question, candidates, lexicon)
        return [(points[place], float(scores[place])) for place in np.argsort(-scores, kind="stable")]

    def _with_neighbours(self, seeds: list[int], scope: Scope, lexicon: Lexicon) -> dict[int, _Reading]:
        """The seeds and the pages around them: two ordinals each way, further where those are not there."""
        readings = self._read(seeds, lexicon)
        ordinals = {reading.ordinal for reading in readings.values() if isinstance(reading.talk, tuple)}
        known = ordinals.copy()
        near = {place for at in ordinals for place in (at - 2, at - 1, at + 1, at + 2)}
        self._add_at(near - known, scope, readings, known, lexicon)
        far: set[int] = set()
        for ordinal in ordinals:
            for sign in (-1, 1):
                if ordinal + sign not in known and ordinal + 2 * sign not in known:
                    far.update(ordinal + sign * step for step in range(3, REACH + 1))
        self._add_at(far - known, scope, readings, known, lexicon)
        return readings

    def _add_at(
        self, ordinals: set[int], scope: Scope, readings: dict[int, _Reading], known: set[int], lexicon: Lexicon
    ) -> None:
        if ordinals:
            more = self._read(self._source.at_ordinals(ordinals, scope), lexicon)
            readings.update(more)
            known.update(reading.ordinal for reading in more.values())

    def _read(self, point_ids: Sequence[int], lexicon: Lexicon) -> dict[int, _Reading]:
        """The pages that exist among these, from memory where they were read before."""
        if lexicon is not self._lexicon:  # the old one was full: its numbers mean nothing in the new one
            self._young, self._old, self._young_chars, self._lexicon = {}, {}, 0, lexicon
        readings: dict[int, _Reading] = {}
        missing = []
        for point in point_ids:
            reading = self._young.get(point)
            if reading is None:
                reading = self._old.pop(point, None)
                if reading is None:
                    missing.append(point)
                    continue
                self._keep(point, reading)
            readings[point] = reading
        if missing:
            for point, text in self._source.texts(missing).items():
                readings[point] = reading = _reading(point, text, lexicon)
                self._keep(point, reading)
        return readings

    def _keep(self, point: int, reading: _Reading) -> None:
        self._young[point] = reading
        self._young_chars += len(reading.text)
        if self._young_chars > READ_CHARS_MAX // 2:
            # Two generations: what was not read in the last one is let go.
            self._young, self._old, self._young_chars = {}, self._young, 0

    def _names(self, scope: Scope) -> frozenset[str]:
        found: set[str] = set()
        for owner in scope.owners:
            authors = self._authors.get(owner)
            if authors is None:
                if len(self._authors) >= OWNERS_MAX:
                    self._authors.clear()
                authors = self._authors[owner] = frozenset(self._source.authors(owner, AUTHORS_MAX))
            found |= authors
        return frozenset(found)


def _reading(point: int, text: str, lexicon: Lexicon) -> _Reading:
    page = fields_of(text)
    try:
        # What was said has its place in a talk; a passage stands alone.
        stands_alone = page["kind"] == PageKind.PASSAGE
        talk = point if stands_alone else (page["agent"], page.get("space", ""), page.get("session", ""))
        return _Reading(
            text=text,
            words=np.array(lexicon.indices(page["text"])[:WORDS_READ_MAX], dtype=np.int32),
            talk=talk,
            ordinal=page["ordinal"],
            created_ms=page["created_ms"],
            author=page.get("author", ""),
        )
    except (LookupError, TypeError) as error:
        raise StoreCorrupt(f"archive: page {point:032x} cannot be read: {error!r:.200}") from error


def _without_names(text: str, authors: Collection[str]) -> tuple[str, frozenset[str]]:
    """A question without the names of authors, and the authors it names.

    In the words of a talk names say little (people address each other all the time), but they say whose
    words are asked for.  An author is named by the full name or by a part of it that no other author has.
    """
    asked = {word.removesuffix("'s") for word in split_words(text)}
    parts = {author: set(split_words(author)) - STOP_WORDS for author in authors}
    owners = Counter(word for words in parts.values() for word in words)
    named: set[str] = set()
    names: set[str] = set()
    for author, words in parts.items():
        own = any(word in asked and word.isalpha() and owners[word] == 1 for word in words)
        if own or (words and words <= asked):
            named.add(author)
            names |= words & asked
    if not names:
        return text, frozenset(named)
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    left = re.sub(rf"\b(?:{pattern})(?:['\u2019]s)?\b", " ", text, flags=re.IGNORECASE)
    return (left if split_words(left) else text), frozenset(named)
