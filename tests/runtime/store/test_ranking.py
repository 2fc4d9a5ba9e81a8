"""How candidates are ordered: each signal on its own, and what must hold for any candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.store.dates import Day
from pagefault.runtime.store.lexicon import Indices, shared_lexicon
from pagefault.runtime.store.ranking import REACH, Candidates, Floats, Question, score
from tests.runtime.store.helpers import at_ms


def words(text: str) -> Indices:
    return np.array(shared_lexicon().indices(text), dtype=np.int32)


def ranked(
    asked: str,
    texts: Sequence[str],
    *,
    days: tuple[Day, ...] = (),
    talks: Sequence[int] | None = None,
    ordinals: Sequence[int] | None = None,
    created_ms: Sequence[int] | None = None,
    meaning: Sequence[float] | None = None,
    named: Sequence[bool] | None = None,
) -> Floats:
    """Scores; by default every page stands alone and nothing but its words speaks for it."""
    count = len(texts)
    candidates = Candidates(
        words=[words(text) for text in texts],
        talks=np.array(range(count) if talks is None else talks, dtype=np.int64),
        ordinals=np.array(range(count) if ordinals is None else ordinals, dtype=np.int64),
        created_ms=np.array([0] * count if created_ms is None else created_ms, dtype=np.int64),
        meaning=np.array([0.0] * count if meaning is None else meaning, dtype=np.float32),
        named=np.array([False] * count if named is None else named, dtype=np.bool_),
    )
    return score(Question(words(asked), days), candidates, shared_lexicon())


def test_exact_words_beat_inflections_of_fewer_and_kin_beats_strangers() -> None:
    scores = ranked("painting boats", ["She paints the boat.", "They sold a ship.", "Cabbage soup again."])
    assert scores[0] > scores[1] > scores[2]


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    texts = ["the lake at noon", "the lake at night", "a lake in winter", "the oboe", "lake and rain"]
    scores = ranked("oboe lake", texts)
    assert scores.argmax() == 3


def test_a_question_with_digits_wants_just_those() -> None:
    scores = ranked("room 2023", ["room 2022", "room 2023", "room"])
    assert scores.argmax() == 1
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)


def test_an_answer_is_helped_by_the_question_before_it() -> None:
    texts = ["Which instrument do you play?", "The oboe, since I was nine.", "Soup is ready."]
    alone = ranked("instrument played", texts)
    in_talk = ranked("instrument played", texts, talks=[1, 1, 2])
    assert alone[1] == pytest.approx(alone[2], abs=0.1)
    assert in_talk[1] > in_talk[2] + 0.2


def test_neighbours_are_in_the_same_talk_and_near() -> None:
    texts = ["Which instrument do you play?", "Yes."]
    near = ranked("instrument", texts, talks=[1, 1], ordinals=[5, 5 + REACH])[1]
    too_far = ranked("instrument", texts, talks=[1, 1], ordinals=[5, 6 + REACH])[1]
    elsewhere = ranked("instrument", texts, talks=[1, 2], ordinals=[5, 6])[1]
    assert near > too_far >= elsewhere


def test_the_named_author_comes_first() -> None:
    scores = ranked("soup", ["soup today", "soup today"], named=[False, True])
    assert scores[1] > scores[0]


def test_pages_near_the_named_date_come_first() -> None:
    days = [at_ms(2023, 5, 2), at_ms(2023, 7, 7), at_ms(2023, 7, 9), at_ms(2024, 7, 7)]
    scores = ranked("soup", ["soup"] * 4, days=(Day(2023, 7, 7),), created_ms=days)
    assert list(np.argsort(-scores)) == [1, 2, 0, 3]
    any_year = ranked("soup", ["soup"] * 4, days=(Day(0, 7, 7),), created_ms=days)
    assert any_year[1] == any_year[3] > any_year[0]


def test_a_talk_about_the_matter_helps_all_its_pages() -> None:
    texts = ["oboe lessons", "the oboe broke", "an oboe case", "hm", "well", "the weather", "rain", "soup", "hm"]
    scores = ranked("oboe", texts, talks=[1] * 4 + [2] * 5, ordinals=range(0, 90, 10))
    assert scores[3] > scores[8]


def test_similar_meaning_counts_and_opposite_meaning_does_not() -> None:
    scores = ranked("soup", ["x", "x", "x"], meaning=[0.6, 0.0, -0.6])
    assert scores[0] > scores[1]
    assert scores[1] == scores[2]


def test_nothing_to_rank_and_nothing_asked() -> None:
    assert ranked("soup", []).shape == (0,)
    assert ranked("", ["soup", ""]).tolist() == [0.0, 0.0]
    assert ranked("soup", ["", "?!"]).tolist() == [0.0, 0.0]


texts_drawn = st.lists(st.sampled_from(["", "soup", "the oboe", "a boat on the lake", "2023"]), max_size=12)


@given(texts_drawn, st.data())
def test_scores_are_finite_and_do_not_depend_on_the_order_of_candidates(texts: list[str], data: st.DataObject) -> None:
    count = len(texts)
    numbers = st.integers(-(2**40), 2**41)
    talks = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    ordinals = (
        data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count, unique=True))
        if count < 9
        else [*range(count)]
    )
    created_ms = data.draw(st.lists(numbers, min_size=count, max_size=count))
    meaning = data.draw(st.lists(st.floats(-1, 1, width=32), min_size=count, max_size=count))
    days = data.draw(st.sampled_from([(), (Day(2023, 5),), (Day(0, 2, 29), Day(2020))]))
    order = data.draw(st.permutations(range(count)))

    def scores(places: Sequence[int]) -> Floats:
        return ranked(
            "oboe on the lake 2023",
            [texts[place] for place in places],
            days=days,
            talks=[talks[place] for place in places],
            ordinals=[ordinals[place] for place in places],
            created_ms=[created_ms[place] for place in places],
            meaning=[meaning[place] for place in places],
        )

    first, second = scores(range(count)), scores(order)
    assert np.isfinite(first).all()
    np.testing.assert_allclose(second, first[list(order)], atol=1e-5)
