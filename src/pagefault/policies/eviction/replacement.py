"""What classic replacement algorithms need to be one small file each, and exactly what their papers say.

The algorithms were written for a cache that evicts one page at a time *before* the new page goes in, and that
acts on its choice.  The contract tells of the new page *first*, then asks for any number of victims with the
newest pages protected, and a page that was named may yet stay.  :class:`Replacement` stands between:

* The page that came in last is *arriving*: the algorithm looks it up among its ghosts at once, and gives it
  a place only when something else happens, after the flush that it caused.
* ``victims`` runs the algorithm's own step, once for each victim, with all its effects on ghosts and hands.
  A page that was chosen is *leaving*: it is answered first when victims are asked for again.
* A leaving page that is used, or becomes protected, goes back to the end that it was taken from.
* A page that leaves by itself (``evicted=False``) leaves no ghost.

A subclass keeps the pages that are neither arriving nor leaving in lists of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, PolicyError, State
from pagefault.policies.eviction.saved import Saved

NOBODY: frozenset[str] = frozenset()


def first_free(queue: Iterable[str], held: Collection[str]) -> str | None:
    """The first page of ``queue`` that is not held, or ``None``."""
    if not held:
        return next(iter(queue), None)
    return next((page_id for page_id in queue if page_id not in held), None)


class Replacement(ABC):
    """An eviction policy made of an algorithm's steps.  It is the steps that cost; this adds O(1) to each."""

    name: str
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}  # every resident page, wherever it is
        self._total_tokens = 0
        self._arriving: str | None = None
        self._leaving: dict[str, int] = {}  # page -> the number of the list that it was taken from

    def on_insert(self, page: PageFacts, turn: int) -> None:
        if self._arriving is not None:
            self._settle()
        page_id = page.id
        self._tokens[page_id] = page.tokens
        self._total_tokens += page.tokens
        self._arriving = page_id
        self._arrive(page_id, page.tokens)

    def on_hit(self, page_id: str, turn: int) -> None:
        if self._arriving is not None:
            self._settle()
        if page_id in self._leaving:
            self._put_back(page_id, self._leaving.pop(page_id))
        self._hit(page_id)

    def on_remove(self, page_id: str, evicted: bool) -> None:
        tokens = self._tokens.pop(page_id)
        self._total_tokens -= tokens
        if page_id in self._leaving:
            del self._leaving[page_id]
            self._drop(page_id, evicted)
        elif page_id == self._arriving:
            self._arriving = None
            self._turn_away(page_id)
        else:
            self._remove(page_id, tokens)

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        if tokens_needed <= 0:
            return []
        if self._arriving is not None and self._arriving not in protected:
            self._settle()
        tokens = self._tokens
        arriving = self._arriving
        held = frozenset([each for each in protected if each in tokens and each != arriving]) if protected else NOBODY
        if self._leaving and held:
            for page_id in [each for each in self._leaving if each in held]:
                self._put_back(page_id, self._leaving.pop(page_id))
        chosen: list[str] = []
        for page_id in self._leaving:
            chosen.append(page_id)
            tokens_needed -= tokens[page_id]
            if tokens_needed <= 0:
                return chosen
        free = len(tokens) - len(held) - len(chosen) - (arriving is not None)
        while tokens_needed > 0 and free > 0:
            page_id, home = self._take(held)
            self._leaving[page_id] = home
            chosen.append(page_id)
            tokens_needed -= tokens[page_id]
            free -= 1
        return chosen

    def explain(self, page_id: str, turn: int) -> str:
        if page_id not in self._tokens:
            raise KeyError(page_id)
        if page_id == self._arriving:
            return "came in just now: its place is found at the next use or arrival"
        if page_id in self._leaving:
            place = list(self._leaving).index(page_id) + 1
            return f"was chosen: number {place} of {len(self._leaving)} that are to leave next"
        return self._reason(page_id)

    def dump(self) -> State:
        return {
            "policy": self.name,
            "pages": [[page_id, tokens] for page_id, tokens in self._tokens.items()],
            "arriving": self._arriving,
            "leaving": [[page_id, home] for page_id, home in self._leaving.items()],
            **self._dump(),
        }

    def load(self, state: State) -> None:
        before = self.__dict__.copy()
        try:
            saved = Saved(self.name, state)
            self._tokens = saved.resident
            self._total_tokens = sum(saved.resident.values())
            self._arriving = saved.arriving
            self._leaving = dict(saved.numbers("leaving"))
            saved.placed += self._leaving
            self._load(saved)
            saved.check_places()
        except PolicyError:
            self.__dict__.update(before)  # a state that is refused leaves the policy as it was
            raise

    def _settle(self) -> None:
        """Give the arriving page its place."""
        page_id = self._arriving
        assert page_id is not None
        self._arriving = None
        self._admit(page_id, self._tokens[page_id])

    def _incoming_tokens(self) -> int:
        """Tokens of the page that room is being made for."""
        return self._tokens[self._arriving] if self._arriving is not None else 0

    def _arrive(self, page_id: str, tokens: int) -> None:  # noqa: B027 - nothing to do unless there are ghosts
        """A page came in: look it up among the ghosts, adapt."""

    def _turn_away(self, page_id: str) -> None:  # noqa: B027 - nothing to do unless _arrive kept something
        """The arriving page left before it got a place: forget it."""

    @abstractmethod
    def _admit(self, page_id: str, tokens: int) -> None:
        """Give a page that came in its place in the lists."""

    @abstractmethod
    def _hit(self, page_id: str) -> None:
        """A page in the lists was used.  Raises ``KeyError`` if it is not there."""

    @abstractmethod
    def _take(self, held: Collection[str]) -> tuple[str, int]:
        """Evict one page, which is not held, with all that this entails, but keep what is known of it.

        Only called when there is such a page in the lists.  Returns it with the number of its list.
        """

    @abstractmethod
    def _put_back(self, page_id: str, home: int) -> None:
        """Undo what ``_take`` did to a page: it is the next to leave list number ``home``, and no ghost."""

    @abstractmethod
    def _drop(self, page_id: str, evicted: bool) -> None:
        """Forget what is known of a page that was taken; if it was not ``evicted`` after all, its ghost too."""

    @abstractmethod
    def _remove(self, page_id: str, tokens: int) -> None:
        """A page in the lists left by itself: forget it."""

    @abstractmethod
    def _reason(self, page_id: str) -> str:
        """One line on a page in the lists.  Raises ``KeyError`` if it is not there."""

    @abstractmethod
    def _dump(self) -> dict[str, Any]:
        """The algorithm's own state, JSON-like."""

    @abstractmethod
    def _load(self, saved: Saved) -> None:
        """Take back what ``_dump`` gave, into new containers; name every page in the lists to ``saved``."""


