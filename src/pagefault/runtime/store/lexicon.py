"""Word vectors: what a word is near to in meaning, looked up in microseconds.

The vectors are WordLlama's: the input embeddings of large language models, trained further as a bag of
words and cut to 256 numbers (https://github.com/dleemiller/WordLlama).  They come inside its wheel.  The
files are read here and not through the package: importing it configures the root logger, and a text's
tokens are wanted word by word, so that every word is tokenised once in a process and not once a text
(measured: 11 µs a text of 25 words instead of 134).
"""

from __future__ import annotations

import importlib.util
import threading
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.store.protocols import Vectors
from pagefault.runtime.store.words import STOP_WORDS, split_words, stem

__all__ = ["DIMENSION", "Lexicon", "shared_lexicon"]

DIMENSION: Final = 256
STOPS: Final = len(STOP_WORDS)
"""Stop words have the first indices, so that one comparison tells them from the rest."""
ROWS_FIRST: Final = 4096
ROWS_MAX: Final = 65_536
"""64 MiB of vectors; past it, the next to ask gets a new lexicon."""

TEXTS_MAX: Final = 1_024
TEXT_CHARS_MAX: Final = 4_096
"""How many texts are remembered, and how long one may be for that."""
PRODUCTS_A_CALL: Final = 4 * 65_536
"""Multiplications up to which OpenBLAS keeps to the calling thread.  Waking others costs more than they save
here, and milliseconds on a machine that is busy (measured at load 9: 6 ms instead of 0.3)."""

Indices = npt.NDArray[np.int32]


