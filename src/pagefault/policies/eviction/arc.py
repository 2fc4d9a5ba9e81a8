"""ARC: recency and frequency share the room, and what comes back shifts the border.

``T1`` holds pages that were used once lately, ``T2`` pages used at least twice, both by last use; ``B1`` and
``B2`` remember what left them.  A page that comes back from ``B1`` says that ``T1`` was too small: its target
``p`` grows by ``max(|B2| / |B1|, 1)``, and one from ``B2`` shrinks it likewise.  The least recently used page of
``T1`` leaves if ``T1`` is over ``p``, else that of ``T2`` (Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead
Replacement Cache", FAST 2003, figure 4).

The paper counts pages of one size.  Here lists are counted in tokens, and so is a step of ``p``: it is
multiplied by the tokens of the page that came back (``delta="tokens"``).  With ``delta="units"`` it is not, as
in libCacheSim: ``p`` then moves by about one token at a time, too slowly for pages of hundreds.  Left out:
nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.ghosts import Ghosts
from pagefault.policies.eviction.queues import TokenQueue, filled
from pagefault.policies.eviction.replacement import Segmented
from pagefault.policies.eviction.saved import Saved

FIRST, SECOND = 0, 1
DELTAS = ("tokens", "units")


class Arc(Segmented):
    """``delta`` is one of :data:`DELTAS`.  O(1) a step."""

    name = "arc"

    def __init__(self, *, delta: str = "tokens", capacity_tokens: int | None = None) -> None:
        self._scaled = parameters.one_of("arc.delta", delta, DELTAS) == "tokens"
        self._once, self._often = TokenQueue(), TokenQueue()  # T1 and T2
        self._left_once, self._left_often = Ghosts(), Ghosts()  # B1 and B2
        self._target = 0.0  # p
        self._returned = 0  # whether the arriving page came back from B1 (1) or B2 (2)
        super().__init__(capacity_tokens)

    def _resize(self, capacity_tokens: int) -> None:
        self._target = min(self._target, capacity_tokens)

    def _capacity(self) -> int:
        return self._capacity_tokens or self._total_tokens

    def _arrive(self, page_id: str, tokens: int) -> None:
        once, often = self._left_once, self._left_often
        step = tokens if self._scaled else 1
        self._returned = 0
        if page_id in once:
            self._target += step * max(often.tokens / max(1, once.tokens), 1.0)
            self._target = min(self._target, float(self._capacity()))
            once.discard(page_id)
            self._returned = 1
        elif page_id in often:
            self._target = max(self._target - step * max(once.tokens / max(1, often.tokens), 1.0), 0.0)
            often.discard(page_id)
            self._returned = 2

    def _admit(self, page_id: str, tokens: int) -> None:
        (self._often if self._returned else self._once).add(page_id, tokens)

    def _hit(self, page_id: str) -> None:
        if page_id in self._once:
            self._often.add(page_id, self._once.remove(page_id))
        else:
            self._often.touch(page_id)

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        back = self._returned if self._arriving is not None else 0
        keep_ghost = True
        if not back:  # case IV of the paper: the page that comes in is new
            keep_ghost = self._trim()
        over = self._once.tokens > self._target or (self._once.tokens == self._target and back == 2)
        page_id = self._once.first(held) if (over or not self._often or not keep_ghost) else self._often.first(held)
        if page_id is None:
            page_id = self._often.first(held) or self._once.first(held)
        assert page_id is not None
        if page_id in self._often:
            self._left_often.add(page_id, self._often.remove(page_id))
            return page_id, SECOND
        tokens = self._once.remove(page_id)
        if keep_ghost:
            self._left_once.add(page_id, tokens)
        return page_id, FIRST

    def _trim(self) -> bool:
        """Forget a ghost if there are too many; whether what leaves ``T1`` may become one."""
        capacity = self._capacity()
        recent = self._once.tokens + self._left_once.tokens
        if recent + self._incoming_tokens() > capacity:
            if not self._left_once:
                return False
            self._left_once.drop_oldest()
        elif recent + self._often.tokens + self._left_often.tokens >= 2 * capacity and self._left_often:
            self._left_often.drop_oldest()
        return True

    def _put_back(self, page_id: str, home: int) -> None:
        self._drop(page_id, evicted=False)
        (self._often if home == SECOND else self._once).add_first(page_id, self._tokens[page_id])

    def _drop(self, page_id: str, evicted: bool) -> None:
        if not evicted:
            self._left_once.discard(page_id)
            self._left_often.discard(page_id)

    def _remove(self, page_id: str, tokens: int) -> None:
        (self._once if page_id in self._once else self._often).remove(page_id)

    def _reason(self, page_id: str) -> str:
        name, queue = ("T1, used once", self._once) if page_id in self._once else ("T2, used again", self._often)
        return (
            f"in {name}: number {queue.rank(page_id)} of {len(queue)} by last use; "
            f"T1 has {self._once.tokens} tokens, its target is {self._target:.0f}"
        )

    def _dump(self) -> dict[str, Any]:
        return {
            "once": list(self._once),
            "often": list(self._often),
            "left_once": self._left_once.rows(),
            "left_often": self._left_often.rows(),
            "target": self._target,
            "returned": self._returned,
        }

    def _load(self, saved: Saved) -> None:
        self._load_capacity(saved)
        self._once = filled(saved.queue("once"), saved.resident)
        self._often = filled(saved.queue("often"), saved.resident)
        self._left_once = Ghosts(saved.numbers("left_once"))
        self._left_often = Ghosts(saved.numbers("left_often"))
        self._target = saved.number("target")
        self._returned = saved.whole("returned")
