"""Importance: pages are scored, and the lowest score leaves first.

The score is the retrieval score of Generative Agents (Park et al. 2023, section 4.1)::

    score = recency_weight * recency + importance_weight * importance + relevance_weight * relevance

with each part scaled to 0..1 over the resident pages (min-max, as in the paper).  Their simulation ranks
what to retrieve; here the same number ranks what to keep.

* *recency* is ``decay ** (turns since last use)``, with the paper's 0.995; an hour of the paper's game is a
  turn here.
* *importance* is what the page claims, and where it claims nothing, :func:`estimated_importance`.  The paper
  asks a model for it.
* *relevance* is the cosine of the words shared with the page that came in or was used last, rare words
  counting more.  The paper compares embeddings with a query; a policy has neither, so its weight is 0 until
  asked for.

``size_aware`` divides the score by the page's tokens, so that a long page has to be worth its room.

The paper's own settings, and those of its released code, are ``generative_agents``.  Left out: the paper's
reflection trees, which are pages of their own for whoever writes them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, PolicyError, State
from pagefault.policies.eviction.selection import first_to_leave, rank

SPECIFICITY_HALF = 12
"""Points at which an estimate reaches one half."""
DIGITS = 9
"""Decimals that count: C libraries may differ in the last bit of a power or a logarithm, replays may not."""
KIND_FACTOR: Mapping[str, float] = {"notice": 0.0, "result": 0.7}
"""Notices are about the past; results can be had again by calling again.  Other kinds count in full."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?\n]\s*")


def words(text: str) -> list[str]:
    """The words of a text as written, apostrophes inside words kept."""
    return _WORD.findall(text)


def estimated_importance(page: PageFacts) -> float:
    """How specific a page is, from 0 to below 1, when nobody says how important it is.

    One point for every different word of four letters or more, two for every name (a capital that does not
    begin a sentence) and every word with a digit, three off for every question, since answers hold the
    facts; ``points / (points + 12)``, times the factor of its kind.
    """
    spoken = words(page.text)
    points = len({word.lower() for word in spoken if len(word) >= 4})
    points += 2 * sum(1 for word in spoken if any(map(str.isdigit, word)))
    for sentence in _SENTENCE_END.split(page.text):
        points += 2 * sum(1 for word in words(sentence)[1:] if len(word) > 1 and word[0].isupper())
    points = max(0, points - 3 * page.text.count("?"))
    return KIND_FACTOR.get(page.kind, 1.0) * points / (points + SPECIFICITY_HALF)


