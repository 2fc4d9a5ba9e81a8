"""The document side of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).

Engines multiply by the IDF, of the statistics of the owners that are searched.
"""

from __future__ import annotations

from typing import Final

__all__ = ["bm25_weights"]

BM25_K1: Final = 1.2
BM25_B: Final = 0.75
BM25_LENGTH: Final = 14.0
"""The usual number of words of a page, stop words left out.  A constant, so that a page's vector never has
to be written again because others came."""


def bm25_weights(terms: list[int]) -> tuple[list[int], list[float]]:
    """A page's sparse vector: its terms, each once, and their weights."""
    counts: dict[int, int] = {}
    for term in terms:  # a Counter takes three times as long for the few words of a page
        counts[term] = counts.get(term, 0) + 1
    length = BM25_K1 * (1.0 - BM25_B + BM25_B * len(terms) / BM25_LENGTH)
    if len(counts) == len(terms):
        return terms, [(BM25_K1 + 1.0) / (1.0 + length)] * len(terms)
    return list(counts), [count * (BM25_K1 + 1.0) / (count + length) for count in counts.values()]
