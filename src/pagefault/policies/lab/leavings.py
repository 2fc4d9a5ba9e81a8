"""What evicted pages leave in a context: handles, and gists in a recursive summary.

The lab calls no model.  A summary is modelled as what a summariser at its best keeps of each page, its first
``gist_tokens`` tokens, and the newest gists that fit ``summary_tokens_max``: older ones fade out as they do
when a summary is summarised again and again.  What such a gist is worth is measured, not assumed: the
share of the page's numbers and names that it still contains (:func:`retained`).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from pagefault.policies import parameters
from pagefault.policies.contract import PageFacts

CHARACTERS_PER_TOKEN = 4

_WORD = re.compile(r"[^\W_]+(?:['\u2019.,:/-][^\W_]+)*")
_SENTENCE_ENDS = ".!?\n"


@dataclass(frozen=True, slots=True)
class Leavings:
    """How much evicted pages leave behind, and what it is worth.

    A handle takes ``handle_tokens``, all of them together at most ``handle_tokens_max``: older ones go.  The
    summary takes at most ``summary_tokens_max``.  The summariser is called with at most ``piece_tokens_max``
    tokens of pages at a time, after ``instruction_tokens`` and the summary so far.  ``retention`` is what a
    gist is worth where it is not to be measured, from 0 to 1.  Raises ``PolicyError``.
    """

    handle_tokens: int = 24
    handle_tokens_max: int = 1_024
    summary_tokens_max: int = 512
    gist_tokens: int = 16
    piece_tokens_max: int = 4_096
    instruction_tokens: int = 96
    retention: float | None = None

    def __post_init__(self) -> None:
        for name in ("handle_tokens", "gist_tokens", "piece_tokens_max"):
            parameters.whole(f"leavings.{name}", getattr(self, name), at_least=1, at_most=2**40)
        for name in ("handle_tokens_max", "summary_tokens_max", "instruction_tokens"):
            parameters.whole(f"leavings.{name}", getattr(self, name), at_least=0, at_most=2**40)
        if self.retention is not None:
            parameters.number("leavings.retention", self.retention, at_least=0.0, at_most=1.0)


@dataclass(frozen=True, slots=True)
class SummariserCall:
    """One call of the summariser: what it is given and what it answers, in tokens."""

    input_tokens: int
    output_tokens: int


class RecursiveSummary:
    """The gists that are in the summary, newest last."""

    def __init__(self, leavings: Leavings) -> None:
        self._leavings = leavings
        self._gists: OrderedDict[str, str] = OrderedDict()
        self._tokens: dict[str, int] = {}
        self.tokens = 0

    def __contains__(self, page_id: object) -> bool:
        return page_id in self._gists

    def fold(self, pages: Sequence[PageFacts]) -> list[SummariserCall]:
        """Take the pages in, in as many calls as a summariser with a bounded input needs."""
        calls = []
        for piece in self._pieces(pages):
            given = self._leavings.instruction_tokens + self.tokens + sum(page.tokens for page in piece)
            for page in piece:
                self._add(page)
            calls.append(SummariserCall(given, self.tokens))
        return calls

    def retention(self, page: PageFacts) -> float:
        """What the gist of a page in the summary is worth, from 0 to 1."""
        if self._leavings.retention is not None:
            return self._leavings.retention
        return retained(page.text, self._gists[page.id])

    def _pieces(self, pages: Sequence[PageFacts]) -> list[list[PageFacts]]:
        pieces: list[list[PageFacts]] = []
        room = 0
        for page in sorted(pages, key=lambda page: page.ordinal):
            if not pieces or page.tokens > room:
                pieces.append([])
                room = self._leavings.piece_tokens_max
            pieces[-1].append(page)
            room -= page.tokens
        return pieces

    def _add(self, page: PageFacts) -> None:
        self._drop(page.id)
        gist = page.text[: CHARACTERS_PER_TOKEN * self._leavings.gist_tokens]
        tokens = min(page.tokens, self._leavings.gist_tokens)
        self._gists[page.id] = gist
        self._tokens[page.id] = tokens
        self.tokens += tokens
        while self.tokens > self._leavings.summary_tokens_max:
            self._drop(next(iter(self._gists)))

    def _drop(self, page_id: str) -> None:
        if self._gists.pop(page_id, None) is not None:
            self.tokens -= self._tokens.pop(page_id)


def retained(text: str, gist: str) -> float:
    """The share of a text's numbers and names that its gist contains; of its words where it has neither.

    A number is a word with a digit, a name one with a capital that does not begin a sentence.  1 for a text
    without words: there was nothing to lose.
    """
    wanted = _specifics(text) or {word.lower() for word in _WORD.findall(text)}
    if not wanted:
        return 1.0
    kept = {word.lower() for word in _WORD.findall(gist)}
    return len(wanted & kept) / len(wanted)


def _specifics(text: str) -> set[str]:
    found = set()
    for match in _WORD.finditer(text):
        word, start = match.group(), match.start()
        before = text[max(0, start - 3) : start].rstrip(" ")
        begins = start == 0 or before[-1:] in _SENTENCE_ENDS
        is_name = word[0].isupper() and len(word) > 1 and not begins
        if is_name or any(character.isdigit() for character in word):
            found.add(word.lower())
    return found