class Lexicon:
    """The words met so far, numbered, each with its vector and its stem.

    Numbers mean something within one lexicon only.  Threads may share one.

    Raises :class:`~pagefault.runtime.errors.ConfigError` when WordLlama's files are not installed.
    """

    def __init__(self) -> None:
        self._table, self._tokenizer = _wordllama()
        self._mutex = threading.Lock()
        self._index = _Index(self)
        self._texts: dict[str, list[int]] = {}
        self._vectors: Vectors = np.zeros((ROWS_FIRST, DIMENSION), dtype=np.float32)
        self._terms: npt.NDArray[np.uint32] = np.zeros(ROWS_FIRST, dtype=np.uint32)
        self._exact: npt.NDArray[np.bool_] = np.zeros(ROWS_FIRST, dtype=np.bool_)
        self._lengths: Vectors = np.ones(ROWS_FIRST, dtype=np.float32)
        for word in sorted(STOP_WORDS):
            self._number(word)

    def __len__(self) -> int:
        return len(self._index)

    def indices(self, text: str) -> list[int]:
        """The numbers of a text's words, in order; without its stop words, unless there are no others.

        Not to be changed by who gets it: the last texts are remembered, because one is asked for several
        times in a row (by the embedder, for its terms, to be ranked).
        """
        known = self._texts.get(text)
        if known is not None:
            return known
        index = self._index
        found = [index[word] for word in split_words(text)]
        found = [number for number in found if number >= STOPS] or found
        if len(text) <= TEXT_CHARS_MAX:
            if len(self._texts) >= TEXTS_MAX:
                self._texts.clear()
            self._texts[text] = found
        return found

    def terms(self, text: str) -> list[int]:
        """The stems of a text's words as numbers that mean the same in every process, in order."""
        return self.stems(self.indices(text))

    def stems(self, indices: Sequence[int] | Indices) -> list[int]:
        """The stems of words as :meth:`terms` gives them."""
        return self._terms[indices].tolist() if len(indices) else []

    def vectors(self, indices: Sequence[int] | Indices) -> Vectors:
        """Word vectors, shape ``(n, 256)``; longer for words that say more."""
        return self._vectors.take(indices, axis=0)

    def similarities(self, asked: Indices, words: Indices) -> Vectors:
        """How alike words are in meaning, shape ``(asked, words)``: cosines, 1 for words of one stem.

        Not below 0.  Words with a digit in them (dates, amounts, keys) are alike to nothing but themselves.
        """
        table: Vectors = np.empty((len(asked), len(words)), dtype=np.float32)
        vectors = self._vectors[asked]
        rows = max(1, PRODUCTS_A_CALL // max(1, vectors.size))
        for start in range(0, len(words), rows):
            table[:, start : start + rows] = vectors @ self._vectors[words[start : start + rows]].T
        table /= self._lengths[asked][:, np.newaxis]
        table /= self._lengths[words]
        np.clip(table, 0.0, 1.0, out=table)
        table[self._exact[asked]] = 0.0
        table[:, self._exact[words]] = 0.0
        table[self._terms[asked][:, np.newaxis] == self._terms[words]] = 1.0
        return table

    def _number(self, word: str) -> int:
        """Number a word that was not met before."""
        with self._mutex:
            known = self._index.get(word)
            if known is not None:
                return known
            number = len(self._index)
            if number == len(self._terms):
                self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
                self._terms = np.concatenate([self._terms, np.zeros_like(self._terms)])
                self._exact = np.concatenate([self._exact, np.zeros_like(self._exact)])
                self._lengths = np.concatenate([self._lengths, np.ones_like(self._lengths)])
            exact = any(character.isdigit() for character in word)
            base = word.removesuffix("'s")
            hashed = zlib.crc32((base if exact else stem(base)).encode("utf-8", "surrogatepass"))
            vector = self._at_random(hashed) if exact else self._of_tokens(base)
            self._vectors[number] = vector
            self._lengths[number] = float(np.sqrt(vector @ vector)) or 1.0
            self._terms[number] = hashed
            self._exact[number] = exact
            # Last: whoever sees the number, without the lock, finds its rows filled.
            self._index[word] = number
            return number

    def _of_tokens(self, word: str) -> Vectors:
        tokens = self._tokenizer.encode(word, add_special_tokens=False).ids
        return np.asarray(self._table[tokens].sum(axis=0, dtype=np.float32))

    def _at_random(self, hashed: int) -> Vectors:
        """A vector that is near to no other: for words with digits, whose tokens would make all numbers alike."""
        rows = len(self._table)
        return np.asarray(self._table[hashed % rows] - self._table[hashed // rows % rows], dtype=np.float32)


class _Index(dict[str, int]):
    """Word to number; a word that is missing gets one."""

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__()
        self._lexicon = lexicon

    def __missing__(self, word: str) -> int:
        return self._lexicon._number(word)  # noqa: SLF001 - the two are one thing in two classes


class _Shared:
    """One lexicon a process, as it only remembers what it would compute again."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._lexicon: Lexicon | None = None

    def __call__(self) -> Lexicon:
        """The process's lexicon; a new one when it has grown past its bound, so take it once an operation.

        Raises :class:`~pagefault.runtime.errors.ConfigError` when WordLlama's files are not installed.
        """
        with self._mutex:
            if self._lexicon is None or len(self._lexicon) >= ROWS_MAX:
                self._lexicon = Lexicon()
            return self._lexicon


shared_lexicon: Final = _Shared()


@lru_cache(maxsize=1)
def _wordllama() -> tuple[npt.NDArray[np.float16] | Vectors, Tokenizer]:
    """The table of token vectors, shape ``(32000, 256)``, and the tokenizer; read once a process."""
    spec = importlib.util.find_spec("wordllama")  # finds the folder without importing the package
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path("wordllama")
    weights = folder / "weights" / "l2_supercat_256.safetensors"
    tokens = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
    for file in (weights, tokens):
        if not file.is_file():
            raise ConfigError(
                "embedder", "wordllama", f"a wordllama 0.4 wheel, which holds {file}; or another embedder"
            )
    [table] = load_file(weights).values()
    return table, Tokenizer.from_file(str(tokens))