class Segmented(Replacement):
    """An algorithm whose lists are fractions of the capacity, which the contract does not tell.

    Whoever knows it passes ``capacity_tokens``, or calls ``set_capacity``.  Otherwise it is learnt: the most
    tokens that a flush has let stay.  Until the first flush there is no limit on any list.

    A list is never too small for a page that came in: its limit is at least the largest page seen, so that
    no page is refused.  Caches may bypass a large object; a context must take the message that it is sent.
    """

    def __init__(self, capacity_tokens: int | None = None) -> None:
        super().__init__()
        self._capacity_tokens: int | None = None
        self._told = False
        self._largest_tokens = 0
        if capacity_tokens is not None:
            self.set_capacity(capacity_tokens)

    def set_capacity(self, tokens: int) -> None:
        """From now on the pages have room for ``tokens``."""
        self._capacity_tokens = parameters.whole(f"{self.name}.capacity_tokens", tokens, at_least=1, at_most=2**62)
        self._told = True
        self._resize(self._capacity_tokens)

    def on_insert(self, page: PageFacts, turn: int) -> None:
        if page.tokens > self._largest_tokens:
            if self._arriving is not None:
                self._settle()  # under the limits of its time
            self._largest_tokens = page.tokens
            if self._capacity_tokens is not None:
                self._resize(self._capacity_tokens)
        super().on_insert(page, turn)

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        if not self._told:
            staying = self._total_tokens - max(0, tokens_needed)
            if staying > (self._capacity_tokens or 0):
                self._capacity_tokens = staying
                self._resize(staying)
        return super().victims(tokens_needed, protected, turn)

    def dump(self) -> State:
        return {
            **super().dump(),
            "capacity_tokens": self._capacity_tokens or 0,
            "told": int(self._told),
            "largest_tokens": self._largest_tokens,
        }

    def _load_capacity(self, saved: Saved) -> None:
        self._largest_tokens = saved.whole("largest_tokens")
        if not self._told:  # whoever knows the capacity today knows better than a snapshot
            self._capacity_tokens = saved.whole("capacity_tokens") or None
            self._told = bool(saved.whole("told"))
        if self._capacity_tokens is not None:
            self._resize(self._capacity_tokens)

    def _share(self, capacity_tokens: int, fraction: float) -> int:
        """A fraction of the capacity, at least the largest page."""
        return max(int(capacity_tokens * fraction), self._largest_tokens)

    @abstractmethod
    def _resize(self, capacity_tokens: int) -> None:
        """The capacity, or the largest page, changed: set the limits of the lists."""
