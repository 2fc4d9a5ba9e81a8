"""Hybrid search over an engine that is a list: what is asked of the engine, and what comes first.

The engine here is exact and slow, and counts what it is asked; the real one is tested in ``test_edge``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pytest

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.store.embed import WordLlamaEmbedder
from pagefault.runtime.store.hybrid import SEEDS, HybridSearch, Ranked
from pagefault.runtime.store.lexicon import shared_lexicon
from pagefault.runtime.store.points import Scope, fields_of, owner_key, payload_of, point_id
from pagefault.runtime.store.protocols import StoredPage
from pagefault.runtime.values import PageKind
from tests.runtime.store.helpers import ANN, TENANT, at_ms, query, stored, talk


class ListSource:
    """Pages in a list.  ``asked`` counts calls, and pages read."""

    def __init__(self, pages: Sequence[StoredPage]) -> None:
        self.pages = {point_id(item.tenant, item.agent, item.page.id): item for item in pages}
        self.asked: Counter[str] = Counter()
        self._embedder = WordLlamaEmbedder()

    def _within(self, scope: Scope) -> dict[int, StoredPage]:
        low = -(2**62) if scope.after_ms is None else scope.after_ms
        high = 2**62 if scope.before_ms is None else scope.before_ms
        return {
            point: item
            for point, item in self.pages.items()
            if owner_key(item.tenant, item.agent, item.page.space) in scope.owners
            and low <= item.page.created_ms <= high
            and (not scope.kinds or item.page.kind in scope.kinds)
        }

    def _best(self, scores: dict[int, float], limit: int) -> Ranked:
        return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]

    def nearest(self, vector: Sequence[float], scope: Scope, limit: int) -> Ranked:
        self.asked["nearest"] += 1
        found = self._within(scope)
        rows = self._embedder.embed([item.page.text for item in found.values()]) @ np.array(vector)
        return self._best(dict(zip(found, map(float, rows), strict=True)), limit)

    def wording(self, terms: Sequence[int], scope: Scope, limit: int) -> Ranked:
        self.asked["wording"] += 1
        found = self._within(scope)
        scores = {point: len({*terms} & {*shared_lexicon().terms(item.page.text)}) for point, item in found.items()}
        return self._best({point: float(score) for point, score in scores.items() if score}, limit)

    def at_ordinals(self, ordinals: Collection[int], scope: Scope) -> list[int]:
        self.asked["at_ordinals"] += 1
        return [point for point, item in self._within(scope).items() if item.page.ordinal in ordinals]

    def texts(self, point_ids: Sequence[int]) -> dict[int, str]:
        self.asked["read"] += len(point_ids)
        return {point: payload_of(self.pages[point])["page"] for point in point_ids if point in self.pages}

    def authors(self, owner: str, limit: int) -> list[str]:
        self.asked["authors"] += 1
        found = self._within(Scope((owner,)))
        return [author for author, _ in Counter(item.page.author for item in found.values()).most_common(limit)]


def made(pages: Sequence[StoredPage]) -> tuple[HybridSearch, ListSource]:
    source = ListSource(pages)
    return HybridSearch(source, WordLlamaEmbedder()), source


def scope(**fields: object) -> Scope:
    return Scope.of(TENANT, ANN, query("", **fields))


def answers(search: HybridSearch, text: str, first: int = 0, last: int = 3, within: Scope | None = None) -> list[str]:
    return [str(fields_of(page)["text"]) for page, _ in search.search(text, within or scope(), first, last)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Which instrument does Oskar own?", "An oboe. I have had it since I was nine."),
        ("How many baskets of pears were sold?", "To the bone. But I sold eleven baskets of pears in town."),
        ("Who is Mira's sister?", "My sister Ilse arrives on the evening train from Trieste."),
        ("Whose ladder did Mira borrow?", "Old Pavel did, the blacksmith."),
        ("What colour is the boathouse?", "I painted the boathouse door green while you were away."),
        ("What pet does Mira have?", "I adopted a kitten, by the way. She sleeps in the flour bin."),
        ("What did Oskar do on 17 May 2023?", "The ferry is out of order again, so I rowed across the lake."),
    ],
)
def test_questions_find_their_answers_among_the_first_three(asked: str, found: str) -> None:
    search, _ = made(talk())
    assert found in answers(search, asked)


def test_paging_reaches_every_page_once_and_the_candidates_first() -> None:
    pages = talk() + [stored(100 + number, f"Entry {number} of the ledger: wool.") for number in range(150)]
    search, _ = made(pages)
    paged = [text for first in range(0, 170, 7) for text in answers(search, "the oboe", first, first + 7)]
    assert sorted(paged) == sorted(item.page.text for item in pages)
    assert paged[:20] == answers(search, "the oboe", 0, 20)
    scores = [score for _, score in search.search("the oboe", scope(), 0, 170)]
    assert scores == sorted(scores, reverse=True)


def test_the_work_of_a_search_is_bounded() -> None:
    search, source = made([stored(number, f"wool and wax, lot {number}") for number in range(2_000)])
    assert len(answers(search, "wool lot 77", 0, 10)) == 10
    assert source.asked["read"] <= SEEDS * 2 * 5
    assert source.asked["nearest"] == source.asked["wording"] == 1
    assert source.asked["at_ordinals"] <= 2


def test_pages_are_read_once_and_again_when_written() -> None:
    search, source = made(talk())
    answers(search, "the oboe")
    read = source.asked["read"]
    answers(search, "the oboe")
    assert source.asked["read"] == read
    assert source.asked["authors"] == 1
    point = point_id(TENANT, ANN, stored(3, "").page.id)
    source.pages[point] = stored(3, "A bassoon, not an oboe.", author="Oskar", session="s1")
    search.forget([point])
    assert "A bassoon, not an oboe." in answers(search, "the oboe")
    del source.pages[point]
    search.forget([point])
    assert "A bassoon, not an oboe." not in answers(search, "the oboe", 0, 50)


def test_new_authors_are_known_at_once() -> None:
    search, source = made(talk())
    assert answers(search, "what did Ilse say", 0, 1) == ["My sister Ilse arrives on the evening train from Trieste."]
    late = stored(50, "Good evening to you both.", author="Ilse", session="s4")
    source.pages[point_id(TENANT, ANN, late.page.id)] = late
    search.met(owner_key(TENANT, ANN, "recall"), "Ilse")
    assert answers(search, "what did Ilse say", 0, 1) == ["Good evening to you both."]


def test_a_name_that_many_authors_share_names_none() -> None:
    pages = [stored(number, "good day", author=f"villager-{number}") for number in range(3)]
    pages.append(stored(9, "the villager sells wool"))
    search, _ = made(pages)
    assert answers(search, "which villager sells wool", 0, 1) == ["the villager sells wool"]
    full = search.search("what did villager-2 say", scope(), 0, 1)
    assert fields_of(full[0][0])["author"] == "villager-2"


def test_neighbours_are_found_past_other_pages() -> None:
    """Between a question and its answer there may be replies and results that the search does not want."""
    pages = [stored(0, "Which instrument do you play?", session="s"), stored(4, "Since I was nine.", session="s")]
    pages += [stored(number, "noted", kind=PageKind.RESULT, session="s") for number in (1, 2, 3)]
    pages += [stored(20 + number, "Nothing much.", session=f"t{number}") for number in range(60)]
    search, _ = made(pages)
    assert "Since I was nine." in answers(search, "instrument", 0, 2, scope(kinds=(PageKind.MESSAGE,)))


def test_passages_stand_alone() -> None:
    chat = [stored(0, "About my instrument."), stored(1, "Yes."), stored(40, "Yes.")]
    passages = [stored(item.page.ordinal, item.page.text, kind=PageKind.PASSAGE) for item in chat]
    [_, next_to, far] = (score for _, score in made(chat)[0].search("instrument", scope(), 0, 3))
    assert next_to > far + 0.1
    [_, next_to, far] = (score for _, score in made(passages)[0].search("instrument", scope(), 0, 3))
    assert next_to == pytest.approx(far)


def test_a_date_brings_its_pages_among_the_candidates() -> None:
    pages = [
        stored(number, f"Something happened to basket {number % 7}.", created_ms=at_ms(2020, 1, 1) + number)
        for number in range(400)
    ]
    pages.append(stored(999, "A quiet afternoon.", created_ms=at_ms(2022, 6, 13)))
    search, _ = made(pages)
    assert "A quiet afternoon." in answers(search, "What was there on 13 June 2022?", 0, 3)
    assert "A quiet afternoon." not in answers(search, "What happened?", 0, 40)


def test_a_question_of_names_and_marks_only() -> None:
    search, _ = made(talk())
    assert len(answers(search, "Oskar?", 0, 5)) == 5
    assert len(answers(search, "?!", 0, 5)) == 5
    assert made([])[0].search("anything", scope(), 0, 5) == []


def test_what_was_read_long_ago_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagefault.runtime.store.hybrid.READ_CHARS_MAX", 2_000)
    search, source = made(talk())
    for asked in ("oboe", "ferry", "sister", "kitten", "oboe"):
        assert answers(search, asked)
    kept = [*search._young.values(), *search._old.values()]
    assert sum(len(reading.text) for reading in kept) < 2 * 2_000
    assert source.asked["read"] > len(talk())


def test_a_whole_document_may_be_asked_for_and_found() -> None:
    document = " ".join(f"line{number} about the oboe and the lake" for number in range(4_000))
    search, _ = made([*talk(), stored(99, document, session="s9")])
    assert document in answers(search, document, 0, 1)


def test_a_page_that_cannot_be_read_is_corrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    search, source = made(talk())
    monkeypatch.setattr(source, "texts", lambda points: dict.fromkeys(points, '[1,{"agent":"ann","page":{"text":5}}]'))
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        answers(search, "oboe")
