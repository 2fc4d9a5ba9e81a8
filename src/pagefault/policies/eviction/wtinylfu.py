"""W-TinyLFU: a small window for what is new, and a doorman who lets in only what is used more than what it displaces.

New pages go to a window, ordered by last use.  What the window has no room for is a candidate for the main
part, a segmented LRU; if that is full, the candidate is compared with the page that the main part would evict, by how
often each was used lately, whether resident or not: the one used less leaves, and in a tie the candidate
(Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions on
Storage 2017).  In the main part a page that is used again moves to the protected segment.

The window has 1 % of the room and the protected segment 80 % of the main part, as in Caffeine, but the window
is never smaller than the largest page.  Left out: the sketch and its doorkeeper.  Pages are thousands, not
millions, so uses are counted exactly, up to 15, and halved when there were ``sample_factor`` uses a resident
page; counts of 0 are forgotten.  Caffeine's random admission against forged keys and its adaptive window are
left out, too.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.queues import TokenQueue, filled
from pagefault.policies.eviction.replacement import Segmented
from pagefault.policies.eviction.saved import Saved

WINDOW, PROBATION, PROTECTED = 0, 1, 2
MOST_USES = 15


class Frequencies:
    """How often pages were used lately: a count of up to 15 each, all halved after ``sample`` uses."""

    __slots__ = ("counts", "recorded")

    def __init__(self, counts: dict[str, int] | None = None, recorded: int = 0) -> None:
        self.counts: dict[str, int] = {} if counts is None else counts
        self.recorded = recorded

    def record(self, page_id: str, sample: int) -> None:
        """A use."""
        self.counts[page_id] = min(MOST_USES, self.counts.get(page_id, 0) + 1)
        self.recorded += 1
        if self.recorded >= sample:
            self.recorded //= 2
            self.counts = {each: count // 2 for each, count in self.counts.items() if count > 1}

    def of(self, page_id: str) -> int:
        """Its count, 0 if it was not used lately."""
        return self.counts.get(page_id, 0)


class WTinyLfu(Segmented):
    """``window_fraction`` of the capacity is the window, ``protected_fraction`` of the rest the protected part."""

    name = "wtinylfu"

    def __init__(
        self,
        *,
        window_fraction: float = 0.01,
        protected_fraction: float = 0.8,
        sample_factor: int = 10,
        capacity_tokens: int | None = None,
    ) -> None:
        self._window_fraction = parameters.number(
            "wtinylfu.window_fraction", window_fraction, at_least=0.0, at_most=1.0
        )
        self._protected_fraction = parameters.number(
            "wtinylfu.protected_fraction", protected_fraction, at_least=0.0, at_most=1.0
        )
        self._sample_factor = parameters.whole("wtinylfu.sample_factor", sample_factor, at_least=1, at_most=1000)
        self._window_limit = self._main_limit = self._protected_limit = float("inf")
        self._window, self._probation, self._protected = TokenQueue(), TokenQueue(), TokenQueue()
        self._frequencies = Frequencies()
        super().__init__(capacity_tokens)

    def _resize(self, capacity_tokens: int) -> None:
        self._window_limit = min(self._share(capacity_tokens, self._window_fraction), capacity_tokens)
        self._main_limit = capacity_tokens - self._window_limit
        self._protected_limit = int(self._main_limit * self._protected_fraction)

    def _record(self, page_id: str) -> None:
        self._frequencies.record(page_id, self._sample_factor * max(16, len(self._tokens)))

    def _arrive(self, page_id: str, tokens: int) -> None:
        self._record(page_id)

    def _admit(self, page_id: str, tokens: int) -> None:
        self._window.add(page_id, tokens)
        while self._window.tokens > self._window_limit:
            oldest = self._window.first()
            assert oldest is not None
            if self._main_tokens() + self._tokens[oldest] > self._main_limit:
                return  # the doorman decides when room is asked for
            self._probation.add(oldest, self._window.remove(oldest))

    def _hit(self, page_id: str) -> None:
        if page_id in self._window:
            self._window.touch(page_id)
        elif page_id in self._probation:
            self._protected.add(page_id, self._probation.remove(page_id))
            while self._protected.tokens > self._protected_limit and len(self._protected) > 1:
                oldest = self._protected.first()
                assert oldest is not None
                self._probation.add(oldest, self._protected.remove(oldest))
        else:
            self._protected.touch(page_id)
        self._record(page_id)

    def _main_tokens(self) -> int:
        return self._probation.tokens + self._protected.tokens

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        while True:
            candidate = self._window.first(held)
            victim = self._probation.first(held) or self._protected.first(held)
            over = self._window.tokens + self._incoming_tokens() > self._window_limit
            if candidate is None or (victim is not None and not over):
                assert victim is not None
                return self._evict(victim)
            if self._main_tokens() + self._tokens[candidate] <= self._main_limit and over:
                self._probation.add(candidate, self._window.remove(candidate))
            elif victim is None or self._frequencies.of(candidate) <= self._frequencies.of(victim):
                return self._evict(candidate)
            else:
                self._probation.add(candidate, self._window.remove(candidate))
                return self._evict(victim)

    def _evict(self, page_id: str) -> tuple[str, int]:
        for home, queue in enumerate((self._window, self._probation, self._protected)):
            if page_id in queue:
                queue.remove(page_id)
                return page_id, home
        raise KeyError(page_id)

    def _put_back(self, page_id: str, home: int) -> None:
        (self._window, self._probation, self._protected)[home].add_first(page_id, self._tokens[page_id])

    def _drop(self, page_id: str, evicted: bool) -> None:
        """Its frequency is remembered: that is the policy."""

    def _remove(self, page_id: str, tokens: int) -> None:
        self._evict(page_id)

    def _reason(self, page_id: str) -> str:
        uses = self._frequencies.of(page_id)
        names = (("the window", self._window), ("probation", self._probation), ("the protected part", self._protected))
        for name, queue in names:
            if page_id in queue:
                place = f"number {queue.rank(page_id)} of {len(queue)} there by last use"
                return f"in {name}: {place}, used {uses} times lately"
        raise KeyError(page_id)

    def _dump(self) -> dict[str, Any]:
        return {
            "window": list(self._window),
            "probation": list(self._probation),
            "protected": list(self._protected),
            "frequencies": [[page_id, count] for page_id, count in self._frequencies.counts.items()],
            "recorded": self._frequencies.recorded,
        }

    def _load(self, saved: Saved) -> None:
        self._load_capacity(saved)
        self._window = filled(saved.queue("window"), saved.resident)
        self._probation = filled(saved.queue("probation"), saved.resident)
        self._protected = filled(saved.queue("protected"), saved.resident)
        self._frequencies = Frequencies(dict(saved.numbers("frequencies")), saved.whole("recorded"))
