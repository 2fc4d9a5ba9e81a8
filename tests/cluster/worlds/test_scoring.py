"""Scores: what the published scripts give for the same texts, and what must hold of any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.worlds.scoring import (
    abstains,
    exact_match,
    holds_answer,
    list_f1,
    normalised,
    rouge_l_recall,
    token_f1,
    words,
)

TEXTS = st.text(alphabet="ab c,.", max_size=30)


def test_answers_are_compared_without_case_punctuation_and_articles() -> None:
    assert normalised(" The  Cat, and a DOG! ") == "cat dog"
    assert exact_match("the Lake.", ["a pond", "lake"]) == 1.0
    assert exact_match("lakes", ["lake"]) == 0.0
    assert holds_answer("It was in May 2018, I think.", ["may 2018"]) == 1.0
    assert holds_answer("It was dismay 2018", ["may 2018"]) == 0.0, "words, not letters"
    assert holds_answer("anything", ["", "the"]) == 0.0


def test_f1_counts_stems_as_often_as_they_occur() -> None:
    assert token_f1("running dogs", "the dog runs") == 1.0
    assert token_f1("dog dog dog", "dog cat") == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert token_f1("", "dog") == token_f1("dog", "") == 0.0


def test_lists_are_matched_item_by_item() -> None:
    assert list_f1("pottery, hiking", "hiking, pottery") == 1.0
    assert list_f1("pottery", "hiking, pottery") == 0.5
    assert list_f1("", "hiking") == list_f1("hiking", " , ") == 0.0


def test_rouge_l_takes_words_in_their_order() -> None:
    # Lin 2004, section 3: the candidates for "police killed the gunman"
    reference = "police killed the gunman"
    assert rouge_l_recall("police kill the gunman", reference) == 3 / 4
    assert rouge_l_recall("the gunman kill police", reference) == 2 / 4
    assert rouge_l_recall("", reference) == rouge_l_recall("police", "") == 0.0


@given(first=TEXTS, second=TEXTS)
def test_scores_are_shares_and_whole_for_the_same_text(first: str, second: str) -> None:
    for score in (token_f1, list_f1, rouge_l_recall):
        assert 0.0 <= score(first, second) <= 1.0
    assert token_f1(first, second) == pytest.approx(token_f1(second, first))
    if words(first):
        assert rouge_l_recall(f"{second} {first}", first) == 1.0


@pytest.mark.parametrize(
    "text", ["I do not know.", "I don\u2019t know", "That was not mentioned.", "There is no information on it"]
)
def test_abstaining(text: str) -> None:
    assert abstains(text)
    assert not abstains("She knows no fear, and mentioned it.")
