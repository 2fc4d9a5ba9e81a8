"""Long dialogues: an agent a conversation reads it turn by turn, and is then asked about it.

The data is in LoCoMo's format (Maharana et al. 2024): conversations of many sessions over months, and
questions with the turns that hold their evidence.  What is reported needs no judge: whether the evidence
is in the agent's context when it answers.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pagefault.cluster.worlds.contract import Outcomes, Progress, Report, Row, RunningFleet, Totals, together
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.records import PageState
from pagefault.runtime.values import Fidelity, Interrupt, InterruptId, InterruptKind, PageId, PageKind, Priority

T = TypeVar("T")

EXAMINER = "examiner"
ANSWERED_CATEGORIES = (1, 2, 3, 4)
CATEGORY_NAMES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
TURN_GAP_MS = 30_000
"""Turns of a session have no times of their own: half a minute apart keeps their order."""
JSON_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}
DATE_FORMATS = ("%I:%M %p on %d %B, %Y", "%I:%M %p on %d %b, %Y", "%Y-%m-%d %H:%M")


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said."""

    key: str
    speaker: str
    text: str
    session: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the keys of the turns that hold its evidence, and its category."""

    text: str
    answer: str
    evidence: tuple[str, ...]
    category: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation with its questions; ``malformed_evidence`` counts strings that name no turn."""

    name: str
    speakers: tuple[str, str]
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]
    malformed_evidence: int


