"""Embedders: from texts to unit vectors, so that near in meaning is near in space."""

from __future__ import annotations

import importlib
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from pagefault.runtime.errors import (
    ConfigError,
    UnknownName,
)
from pagefault.runtime.store.lexicon import DIMENSION, shared_lexicon
from pagefault.runtime.store.protocols import Embedder, Vectors
from pagefault.runtime.store.words import WORD_CHARS_MAX, split_words, stem

__all__ = ["HashEmbedder", "WordLlamaEmbedder", "make_embedder", "unit_rows"]

ENDPOINT: Final = "pagefault.runtime.store.embed_endpoint"
"""What makes the embedders of servers; loaded where there is one."""
HASHED_WORDS_MAX: Final = 2**15
"""Words whose hash is kept: stemming one takes 30 µs."""
WORDLLAMA_DIMENSIONS: Final = (64, 128, 256)
OPENAI_DIMENSIONS: Final[Mapping[str, int]] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
NAME: Final = re.compile(
    r"(?P<kind>wordllama|hash)(?:-(?P<dimension>\d{1,5}))?|openai:(?P<model>.+?)(?:@(?P<base_url>https?://\S+?))?(?:#(?P<size>\d{1,5}))?"
)


@lru_cache(HASHED_WORDS_MAX)
def _hashed(word: str) -> int:
    return zlib.crc32(stem(word).encode("utf-8", "surrogatepass"))


class HashEmbedder:
    """Counts of hashed stems: texts that share words are near, nothing else is.  For tests.

    Feature hashing (Weinberger et al. 2009, https://arxiv.org/abs/0902.2206): deterministic, no model.
    """

    def __init__(self, dimension: int = 64) -> None:
        if dimension < 1:
            raise ConfigError("embedder.dimension", dimension, "a whole number from 1")
        self.name = f"hash-{dimension}"
        self.dimension = dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape ``(len(texts), dimension)``, unit rows (zeros for a text without words)."""
        rows: Vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in split_words(text):
                hashed = _hashed(word[:WORD_CHARS_MAX])
                row[(hashed >> 1) % self.dimension] += 1.0 if hashed & 1 else -1.0
        return unit_rows(rows)


class WordLlamaEmbedder:
    """The sum of a text's word vectors, stop words left out: offline, 3 µs a text once its words are known.

    ``dimension`` 256, 128 or 64: WordLlama's vectors were trained to be cut (Matryoshka representations).
    Raises :class:`~pagefault.runtime.errors.ConfigError` for another one, or when its files are missing.
    """

    def __init__(self, dimension: int = DIMENSION) -> None:
        if dimension not in WORDLLAMA_DIMENSIONS:
            raise ConfigError("embedder.dimension", dimension, "64, 128 or 256 for wordllama")
        shared_lexicon()
        self.name = f"wordllama-{dimension}"
        self.dimension = dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape ``(len(texts), dimension)``, unit rows (zeros for a text without words)."""
        lexicon = shared_lexicon()
        rows: Vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            indices = lexicon.indices(text)
            if indices:
                lexicon.vectors(indices).sum(axis=0, out=row)
        return unit_rows(rows[:, : self.dimension])


def make_embedder(name: str, *, base_url: str = "", api_key: str = "", dimension: int = 0) -> Embedder:
    """The embedder of a name: ``wordllama``, ``wordllama-128``, ``hash``, ``hash-32``, ``openai:MODEL``.

    ``openai:MODEL@http://host/v1`` is a model of another server, ``openai:MODEL@http://host/v1#768`` says how long its
    vectors are, so that nobody has to ask; ``base_url`` and ``dimension`` say the same.  ``dimension`` 0 means the
    model's own: known for OpenAI's, and asked for with one short text elsewhere.

    Raises :class:`~pagefault.runtime.errors.UnknownName` for another name and
    :class:`~pagefault.runtime.errors.ConfigError` for settings that do not fit; a server that has to be asked may
    raise a :class:`~pagefault.runtime.errors.ModelError`.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise UnknownName(f"no embedder is called {name!r}; there are: wordllama, wordllama-N, hash, openai:MODEL")
    model = found["model"]
    if model is not None:
        address = base_url or found["base_url"] or ""
        size = dimension or int(found["size"] or 0) or OPENAI_DIMENSIONS.get(model, 0)
        if size or address:
            make = importlib.import_module(ENDPOINT).OpenAIEmbedder
            asked = make(model, size or 1, base_url=address, api_key=api_key)
            made: Embedder = asked if size else make(model, asked.measured(), base_url=address, api_key=api_key)
            return made
        raise ConfigError("embedder.dimension", dimension, f"the length of the vectors of {model!r}")
    if base_url or api_key:
        raise ConfigError("embedder.base_url", base_url, f"nothing: {name!r} runs in this process")
    size = int(found["dimension"] or dimension)
    if found["kind"] == "hash":
        return HashEmbedder(size) if size else HashEmbedder()
    return WordLlamaEmbedder(size) if size else WordLlamaEmbedder()


def unit_rows(rows: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays one."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    lengths[lengths == 0.0] = 1.0
    scaled: Vectors = rows / lengths[:, np.newaxis]
    return scaled
