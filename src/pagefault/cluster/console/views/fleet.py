"""A fleet at a glance: how many agents do what, how much goes on, and those of them that are looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pagefault.runtime.host.records import AgentRow

ASLEEP = "(asleep)"
"""Where agents without a host are, in a list of hosts."""
SORTS: dict[str, Callable[[AgentRow], Any]] = {
    "name": lambda row: row.agent,
    "phase": lambda row: row.phase,
    "place": lambda row: row.place or None,
    "waiting": lambda row: None if row.waiting is None else -row.waiting,
    "oldest": lambda row: row.oldest_ms,
    "tokens": lambda row: None if row.tokens is None else -row.tokens,
    "steps": lambda row: None if row.steps is None else -row.steps,
    "faults": lambda row: None if row.faults is None else -row.faults,
    "timer": lambda row: row.timer_ms,
}
"""What agents are sorted by: of counts the highest first, of times the earliest; who has none comes last."""


@dataclass(frozen=True, slots=True)
class Glance:
    """All agents of a fleet together.

    ``phases`` counts agents by phase, the most frequent first; ``awake`` have a frame, ``held`` are paused; ``waiting``
    is how many interrupts wait in their mailboxes.  Steps and page faults a second are those of the time since the
    glance before, of agents that were awake at both; 0 at the first.
    """

    at_ms: int
    agents: int
    awake: int
    held: int
    waiting: int
    phases: dict[str, int]
    steps_per_s: float
    faults_per_s: float


@dataclass(frozen=True, slots=True)
class HostView:
    """A host and its agents: how many there are, how many are not at rest, how many interrupts wait for them, and how
    full their contexts are on average, from 0 to 1."""

    place: str
    agents: int
    busy: int
    waiting: int
    fullness: float


@dataclass(slots=True)
class Pulse:
    """Takes one survey after the other, and says how much has happened between them."""

    _at_ms: int = 0
    _counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, rows: Sequence[AgentRow], now_ms: int) -> Glance:
        """The fleet as a survey has it, which was made at ``now_ms``."""
        counts: dict[str, tuple[int, int]] = {
            row.agent: (row.steps, row.faults) for row in rows if row.steps is not None and row.faults is not None
        }
        steps = faults = 0
        for agent, (now_steps, now_faults) in counts.items():
            then = self._counts.get(agent)
            if then is not None:  # an agent that was rolled back, or made again, has taken no steps back
                steps += max(0, now_steps - then[0])
                faults += max(0, now_faults - then[1])
        seconds = (now_ms - self._at_ms) / 1000 if self._counts and now_ms > self._at_ms else 0.0
        self._at_ms, self._counts = now_ms, counts
        return Glance(
            at_ms=now_ms,
            agents=len(rows),
            awake=sum(bool(row.place) for row in rows),
            held=sum(row.held is True for row in rows),
            waiting=sum(row.waiting or 0 for row in rows),
            phases=dict(Counter(row.phase for row in rows).most_common()),
            steps_per_s=steps / seconds if seconds else 0.0,
            faults_per_s=faults / seconds if seconds else 0.0,
        )


def ordered(rows: Iterable[AgentRow], by: str, *, backwards: bool = False) -> list[AgentRow]:
    """The rows by one of :data:`SORTS`, equal ones by name; who has no figure comes last, in either direction."""
    key = SORTS[by]
    named = sorted(rows, key=lambda row: row.agent)
    known = [row for row in named if key(row) is not None]
    known.sort(key=key, reverse=backwards)
    return known + [row for row in named if key(row) is None]


def chosen(rows: Iterable[AgentRow], words: str) -> list[AgentRow]:
    """The rows that pass every one of these words.

    ``phase:thinking`` and ``host:NAME`` are beginnings of what they name, ``is:held``, ``is:waiting`` and ``is:awake``
    say what is so; any other word is a part of the agent's name.  Capitals make no difference.
    """
    tests = [_test(word.casefold()) for word in words.split()]
    return [row for row in rows if all(test(row) for test in tests)]


def _test(word: str) -> Callable[[AgentRow], bool]:
    name, colon, value = word.partition(":")
    if colon and name == "phase":
        return lambda row: row.phase.casefold().startswith(value)
    if colon and name in {"host", "place"}:
        return lambda row: (row.place or ASLEEP).casefold().startswith(value)
    if colon and name == "is":
        return lambda row: {"held": row.held is True, "waiting": bool(row.waiting), "awake": bool(row.place)}.get(
            value, False
        )
    return lambda row: word in row.agent.casefold()


def hosts(rows: Iterable[AgentRow]) -> list[HostView]:
    """The hosts that have agents, the fullest first; those that sleep are last, under ``(asleep)``."""
    by_place: dict[str, list[AgentRow]] = {}
    for row in rows:
        by_place.setdefault(row.place or ASLEEP, []).append(row)
    found = [_host(place, here) for place, here in by_place.items()]
    return sorted(found, key=lambda host: (host.place == ASLEEP, -host.agents, host.place))


def _host(place: str, rows: Sequence[AgentRow]) -> HostView:
    shares = [row.tokens / row.prompt_limit for row in rows if row.tokens is not None and row.prompt_limit]
    return HostView(
        place=place,
        agents=len(rows),
        busy=sum(row.phase not in {"idle", "asleep", "stopped"} for row in rows),
        waiting=sum(row.waiting or 0 for row in rows),
        fullness=sum(shares) / len(shares) if shares else 0.0,
    )
