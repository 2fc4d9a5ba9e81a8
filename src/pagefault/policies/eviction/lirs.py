"""LIRS: pages with a short distance between their last two uses stay, all others pass through a small queue.

Stack ``S`` orders pages by last use and holds the *low* ones (LIR), and of the *high* ones (HIR) those that were
used after the lowest LIR page, resident or not; queue ``Q`` holds the resident HIR pages, and its first is the
next to leave.  A HIR page that is used while it is in ``S`` has a shorter distance than the lowest LIR page: they
change places.  ``S`` is pruned so that its bottom is always LIR (Jiang and Zhang, "LIRS: An Efficient Low
Inter-reference Recency Set Replacement Policy", SIGMETRICS 2002, section 3; HIR share 1 %).

Shares are of tokens, and the HIR share is never smaller than the largest page.  Left out: the paper lets ``S``
grow without limit; here it remembers evicted pages of up to ``ghost_fraction`` of the capacity.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.ghosts import Ghosts
from pagefault.policies.eviction.queues import TokenQueue, filled
from pagefault.policies.eviction.replacement import Segmented
from pagefault.policies.eviction.saved import Saved

HIGH, LOW = 0, 1


class Lirs(Segmented):
    """``high_fraction`` of the capacity is for HIR pages.  Amortised O(1) a step."""

    name = "lirs"

    def __init__(
        self, *, high_fraction: float = 0.01, ghost_fraction: float = 2.0, capacity_tokens: int | None = None
    ) -> None:
        self._high_fraction = parameters.number("lirs.high_fraction", high_fraction, at_least=0.0, at_most=1.0)
        self._ghost_fraction = parameters.number("lirs.ghost_fraction", ghost_fraction, at_least=0.0, at_most=16.0)
        self._low_limit = self._ghost_limit = float("inf")
        self._stack: OrderedDict[str, None] = OrderedDict()  # S, bottom first
        self._low = TokenQueue()  # the LIR pages, in no order that matters
        self._queue = TokenQueue()  # Q
        self._ghosts = Ghosts()  # the HIR pages of S that are not resident
        self._returned = 0  # whether the arriving page was one
        super().__init__(capacity_tokens)

    def _resize(self, capacity_tokens: int) -> None:
        self._low_limit = max(0, capacity_tokens - self._share(capacity_tokens, self._high_fraction))
        self._ghost_limit = int(capacity_tokens * self._ghost_fraction)

    def _arrive(self, page_id: str, tokens: int) -> None:
        self._returned = int(self._ghosts.discard(page_id))
        if self._returned:
            self._stack.move_to_end(page_id)
            self._prune()

    def _turn_away(self, page_id: str) -> None:
        self._stack.pop(page_id, None)

    def _admit(self, page_id: str, tokens: int) -> None:
        if self._returned or self._low.tokens + tokens <= self._low_limit:
            self._raise(page_id, tokens)
            return
        self._top(page_id)
        self._queue.add(page_id, tokens)

    def _hit(self, page_id: str) -> None:
        if page_id in self._low:
            self._top(page_id)
            self._prune()
        elif page_id in self._stack:
            self._raise(page_id, self._queue.remove(page_id))
        else:
            self._queue.touch(page_id)
            self._top(page_id)

    def _top(self, page_id: str) -> None:
        self._stack[page_id] = None
        self._stack.move_to_end(page_id)

    def _raise(self, page_id: str, tokens: int) -> None:
        """Make a page LIR, and the lowest LIR pages HIR until their share is kept."""
        self._top(page_id)
        self._low.add(page_id, tokens)
        while self._low.tokens > self._low_limit and len(self._low) > 1:
            self._prune()
            lowest, _ = self._stack.popitem(last=False)
            self._queue.add(lowest, self._low.remove(lowest))
        self._prune()

    def _prune(self) -> None:
        """Take what is not LIR from the bottom of the stack."""
        while self._stack and (bottom := next(iter(self._stack))) not in self._low:
            if bottom == self._arriving:
                return  # it is about to be LIR
            del self._stack[bottom]
            self._ghosts.discard(bottom)

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        page_id = self._queue.first(held)
        if page_id is not None:
            tokens = self._queue.remove(page_id)
            if page_id in self._stack:
                self._remember(page_id, tokens)
            return page_id, HIGH
        page_id = next(each for each in self._stack if each in self._low and each not in held)
        self._low.remove(page_id)
        del self._stack[page_id]
        self._prune()
        return page_id, LOW

    def _remember(self, page_id: str, tokens: int) -> None:
        self._ghosts.add(page_id, tokens)
        while self._ghosts.tokens > self._ghost_limit:
            del self._stack[self._ghosts.drop_oldest()]

    def _put_back(self, page_id: str, home: int) -> None:
        self._ghosts.discard(page_id)
        if home == HIGH:
            self._queue.add_first(page_id, self._tokens[page_id])
            return
        self._low.add(page_id, self._tokens[page_id])
        self._stack[page_id] = None
        self._stack.move_to_end(page_id, last=False)

    def _drop(self, page_id: str, evicted: bool) -> None:
        if not evicted and self._ghosts.discard(page_id):
            del self._stack[page_id]
            self._prune()

    def _remove(self, page_id: str, tokens: int) -> None:
        (self._low if page_id in self._low else self._queue).remove(page_id)
        self._stack.pop(page_id, None)
        self._prune()

    def _reason(self, page_id: str) -> str:
        if page_id in self._low:
            below = list(self._low_order()).index(page_id)
            return f"LIR: used at short distances; {below} LIR pages become HIR before it"
        chance = "becomes LIR if used" if page_id in self._stack else "must be used twice to become LIR"
        return f"HIR: number {self._queue.rank(page_id)} of {len(self._queue)} to leave; {chance}"

    def _low_order(self) -> list[str]:
        return [page_id for page_id in self._stack if page_id in self._low]

    def _dump(self) -> dict[str, Any]:
        return {
            "stack": [[page_id, 0] for page_id in self._stack],
            "low": self._low_order(),
            "queue": list(self._queue),
            "ghosts": self._ghosts.rows(),
            "returned": self._returned,
        }

    def _load(self, saved: Saved) -> None:
        self._load_capacity(saved)
        self._stack = OrderedDict.fromkeys(saved.numbers("stack"))
        self._low = filled(saved.queue("low"), saved.resident)
        self._queue = filled(saved.queue("queue"), saved.resident)
        self._ghosts = Ghosts(saved.numbers("ghosts"))
        self._returned = saved.whole("returned")
