"""Traces drawn from distributions, for checks against what others have published.

All take a seed and give the same trace for it on every machine (NumPy's PCG64).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pagefault.policies import parameters
from pagefault.policies.lab.builder import plain_trace
from pagefault.policies.lab.trace import Source, Trace


def zipf(
    *, pages: int = 10_000, accesses: int = 1_000_000, alpha: float = 1.0, tokens: int = 1, seed: int = 0
) -> Trace:
    """Independent accesses, the page of rank r with probability proportional to ``r ** -alpha``; equal sizes.

    Pages are named by rank, from 0.  Raises ``PolicyError`` for a parameter out of bounds.
    """
    keys = _zipf_keys("zipf", pages, accesses, alpha, seed)
    size = parameters.whole("zipf.tokens", tokens, at_least=1, at_most=1_000_000)
    return plain_trace(f"zipf-{alpha:g}-seed{seed}", Source.SYNTHETIC, keys, np.full(pages, size))


def sized_zipf(
    *,
    pages: int = 10_000,
    accesses: int = 1_000_000,
    alpha: float = 1.0,
    median_tokens: int = 45,
    spread: float = 1.0,
    tokens_max: int = 4_096,
    seed: int = 0,
) -> Trace:
    """As :func:`zipf`, with sizes of its own for every page, independent of its rank.

    Sizes are log-normal around ``median_tokens`` with ``spread`` as the standard deviation of their natural
    logarithm, rounded, from 1 to ``tokens_max``: dialogue turns have a median of about 45 and a long tail.
    """
    keys = _zipf_keys("sized_zipf", pages, accesses, alpha, seed)
    median = parameters.whole("sized_zipf.median_tokens", median_tokens, at_least=1, at_most=1_000_000)
    sigma = parameters.number("sized_zipf.spread", spread, at_least=0.0, at_most=10.0)
    largest = parameters.whole("sized_zipf.tokens_max", tokens_max, at_least=1, at_most=1_000_000_000)
    chance = np.random.default_rng([seed, 1])
    sizes = np.clip(np.rint(chance.lognormal(np.log(median), sigma, pages)), 1, largest).astype(np.int64)
    return plain_trace(f"sized-zipf-{alpha:g}-seed{seed}", Source.SYNTHETIC, keys, sizes)


def shifting(
    *,
    pages: int = 64,
    accesses: int = 5_000,
    alpha: float = 1.2,
    working_set: int = 16,
    shift_every: int = 500,
    shift_by: int = 4,
    seed: int = 0,
) -> Trace:
    """A working set that shifts, as in the synthetic experiment of Neural Paging.

    The working set is a window over the pages; the access to its i-th page is as likely as ``i ** -alpha``.
    Every ``shift_every`` accesses the window moves on by ``shift_by`` pages, around the end to the start.
    Unit sizes: a budget of K tokens is a cache of K pages.  The paper does not say how far the window moves;
    with a quarter of it all of its fault rates come out (K = 8: Belady .121, LRU .226, FIFO .276, Random
    .280, LFU .577, the first insertions counted as faults).
    """
    count = parameters.whole("shifting.pages", pages, at_least=1, at_most=10_000_000)
    length = parameters.whole("shifting.accesses", accesses, at_least=0, at_most=1_000_000_000)
    members = parameters.whole("shifting.working_set", working_set, at_least=1, at_most=count)
    period = parameters.whole("shifting.shift_every", shift_every, at_least=1, at_most=1_000_000_000)
    step = parameters.whole("shifting.shift_by", shift_by, at_least=0, at_most=count)
    chance = np.random.default_rng(_seed("shifting", seed))
    within = chance.choice(members, size=length, p=_zipf_probability("shifting", members, alpha))
    keys = (within + np.arange(length) // period * step) % count
    return plain_trace(f"shifting-{alpha:g}-seed{seed}", Source.SYNTHETIC, keys, np.ones(count, dtype=np.int64))


def _zipf_keys(maker: str, pages: int, accesses: int, alpha: float, seed: int) -> NDArray[np.int64]:
    count = parameters.whole(f"{maker}.pages", pages, at_least=1, at_most=10_000_000)
    length = parameters.whole(f"{maker}.accesses", accesses, at_least=0, at_most=1_000_000_000)
    chance = np.random.default_rng(_seed(maker, seed))
    upper = np.cumsum(_zipf_probability(maker, count, alpha))
    return np.minimum(np.searchsorted(upper, chance.random(length), side="right"), count - 1).astype(np.int64)


def _zipf_probability(maker: str, count: int, alpha: float) -> NDArray[np.float64]:
    exponent = parameters.number(f"{maker}.alpha", alpha, at_least=0.0, at_most=10.0)
    weight = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def _seed(maker: str, seed: int) -> int:
    return parameters.whole(f"{maker}.seed", seed, at_least=0, at_most=2**63 - 1)
