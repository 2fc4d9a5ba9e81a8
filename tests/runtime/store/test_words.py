"""What counts as a word, and which words are the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.store.words import STOP_WORDS, split_words, stem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("...?!", []),
        ("The frost has LEFT.", ["the", "frost", "has", "left"]),
        ("Oskar's oboe isn't here", ["oskar's", "oboe", "isn't", "here"]),
        ("Oskar\u2019s oboe", ["oskar's", "oboe"]),
        ("e-mail snake_case 7/11", ["e", "mail", "snake", "case", "7", "11"]),
        ("żółty Äpfel", ["żółty", "äpfel"]),
        ("東京 tower", ["東", "京", "tower"]),
        ("6f6e3f0a-7c7b", ["6f6e3f0a", "7c7b"]),
    ],
)
def test_words_of_texts(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text())
def test_any_text_has_words_in_lower_case(text: str) -> None:
    for word in split_words(text):
        assert word
        assert word == word.lower()
        assert stem(word) == stem(word)


@pytest.mark.parametrize(
    ("one", "other"),
    [("running", "runs"), ("pears", "pear"), ("oskar's", "oskar"), ("adopted", "adopts"), ("happiness", "happy")],
)
def test_inflections_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_different_words_do_not() -> None:
    assert len({stem(word) for word in ("oboe", "violin", "ferry", "train")}) == 4


def test_stop_words_are_words() -> None:
    assert {"the", "isn't", "what"} <= STOP_WORDS
    assert all(split_words(word) == [word] for word in STOP_WORDS)


def test_threads_may_stem_at_once() -> None:
    words = [
        f"{prefix}{ending}" for prefix in ("play", "sing", "row", "paint") for ending in ("ing", "s", "er", "ed")
    ] * 50
    alone = [stem(word) for word in words]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(stem, words)) == alone
