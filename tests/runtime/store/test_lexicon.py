"""Word vectors: near in meaning is near in number, and words with digits are only themselves."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.store import lexicon as module
from pagefault.runtime.store.lexicon import DIMENSION, Lexicon, shared_lexicon


@pytest.fixture
def lexicon() -> Lexicon:
    return Lexicon()


def numbers(lexicon: Lexicon, *words: str) -> module.Indices:
    return np.array([lexicon.indices(word)[0] for word in words], dtype=np.int32)


def test_stop_words_are_left_out_unless_there_are_no_others(lexicon: Lexicon) -> None:
    assert lexicon.indices("the frost on the lake") == lexicon.indices("frost lake")
    assert len(lexicon.indices("who are you")) == 3
    assert lexicon.indices("?!") == []


def test_a_word_keeps_its_number_and_inflections_share_their_stem(lexicon: Lexicon) -> None:
    assert lexicon.indices("Pear pear") == lexicon.indices("PEAR, pear")
    assert lexicon.indices("pears") != lexicon.indices("pear")
    assert lexicon.terms("pears") == lexicon.terms("pear's") == lexicon.terms("pear")


def test_stems_mean_the_same_in_another_lexicon(lexicon: Lexicon) -> None:
    other = Lexicon()
    other.indices("words that come before, so that numbers differ")
    assert other.indices("oboe") != lexicon.indices("oboe")
    assert other.terms("oboe") == lexicon.terms("oboe")


def test_words_alike_in_meaning_are_near(lexicon: Lexicon) -> None:
    table = lexicon.similarities(
        numbers(lexicon, "money", "boat"), numbers(lexicon, "cash", "ship", "boats", "cabbage")
    )
    assert table.shape == (2, 4)
    assert table[1, 2] == 1.0
    assert table[0, 0] > 0.4 > table[0, 1]
    assert table[1, 1] > 0.4 > table[1, 0]
    assert table[:, 3].max() < 0.4
    assert (table >= 0.0).all()
    assert (table <= 1.0).all()


def test_words_with_digits_are_like_nothing_but_themselves(lexicon: Lexicon) -> None:
    years = numbers(lexicon, "2022", "2023", "year")
    table = lexicon.similarities(years, years)
    assert table[:2].tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert table[2, 2] == 1.0


def test_similarities_do_not_depend_on_how_they_are_split(lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array(lexicon.indices(" ".join(f"word{chr(97 + n)} {n}x" for n in range(26))), dtype=np.int32)
    whole = lexicon.similarities(words[:5], words)
    monkeypatch.setattr(module, "PRODUCTS_A_CALL", 3 * DIMENSION * 5)
    np.testing.assert_allclose(lexicon.similarities(words[:5], words), whole, atol=1e-6)


def test_it_grows_and_threads_agree(lexicon: Lexicon) -> None:
    texts = [" ".join(f"w{number}x{digit}" for digit in range(40)) for number in range(120)]
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lexicon.indices, texts * 2))
    assert first[:120] == first[120:]
    assert len(lexicon) > 4800
    assert len({number for row in first for number in row}) == 4800
    assert np.isfinite(lexicon.vectors(first[-1])).all()
    assert (np.abs(lexicon.vectors(first[0])).sum(axis=1) > 0).all()


def test_one_is_shared_until_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    first = shared_lexicon()
    assert shared_lexicon() is first
    monkeypatch.setattr(module, "ROWS_MAX", 1)
    assert shared_lexicon() is not first


def test_the_package_is_not_imported_and_logging_is_left_alone(lexicon: Lexicon) -> None:
    assert lexicon.vectors([0]).shape == (1, DIMENSION)
    assert "wordllama" not in sys.modules
    assert logging.getLogger().level == logging.WARNING


def test_missing_files_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    module._wordllama.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"embedder: found 'wordllama', allowed: a wordllama 0\.4 wheel"):
        Lexicon()
    module._wordllama.cache_clear()
