"""What a context costs with a provider that caches prefixes.

Every model call sends the whole context.  What is unchanged from its beginning is read from the provider's
cache at one price, everything after the first change is written at another.  The context is laid out as the
runtime lays it out: what is not pages, the summary, then the queue in order of entry, pages that are paged in
at its end.  So an eviction rewrites everything after the first page that left, and a new summary rewrites
the whole queue: that, and not the hit ratio, is most of the bill, and the reason to evict in batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pagefault.policies import parameters
from pagefault.policies.lab.replay import Replay
from pagefault.policies.lab.trace import Integers, Op


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a token of the context, in input tokens without a cache: read from it, and written to it.

    The defaults are Anthropic's for a cache of five minutes; ``write`` is 2 there for an hour, and 1 where
    writing is free.  ``fixed_tokens`` stand before the pages in every call, for traces that do not say how
    many.  Raises ``PolicyError``.
    """

    read: float = 0.1
    write: float = 1.25
    fixed_tokens: int = 0

    def __post_init__(self) -> None:
        parameters.number("prices.read", self.read, at_least=0.0)
        parameters.number("prices.write", self.write, at_least=0.0)
        parameters.whole("prices.fixed_tokens", self.fixed_tokens, at_least=0, at_most=2**40)


@dataclass(frozen=True, slots=True)
class PrefixCost:
    """The bill of a run: tokens read and written over all ``calls``, and how many calls found less of their
    prefix than the call before had sent.  ``cost`` is in input tokens without a cache."""

    calls: int
    read_tokens: int
    written_tokens: int
    invalidations: int
    cost: float

    @property
    def cost_per_call(self) -> float:
        """Input tokens without a cache that one call costs; 0 if there was none."""
        return self.cost / self.calls if self.calls else 0.0


def prefix_cost(replay: Replay, prices: Prices) -> PrefixCost:
    """The cost of a run, a call at every check of the trace, or where it has none at the end of every turn.

    O(n log n) in the number of entries and evictions.
    """
    queue = _Queue(replay)
    read = written = invalidations = calls = 0
    other_before, sent_before = 0, 0
    for event, other_tokens in _calls(replay, prices):
        kept_in_queue, is_summary_new = queue.advance(event)
        if calls == 0:
            kept = 0
        elif other_tokens != other_before:
            kept = min(other_tokens, other_before)
        elif is_summary_new:
            kept = other_tokens
        else:
            kept = other_tokens + queue.summary_tokens + kept_in_queue
        sent = other_tokens + queue.summary_tokens + queue.tokens
        read += kept
        written += sent - kept
        invalidations += kept < sent_before
        calls += 1
        other_before, sent_before = other_tokens, sent
    return PrefixCost(calls, read, written, invalidations, prices.read * read + prices.write * written)


def _calls(replay: Replay, prices: Prices) -> list[tuple[int, int]]:
    """The event after which each call is made, and the tokens in it that are not pages."""
    events = replay.trace.events
    checks = np.flatnonzero(events.op == Op.CHECK)
    if len(checks):
        return list(zip(checks.tolist(), events.value[checks].tolist(), strict=True))
    if not len(events):
        return []
    last_of_turn = np.flatnonzero(np.append(np.diff(events.turn) != 0, True))
    return [(event, prices.fixed_tokens) for event in last_of_turn.tolist()]


class _Queue:
    """The tokens of every stay in the queue as time goes by, with sums over the front in O(log n).

    The sums are a Fenwick tree over stays (Fenwick 1994, "A new data structure for cumulative frequency
    tables").
    """

    def __init__(self, replay: Replay) -> None:
        stays, edits = replay.stays, replay.edits
        entries = len(stays)
        sizes = replay.trace.tokens[stays.page]
        event = np.concatenate((stays.since, edits.event))
        # Entries first: a companion may come in and leave in one event.
        order = np.argsort(event, kind="stable")
        self._event: list[int] = event[order].tolist()
        self._stay: list[int] = np.concatenate((np.arange(entries), edits.stay))[order].tolist()
        self._now: list[int] = np.concatenate((sizes, edits.tokens))[order].tolist()
        self._at = 0
        self._held = [0] * entries
        self._tree = [0] * (entries + 1)
        self._entered = 0
        self.tokens = 0
        self._summaries = _pairs(replay.summary_at, replay.summary_tokens)[::-1]
        self.summary_tokens = 0

    def advance(self, event: int) -> tuple[int, bool]:
        """Play on to the end of ``event``.

        Returns the tokens at the queue's front that are as they were at the last call, and whether the
        summary is new.
        """
        sent = self._entered  # stays from here on were in no call yet
        first_changed = sent
        while self._at < len(self._event) and self._event[self._at] <= event:
            stay = self._stay[self._at]
            first_changed = min(first_changed, stay)
            self._entered = max(self._entered, stay + 1)
            self._put(stay, self._now[self._at])
            self._at += 1
        is_summary_new = False
        while self._summaries and self._summaries[-1][0] <= event:
            self.summary_tokens = self._summaries.pop()[1]
            is_summary_new = True
        return self._front(first_changed), is_summary_new

    def _put(self, stay: int, tokens: int) -> None:
        change = tokens - self._held[stay]
        self._held[stay] = tokens
        self.tokens += change
        place = stay + 1
        while place < len(self._tree):
            self._tree[place] += change
            place += place & -place

    def _front(self, stays: int) -> int:
        total = 0
        while stays:
            total += self._tree[stays]
            stays &= stays - 1
        return total


def _pairs(first: Integers, second: Integers) -> list[tuple[int, int]]:
    return list(zip(first.tolist(), second.tolist(), strict=True))
