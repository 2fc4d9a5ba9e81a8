"""What browsers are told of a fleet: all of it once, then only what has changed.

An agent has a number as long as it is there, and words that recur (phases, hosts) are numbered, too, so that a change
of one agent is a row of ten numbers.  Values are JSON as the page reads it (``assets/fleet.js``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.values import AgentId

AGENTS_MAX = 20_000
"""Agents of which a browser is told; of the others only how many are in which phase."""
ASLEEP = "asleep"

Cells = tuple[int | None, ...]


class Roster:
    """The agents of a fleet by number.  :meth:`take` a survey, send what that returns to those who have the rest."""

    def __init__(self, agents_max: int = AGENTS_MAX) -> None:
        self._agents_max = agents_max
        self._next = 0
        self._words: dict[str, int] = {}
        self._numbers: dict[AgentId, int] = {}
        self._rows: dict[int, Cells] = {}
        self._seen: dict[int, AgentRow] = {}
        self._phases: dict[str, int] = {}
        self._total = 0

    def take(self, rows: Sequence[AgentRow]) -> dict[str, Any]:
        """What has changed since the last survey.

        ``words``: new ones, which follow those that are known; ``new``: ``[number, name]``; ``gone``: numbers;
        ``rows``: ``[number, phase, place, waiting, oldest_ms, tokens, prompt_limit, steps, faults, timer_ms]``, with
        phase and place as places in all words, and ``null`` for what is not known; ``phases`` and ``total`` count all
        agents.
        """
        known_words = len(self._words)
        self._phases = dict(Counter(row.phase for row in rows).most_common())
        self._total = len(rows)
        shown = self._shown(rows)
        here = {row.agent for row in shown}
        gone = [number for agent, number in self._numbers.items() if agent not in here]
        self._numbers = {agent: number for agent, number in self._numbers.items() if agent in here}
        for number in gone:
            del self._rows[number], self._seen[number]
        new: list[list[Any]] = []
        changed: list[list[int | None]] = []
        for row in shown:
            if row.agent not in self._numbers:
                self._numbers[row.agent] = self._next
                new.append([self._next, row.agent])
                self._next += 1
            number = self._numbers[row.agent]
            if self._seen.get(number) is row:
                continue
            self._seen[number] = row
            cells = self._cells(row)
            if self._rows.get(number) != cells:
                self._rows[number] = cells
                changed.append([number, *cells])
        words = list(self._words)[known_words:]
        return {"words": words, "new": new, "gone": gone, "rows": changed, **self._counts()}

    def whole(self) -> dict[str, Any]:
        """Everything, as changes of nothing."""
        new = [[number, agent] for agent, number in self._numbers.items()]
        rows = [[number, *cells] for number, cells in self._rows.items()]
        return {"words": list(self._words), "new": new, "gone": [], "rows": rows, **self._counts()}

    def _counts(self) -> dict[str, Any]:
        return {"phases": self._phases, "total": self._total}

    def _shown(self, rows: Sequence[AgentRow]) -> Sequence[AgentRow]:
        """All, or of too many those that do something before those that sleep."""
        if len(rows) <= self._agents_max:
            return rows
        return sorted(rows, key=lambda row: (row.phase == ASLEEP, row.agent))[: self._agents_max]

    def _word(self, word: str) -> int:
        return self._words.setdefault(word, len(self._words))

    def _cells(self, row: AgentRow) -> Cells:
        return (
            self._word(row.phase),
            self._word(row.place),
            row.waiting,
            row.oldest_ms,
            row.tokens,
            row.prompt_limit,
            row.steps,
            row.faults,
            row.timer_ms,
        )