def scaled(values: Sequence[float], alike: float = 0.0) -> list[float]:
    """Min-max scaling to 0..1; ``alike`` for each when the values are all alike."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high == low:
        return [alike] * len(values)
    return [(value - low) / (high - low) for value in values]


@dataclass(slots=True)
class _Resident:
    tokens: int
    importance: float
    used_turn: int
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Score:
    total: float
    recency: float
    importance: float
    relevance: float


class Importance:
    """Evicts the lowest score; the less recently used leaves first among equals, then the earlier in.

    Weights are at least 0 and not all 0, ``decay`` is above 0 and at most 1 a turn.  A hit is O(1);
    ``victims`` scores every resident page, which is O(n log n) in their number.
    """

    name = "importance"
    alike = 0.0
    """What a part counts for when it is the same for all pages."""

    def __init__(
        self,
        *,
        decay: float = 0.995,
        recency_weight: float = 1.0,
        importance_weight: float = 1.0,
        relevance_weight: float = 0.0,
        size_aware: bool = False,
    ) -> None:
        self._decay = parameters.number(f"{self.name}.decay", decay, at_least=1e-6, at_most=1.0)
        weights = {"recency": recency_weight, "importance": importance_weight, "relevance": relevance_weight}
        checked = [parameters.number(f"{self.name}.{part}_weight", weights[part], at_least=0.0) for part in weights]
        if not any(checked):
            raise PolicyError(f"{self.name}.recency_weight", 0.0, "more than 0 for at least one of the weights")
        self._recency_weight, self._importance_weight, self._relevance_weight = checked
        self._size_aware = parameters.flag(f"{self.name}.size_aware", size_aware)
        capabilities = {Capability.NEEDS_IMPORTANCE, Capability.NEEDS_TEXT}
        if self._size_aware:
            capabilities.add(Capability.SIZE_AWARE)
        self.capabilities = frozenset(capabilities)
        self._pages: dict[str, _Resident] = {}
        self._focus: frozenset[str] = frozenset()
        self._spread: Counter[str] = Counter()  # in how many pages each word is

    def on_insert(self, page: PageFacts, turn: int) -> None:
        claimed = estimated_importance(page) if page.importance is None else page.importance
        spoken = frozenset(word.lower() for word in words(page.text)) if self._relevance_weight else frozenset[str]()
        self._pages[page.id] = _Resident(page.tokens, claimed, turn, spoken)
        self._focus = spoken
        self._spread.update(spoken)

    def on_hit(self, page_id: str, turn: int) -> None:
        page = self._pages[page_id]
        page.used_turn = turn
        self._focus = page.words

    def on_remove(self, page_id: str, evicted: bool) -> None:
        for word in self._pages.pop(page_id).words:
            self._spread[word] -= 1
            if not self._spread[word]:
                del self._spread[word]

    def on_rated(self, page_id: str, importance: float) -> None:
        """The importance of a page became known after it came in."""
        self._pages[page_id].importance = importance

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        order = ((page_id, self._pages[page_id].tokens) for page_id in self._order(self._scores(turn)))
        return first_to_leave(order, tokens_needed, protected)

    def explain(self, page_id: str, turn: int) -> str:
        scores = self._scores(turn)
        score = scores[page_id]
        place = rank(page_id, self._order(scores))
        return (
            f"score {score.total:.3f} (recency {score.recency:.2f}, importance {score.importance:.2f}, "
            f"relevance {score.relevance:.2f}): number {place} of {len(self._pages)} to leave"
        )

    def dump(self) -> State:
        pages = [
            [page_id, page.tokens, page.importance, page.used_turn, sorted(page.words)]
            for page_id, page in self._pages.items()
        ]
        return {"policy": self.name, "pages": pages, "focus": sorted(self._focus)}

    def load(self, state: State) -> None:
        rows = parameters.rows(self.name, state, (str, int, float, int, list))
        self._pages = {row[0]: _Resident(row[1], float(row[2]), row[3], frozenset(row[4])) for row in rows}
        self._focus = frozenset(state.get("focus", ()))
        self._spread = Counter(chain.from_iterable(page.words for page in self._pages.values()))

    def _order(self, scores: Mapping[str, _Score]) -> list[str]:
        # sorted() is stable and the pages lie in order of insertion: that is the last tie-break.
        return sorted(self._pages, key=lambda page_id: (scores[page_id].total, self._pages[page_id].used_turn))

    def _scores(self, turn: int) -> dict[str, _Score]:
        pages = self._pages.values()
        recency = scaled(self._recencies(turn), self.alike)
        importance = scaled([page.importance for page in pages], self.alike)
        relevance = scaled(self._relevances(), self.alike) if self._relevance_weight else [0.0] * len(pages)
        scores = {}
        for (page_id, page), *parts in zip(self._pages.items(), recency, importance, relevance, strict=True):
            total = (
                self._recency_weight * parts[0] + self._importance_weight * parts[1] + self._relevance_weight * parts[2]
            )
            if self._size_aware:
                total /= max(1, page.tokens)
            scores[page_id] = _Score(round(total, DIGITS), *parts)
        return scores

    def _recencies(self, turn: int) -> list[float]:
        return [self._decay ** max(0, turn - page.used_turn) for page in self._pages.values()]

    def _relevances(self) -> list[float]:
        """Cosine of each page with the focus, over words weighted by ``ln(1 + pages / pages with the word)``."""
        squares = {count: math.log1p(len(self._pages) / count) ** 2 for count in set(self._spread.values())}
        focus = self._focus & self._spread.keys()  # the page in focus may have left
        focus_length = self._length(squares, focus)
        cosines = []
        for page in self._pages.values():
            shared = page.words & focus
            length = self._length(squares, page.words) * focus_length if shared else 1.0
            # Scaling would blow a difference in the last bit up to the whole range: alike pages must be equal.
            cosines.append(round(self._length(squares, shared) ** 2 / length, DIGITS))
        return cosines

    def _length(self, squares: Mapping[int, float], present: Iterable[str]) -> float:
        """Of a vector of words, from the squares of their weights by the pages that they are in."""
        # Sets iterate in an order that differs between processes: fsum is exact, so the order does not matter.
        return math.sqrt(math.fsum(map(squares.__getitem__, map(self._spread.__getitem__, present))))