def load_dialogues(path: Path) -> list[Dialogue]:
    """Read a file of conversations.

    Raises :class:`~pagefault.runtime.errors.ConfigError` naming the file and what is wrong with it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "--data", str(path), "a file of conversations in LoCoMo's format (github.com/snap-research/LoCoMo)"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("--data", str(path), f"a readable JSON file: {error}") from None
    if not isinstance(data, list) or not data:
        raise ConfigError("--data", str(path), "a JSON list with at least one conversation")
    try:
        return _dialogues(data)
    except _Malformed as error:
        raise ConfigError("--data", str(path), f"conversations in LoCoMo's format; {error}") from None


class _Malformed(Exception):
    """The text says what of a file is not in the format."""


def _dialogues(data: Sequence[object]) -> list[Dialogue]:
    dialogues: dict[str, Dialogue] = {}
    for index, sample in enumerate(data):
        dialogue = _dialogue(sample, f"conversation {index + 1}", index)
        if dialogue.name in dialogues:
            raise _Malformed(f"conversation {index + 1} is called {dialogue.name!r}, as another is")
        dialogues[dialogue.name] = dialogue
    return list(dialogues.values())


def _part(table: object, key: str, kind: type[T], where: str) -> T:
    """A member of a JSON object.  Raises ``_Malformed`` that says what is wrong with which."""
    if not isinstance(table, dict):
        raise _Malformed(f"{where} is not an object")
    if key not in table:
        raise _Malformed(f"{where} has no {key!r}")
    value = table[key]
    if not isinstance(value, kind):
        raise _Malformed(f"{key!r} of {where} is not {JSON_KINDS[kind]}")
    return value


def _dialogue(sample: object, where: str, index: int) -> Dialogue:
    conversation: dict[str, Any] = _part(sample, "conversation", dict, where)
    turns: list[Turn] = []
    number = 1
    while f"session_{number}_date_time" in conversation or f"session_{number}" in conversation:
        turns += _session(conversation, number, where)
        number += 1
    known = {turn.key for turn in turns}
    questions = []
    malformed = 0
    for place, entry in enumerate(_part(sample, "qa", list, where), 1):
        of_question = f"question {place} of {where}"
        text = _part(entry, "question", str, of_question)
        category = _part(entry, "category", int, of_question)
        given = _part(entry, "evidence", list, of_question) if "evidence" in entry else []
        evidence = tuple(dict.fromkeys(str(key) for key in given if str(key) in known))
        malformed += len(given) - len(evidence)
        answer = entry.get("answer", entry.get("adversarial_answer", ""))
        questions.append(Question(text, str(answer), evidence, category))
    speakers = (_part(conversation, "speaker_a", str, where), _part(conversation, "speaker_b", str, where))
    name = str(sample.get("sample_id", index)) if isinstance(sample, dict) else str(index)
    return Dialogue(name, speakers, tuple(turns), tuple(questions), malformed)


def _session(conversation: Mapping[str, Any], number: int, where: str) -> Iterator[Turn]:
    if not conversation.get(f"session_{number}"):
        return  # a date without turns: nothing was said
    said = _part(conversation, f"session_{number}", list, where)
    began_ms = _instant_ms(_part(conversation, f"session_{number}_date_time", str, where))
    for place, turn in enumerate(said):
        of_turn = f"turn {place + 1} of session {number} of {where}"
        text = _part(turn, "text", str, of_turn)
        if turn.get("blip_caption"):
            text += f" [shares a photo: {turn['blip_caption']}]"
        at_ms = began_ms + place * TURN_GAP_MS
        key, speaker = _part(turn, "dia_id", str, of_turn), _part(turn, "speaker", str, of_turn)
        yield Turn(key, speaker, text, f"session {number}", at_ms)


def _instant_ms(text: str) -> int:
    for form in DATE_FORMATS:
        try:
            return int(datetime.strptime(text.strip(), form).replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            continue
    raise _Malformed(f"date {text!r} is not like '1:56 pm on 8 May, 2023'")


@dataclass(frozen=True, slots=True)
class Score:
    """How much of a question's evidence was at hand when it was answered, from 0 to 1.

    ``in_context``: as a page of the context, or quoted in one, whatever brought it there.  ``found``: quoted
    by what this question's own searches gave.
    """

    category: int
    in_context: float
    found: float


class Dialogues:
    """Reads conversations into agents and questions them."""

    name = "dialogues"

    def __init__(
        self, dialogues: Sequence[Dialogue], agents: int | None = None, questions_max: int | None = None
    ) -> None:
        self._dialogues = list(dialogues)[:agents]
        self._questions_max = questions_max
        self._token = secrets.token_hex(4)  # a run that goes on where another stopped asks again

    def agents(self, template: Mapping[str, Any]) -> list[Agent]:
        """One agent a conversation, who has overheard it."""
        made = []
        for dialogue in self._dialogues:
            fields = dict(template)
            first, second = dialogue.speakers
            fields.setdefault("persona", f"I have followed a long conversation between {first} and {second}.")
            made.append(Agent(name=f"{fields.pop('name', 'reader')}-{dialogue.name}", **fields))
        return made

    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report:
        """All conversations at once; within one, turn by turn and then question by question."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        turns = sum(len(dialogue.turns) for dialogue in self._dialogues)
        questions = sum(len(self._asked(dialogue)) for dialogue in self._dialogues)
        progress.begin("reading and answering", turns + questions)
        pairs = zip(refs, self._dialogues, strict=True)
        outcomes = Outcomes()
        scores = await together(self._live(fleet, ref, dialogue, outcomes, progress) for ref, dialogue in pairs)
        seconds = loop.time() - began
        totals = Totals()
        for ref in refs:
            totals.add(await ref.inspect())
        return self._report(
            turns, questions, [score for each in scores for score in each], outcomes, totals, seconds=seconds
        )

    def _asked(self, dialogue: Dialogue) -> tuple[Question, ...]:
        return dialogue.questions[: self._questions_max]

    async def _live(
        self, fleet: RunningFleet, ref: AgentRef, dialogue: Dialogue, outcomes: Outcomes, progress: Progress
    ) -> list[Score]:
        pages: dict[str, PageId] = {}
        for place, turn in enumerate(dialogue.turns):
            said = Interrupt(
                id=InterruptId(f"{dialogue.name}/{place}/{turn.key}"),
                kind=InterruptKind.OBSERVATION,
                priority=Priority.WORLD,
                sender=turn.speaker,
                text=turn.text,
                created_ms=turn.at_ms,
                session=turn.session,
            )
            answer = await outcomes.answer(fleet, ref.id, said)
            pages.setdefault(turn.key, answer.page_id)
            progress.advance()
        scores = []
        before = {page.id for page in (await ref.inspect()).pages}
        for number, question in enumerate(self._asked(dialogue)):
            asked = Interrupt(
                id=InterruptId(f"{dialogue.name}/question-{number}/{self._token}"),
                kind=InterruptKind.MESSAGE,
                priority=Priority.USER,
                sender=EXAMINER,
                text=question.text,
                created_ms=dialogue.turns[-1].at_ms if dialogue.turns else 0,
                ephemeral=True,  # asking must not change what is remembered
            )
            await outcomes.answer(fleet, ref.id, asked)
            after = (await ref.inspect()).pages
            if question.evidence:
                wanted = [pages[key] for key in question.evidence]
                scores.append(_score(question.category, wanted, before, after))
            before = {page.id for page in after}
            progress.advance()
        return scores

    def _report(
        self, turns: int, questions: int, scores: list[Score], outcomes: Outcomes, totals: Totals, *, seconds: float
    ) -> Report:
        recall = _mean(score.in_context for score in scores if score.category in ANSWERED_CATEGORIES)
        found = _mean(score.found for score in scores if score.category in ANSWERED_CATEGORIES)
        categories = sorted({score.category for score in scores})
        means = {
            str(category): round(_mean(score.in_context for score in scores if score.category == category), 4)
            for category in categories
        }
        results = {
            "agents": len(self._dialogues),
            "turns": turns,
            "questions": questions,
            "evidence_recall": round(recall, 4),
            "evidence_recall_by_category": means,
            "evidence_recall_search": round(found, 4),
            **totals.results(seconds),
            "failed_chains": outcomes.failed,
            "malformed_evidence": sum(dialogue.malformed_evidence for dialogue in self._dialogues),
        }
        rows = [
            Row("conversations read", str(len(self._dialogues)), f"{turns:,} turns, an agent each"),
            Row("questions asked", f"{questions:,}", f"{outcomes.failed:,} of {outcomes.chains:,} chains failed"),
            Row(
                "evidence recall", f"{recall:.3f}", "categories 1-4: share of the evidence in the context at the answer"
            ),
            *(Row(f"  {CATEGORY_NAMES.get(int(key), key)}", f"{value:.3f}", "") for key, value in means.items()),
            Row("  by search alone", f"{found:.3f}", "categories 1-4: share that the question's own searches quoted"),
            *totals.rows(seconds),
        ]
        return Report("Dialogues", results, rows, outcomes.problem(totals))


def _score(category: int, wanted: Sequence[PageId], before: AbstractSet[PageId], after: Sequence[PageState]) -> Score:
    """What of the wanted pages is there in full, or quoted whole by a page that is."""
    full = [page for page in after if page.fidelity == Fidelity.FULL.value]
    results = [page for page in full if page.kind == PageKind.RESULT.value and page.id not in before]
    found = {ref for page in results for ref in page.refs}
    seen = {page.id for page in full} | {ref for page in full for ref in page.refs}
    return Score(category, _mean(page in seen for page in wanted), _mean(page in found for page in wanted))


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0
