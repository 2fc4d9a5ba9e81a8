"""Exams: questions about what was read, put to one model with different memories under the same budget.

A *case* is something to read and questions about it.  A *memory* is what stands between the two.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent

EXAMINER = "examiner"
UNKNOWN = "I do not know."


class Memory(StrEnum):
    """What stands between reading and being asked.

    ``full`` is no memory but a window as large as it takes, whatever the budget: the upper bound that the others are
    held against.  ``truncated`` shows what was read last (of documents: as much of each as has room); ``summary``
    folds what does not fit into a recursive summary; ``retrieval`` shows what one search for the question finds.
    """

    PAGEFAULT = "pagefault"
    FULL = "full"
    TRUNCATED = "truncated"
    SUMMARY = "summary"
    RETRIEVAL = "retrieval"


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to read: a turn of a dialogue, a document, a record."""

    key: str
    text: str
    author: str = ""
    session: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the answers that are right, and the keys of the pieces that hold its evidence.

    ``group`` is what figures are broken down by.  One that is not ``answerable`` is answered rightly by saying so.
    """

    key: str
    text: str
    answers: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    group: str = ""
    answerable: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """What one agent reads, and is asked.  ``filed``: the pieces are documents of a shared space, and nobody has seen
    them; otherwise they were lived through, one after the other."""

    name: str
    pieces: tuple[Piece, ...]
    questions: tuple[Question, ...]
    filed: bool = False


Grade = Callable[[Question, str], Mapping[str, float]]
"""The measures of an answer, by name; those that a question has no say in are left out."""


@dataclass(frozen=True, slots=True)
class Task:
    """An exam: its cases, how answers are graded, what the model is told.

    ``measures`` are names of what ``grade`` gives, the headline first.  ``by`` says what the groups of questions are.
    ``system`` is for those who are shown what they need, ``agent_system`` for an agent that has to look for it with
    ``functions``.
    """

    name: str
    title: str
    cases: tuple[Case, ...]
    grade: Grade
    measures: tuple[str, ...]
    by: str
    system: str
    agent_system: str
    functions: tuple[str, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sitting:
    """How an exam is taken: what is alike for all memories.

    ``template`` is the agent's table with the model; its ``context_tokens`` and ``reply_tokens`` are everybody's.
    """

    memories: tuple[Memory, ...]
    template: Mapping[str, Any]
    embedder: str = "wordllama"
    at_once: int = 8

    @property
    def agent(self) -> Agent:
        """The template as an agent.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
        return Agent(**{"name": "examined", **self.template})

    @property
    def prompt_tokens_max(self) -> int:
        return self.agent.context_tokens - self.agent.reply_tokens


@dataclass(frozen=True, slots=True)
class Given:
    """One answer: what it says, what it scored, what it took.

    ``evidence``: the share of the evidence that the model had before it when it answered; ``None`` without evidence.
    ``prompt_tokens`` are those of all its ``calls`` of the model; ``problem`` says why there is no answer.
    """

    memory: str
    case: str
    question: str
    group: str
    text: str
    scores: Mapping[str, float]
    evidence: float | None = None
    prompt_tokens: int = 0
    prompt_tokens_max: int = 0
    calls: int = 0
    searches: int = 0
    problem: str = ""


def chosen_memories(names: Sequence[str] | None) -> tuple[Memory, ...]:
    """The memories of these names; all where none is given.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    wanted = [each.strip() for name in names or () for each in name.split(",") if each.strip()] or list(Memory)
    for name in wanted:
        if name not in list(Memory):
            raise ConfigError("--memory", name, ", ".join(Memory))
    return tuple(Memory(name) for name in dict.fromkeys(wanted))


def standing(given: Iterable[Given], measures: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each memory reached, for programs: means over all questions and by group, and what it took."""
    found: dict[str, dict[str, Any]] = {}
    answers = list(given)
    for memory in dict.fromkeys(each.memory for each in answers):
        own = [each for each in answers if each.memory == memory]
        groups = sorted({each.group for each in own if each.group}, key=_in_order)
        found[memory] = {
            **means(own, measures),
            "by_group": {
                group: {**means(part, measures), "questions": len(part)}
                for group in groups
                for part in [[each for each in own if each.group == group]]
            },
            "questions": len(own),
            "failed": sum(bool(each.problem) for each in own),
            "calls_mean": round(statistics.fmean(each.calls for each in own), 3),
            "searches_mean": round(statistics.fmean(each.searches for each in own), 3),
            "prompt_tokens_mean": round(statistics.fmean(each.prompt_tokens for each in own), 1),
            "prompt_tokens_max": max(each.prompt_tokens_max for each in own),
        }
    return found


def means(given: Sequence[Given], measures: Sequence[str]) -> dict[str, float | None]:
    """The mean of each measure over the answers that have it, and of the evidence; ``None`` where none has."""
    found: dict[str, float | None] = {}
    for measure in measures:
        values = [each.scores[measure] for each in given if measure in each.scores]
        found[measure] = round(statistics.fmean(values), 4) if values else None
    shares = [each.evidence for each in given if each.evidence is not None]
    found["evidence_recall"] = round(statistics.fmean(shares), 4) if shares else None
    return found


def _in_order(group: str) -> tuple[int, str]:
    """Numbers by size, other names after them."""
    return (int(group), "") if group.isdigit() else (2**62, group)
