"""Foresight: keeps what is worth its room, going by how often a page will probably be needed.

Policies of caches go by how often and how lately a page was used.  Most pages of an agent were never used:
they wait for a question that may come.  So this one reads them.  The order of leaving is that of ::

    (expected uses + weight * uses so far) * chance of a use at this age / tokens ** size_power

* *Expected uses* come from :mod:`~pagefault.policies.eviction.foresight_model`: boosted trees over what a page
  says that the agent has not read before, identifiers that it is the first to bring, whether it tells or asks
  or only greets, what it answers, and its kind (:mod:`~pagefault.policies.eviction.foresight_features`).  They
  were fitted on dialogues and on tool calls, and are the same for all.
  What comes first in a history is needed for longest, and counts up to twice.
* *Uses so far* are hits and page-ins, those before an eviction included.  Their weight is ``use_weight``, and
  ``repeat_weight`` more for pages that brought identifiers: an order number that was used once is used again,
  while what was asked once in a dialogue is asked again hardly more than another page.
* The *chance at an age* is learned while running.  Ages of uses are taken to be spread as ``1 / (age + scale)``
  over the pages that there are, for one of a few scales, of which the last is endless: all pages alike.  Every
  use makes the scales that foresaw it more probable (Bayes); what is used below is their mixture.  The age of a
  page is counted in pages that came in after it.
* Dividing by the tokens is the greedy rule for a knapsack (Dantzig 1957), as in GDSF.

``rewrite_weight`` makes a flush look at the provider's prefix cache, which has to be written anew from the first
page that leaves: pages near the end of the context then leave together.  It is what a rewritten token costs in
expected page-in tokens; 0 leaves it out.

Where no page that is resident has a text, there is nothing to read, and the page that was not used for the longest
time leaves first.

Left out: importance that a sender claims, and meaning (no embeddings).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, State
from pagefault.policies.eviction.foresight_ages import Ages
from pagefault.policies.eviction.foresight_features import FEATURES, Reader
from pagefault.policies.eviction.foresight_model import Model, shipped
from pagefault.policies.eviction.foresight_reasons import reasons
from pagefault.policies.eviction.selection import first_to_leave, rank

DIGITS = 9
"""Decimals that count: C libraries may differ in the last bit of a logarithm, replays may not."""
REMEMBERED_MAX = 10_000
"""Pages that have left and are still known when they come back."""
PRIMACY = 1.0
"""What the first page of a history counts more; it falls by a factor of e every :data:`PRIMACY_PAGES`."""
PRIMACY_PAGES = 50
CUTS_MAX = 64
"""Places at which a flush that weighs the prefix cache may begin to write anew."""

_NEW_IDENTIFIERS = FEATURES.index("new_identifiers")


@dataclass(frozen=True, slots=True)
class _Page:
    tokens: int
    expected_uses: float
    born: int  # pages that came in before it
    uses: int
    repeats: bool  # brought identifiers
    reasons: str
    says: bool  # has a text
    used_at: int  # when it came in or was used last, in insertions and uses


class Foresight:
    """Evicts what is least worth its room; among equals the earlier in leaves first.

    ``use_weight``, ``repeat_weight`` and ``rewrite_weight`` are at least 0, ``size_power`` from 0 to 2, ``model`` is
    another than the one that ships.  Reading a page is linear in its text (a fifth of a millisecond for a message),
    a hit is O(1), ``victims`` is O(n log n) in the resident pages, times up to 64 when the prefix cache is weighed.
    """

    name = "foresight"
    capabilities = frozenset({Capability.NEEDS_TEXT, Capability.SIZE_AWARE})

    def __init__(
        self,
        *,
        use_weight: float = 0.03,
        repeat_weight: float = 0.5,
        size_power: float = 1.0,
        rewrite_weight: float = 0.0,
        model: Model | None = None,
    ) -> None:
        self._use_weight = parameters.number("foresight.use_weight", use_weight, at_least=0.0)
        self._repeat_weight = parameters.number("foresight.repeat_weight", repeat_weight, at_least=0.0)
        self._size_power = parameters.number("foresight.size_power", size_power, at_least=0.0, at_most=2.0)
        self._rewrite_weight = parameters.number("foresight.rewrite_weight", rewrite_weight, at_least=0.0)
        self._pages: dict[str, _Page] = {}  # in order of insertion
        self._left: OrderedDict[str, _Page] = OrderedDict()  # longest gone first
        self._born = 0
        self._now = 0  # insertions and uses so far
        self._saying = 0  # resident pages with a text
        self._reader = Reader()
        self._ages = Ages()
        self._model = shipped() if model is None else model

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._now += 1
        self._saying += bool(page.text)
        known = self._left.pop(page.id, None)
        if known is not None:
            self._pages[page.id] = self._used(replace(known, tokens=page.tokens, says=bool(page.text)))
            return
        values = self._reader.read(page)
        rate, added = self._model.rate(values)
        rate *= 1 + PRIMACY * math.exp(-self._born / PRIMACY_PAGES)
        repeats = values[_NEW_IDENTIFIERS] > 0
        rate, why = round(rate, DIGITS), reasons(added)
        self._pages[page.id] = _Page(page.tokens, rate, self._born, 0, repeats, why, bool(page.text), self._now)
        self._born += 1

    def on_hit(self, page_id: str, turn: int) -> None:
        self._now += 1
        self._pages[page_id] = self._used(self._pages[page_id])

    def on_remove(self, page_id: str, evicted: bool) -> None:
        self._left[page_id] = self._pages.pop(page_id)
        self._saying -= self._left[page_id].says
        if len(self._left) > REMEMBERED_MAX:
            self._left.popitem(last=False)

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        order = ((page_id, self._pages[page_id].tokens) for page_id in self._order())
        if not self._rewrite_weight or tokens_needed <= 0:
            return first_to_leave(order, tokens_needed, protected)
        return self._cheapest_flush(list(order), tokens_needed, frozenset(protected))

    def explain(self, page_id: str, turn: int) -> str:
        page = self._pages[page_id]
        place = rank(page_id, self._order())
        if not self._saying:
            ago = self._now - page.used_at
            return (
                f"no page has a text to read; last used {ago} uses ago: number {place} of {len(self._pages)} to leave"
            )
        return (
            f"{page.expected_uses:.2f} uses expected ({page.reasons}), used {page.uses} times; "
            f"{self._age(page)} pages old, {page.tokens} tokens: number {place} of {len(self._pages)} to leave"
        )

    def dump(self) -> State:
        return {
            "policy": self.name,
            "pages": _rows(self._pages),
            "left": _rows(self._left),
            "born": self._born,
            "now": self._now,
            "reader": self._reader.dump(),
            "ages": self._ages.dump(),
        }

    def load(self, state: State) -> None:
        self._pages = dict(_saved(state, "pages"))
        self._left = OrderedDict(_saved(state, "left"))
        self._born = int(state["born"])
        self._now = int(state["now"])
        self._saying = sum(page.says for page in self._pages.values())
        self._reader.load(state["reader"])
        self._ages.load(state["ages"])

    def _used(self, page: _Page) -> _Page:
        self._ages.used(self._age(page), self._born)
        return replace(page, uses=page.uses + 1, used_at=self._now)

    def _age(self, page: _Page) -> int:
        return self._born - 1 - page.born

    def _worth(self, page: _Page) -> float:
        """Uses to be expected of a page, on a scale that only compares the pages of now."""
        weight = self._use_weight + self._repeat_weight * page.repeats
        expected = page.expected_uses + weight * page.uses
        return expected * self._ages.chance(self._age(page), self._born)

    def _order(self) -> list[str]:
        if not self._saying:
            return sorted(self._pages, key=lambda page_id: self._pages[page_id].used_at)
        # sorted() is stable and the pages lie in order of insertion: that is the tie-break.
        density = {
            page_id: round(math.log(self._worth(page)) - self._size_power * math.log(max(1, page.tokens)), DIGITS)
            for page_id, page in self._pages.items()
        }
        return sorted(density, key=density.__getitem__)

    def _cheapest_flush(self, order: list[tuple[str, int]], needed: int, protected: frozenset[str]) -> list[str]:
        """Of the flushes that leave alone what lies before some page, the one that costs least.

        A flush costs the page-ins to be expected of what leaves, and the rewriting of what stays after the
        first page that leaves.
        """
        place = {page_id: at for at, page_id in enumerate(self._pages)}
        scale = self._ages.chance(0, self._born)
        loss = {page_id: self._worth(page) / scale * page.tokens for page_id, page in self._pages.items()}
        best = first_to_leave(order, needed, protected)
        lowest = self._flush_cost(best, place, loss)
        for cut in range(0, len(place), max(1, len(place) // CUTS_MAX)):
            later = [(page_id, tokens) for page_id, tokens in order if place[page_id] >= cut]
            leaving = first_to_leave(later, needed, protected)
            if sum(self._pages[page_id].tokens for page_id in leaving) < needed:
                break
            cost = self._flush_cost(leaving, place, loss)
            if cost < lowest:
                best, lowest = leaving, cost
        return best

    def _flush_cost(self, leaving: Sequence[str], place: dict[str, int], loss: dict[str, float]) -> float:
        first = min((place[page_id] for page_id in leaving), default=len(place))
        gone = frozenset(leaving)
        rewritten = sum(
            page.tokens for page_id, page in self._pages.items() if place[page_id] > first and page_id not in gone
        )
        return round(math.fsum(loss[page_id] for page_id in leaving) + self._rewrite_weight * rewritten, DIGITS)


def _rows(pages: dict[str, _Page]) -> list[list[object]]:
    return [
        [
            page_id,
            page.tokens,
            page.expected_uses,
            page.born,
            page.uses,
            int(page.repeats),
            page.reasons,
            int(page.says),
            page.used_at,
        ]
        for page_id, page in pages.items()
    ]


def _saved(state: State, field: str) -> Iterator[tuple[str, _Page]]:
    shape = (str, int, float, int, int, int, str, int, int)
    for page_id, tokens, expected_uses, born, uses, repeats, why, says, used_at in parameters.rows(
        Foresight.name, state, shape, field=field
    ):
        yield page_id, _Page(tokens, float(expected_uses), born, uses, bool(repeats), why, bool(says), used_at)
