"""Long dialogues: an agent a conversation reads it turn by turn, and is then asked about it.

The data is in LoCoMo's format (Maharana et al. 2024): conversations of many sessions over months, and
questions with the turns that hold their evidence.  What is reported needs no judge: whether the evidence
is in the agent's context when it answers.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pagefault.cluster.worlds.contract import Progress, Report, Row, RunningFleet, Totals
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.values import Fidelity, Interrupt, InterruptId, InterruptKind, PageId, Priority

EXAMINER = "examiner"
ANSWERED_CATEGORIES = (1, 2, 3, 4)
CATEGORY_NAMES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
TURN_GAP_MS = 30_000
"""Turns of a session have no times of their own: half a minute apart keeps their order."""
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
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError("--data", str(path), f"a readable JSON file: {error}") from None
    if not isinstance(data, list) or not data:
        raise ConfigError("--data", str(path), "a JSON list with at least one conversation")
    dialogues = []
    for index, sample in enumerate(data):
        try:
            dialogues.append(_dialogue(sample, index))
        except (KeyError, TypeError, ValueError) as error:
            problem = f"conversations in LoCoMo's format; number {index} has {type(error).__name__}: {error}"
            raise ConfigError("--data", str(path), problem) from None
    return dialogues


def _dialogue(sample: Mapping[str, Any], index: int) -> Dialogue:
    conversation = sample["conversation"]
    turns: list[Turn] = []
    number = 1
    while f"session_{number}_date_time" in conversation or f"session_{number}" in conversation:
        said = conversation.get(f"session_{number}", [])
        if said:
            began_ms = _instant_ms(str(conversation[f"session_{number}_date_time"]))
            for place, turn in enumerate(said):
                text = str(turn["text"])
                if turn.get("blip_caption"):
                    text += f" [shares a photo: {turn['blip_caption']}]"
                at_ms = began_ms + place * TURN_GAP_MS
                turns.append(Turn(str(turn["dia_id"]), str(turn["speaker"]), text, f"session {number}", at_ms))
        number += 1
    known = {turn.key for turn in turns}
    questions = []
    malformed = 0
    for entry in sample["qa"]:
        evidence = tuple(dict.fromkeys(str(key) for key in entry.get("evidence", ()) if str(key) in known))
        malformed += len(entry.get("evidence", ())) - len(evidence)
        answer = entry.get("answer", entry.get("adversarial_answer", ""))
        questions.append(Question(str(entry["question"]), str(answer), evidence, int(entry["category"])))
    speakers = (str(conversation["speaker_a"]), str(conversation["speaker_b"]))
    return Dialogue(str(sample.get("sample_id", index)), speakers, tuple(turns), tuple(questions), malformed)


def _instant_ms(text: str) -> int:
    for form in DATE_FORMATS:
        try:
            return int(datetime.strptime(text.strip(), form).replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            continue
    raise ValueError(f"date {text!r} is not like '1:56 pm on 8 May, 2023'")


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
        scores = await asyncio.gather(*(self._live(fleet, ref, dialogue, progress) for ref, dialogue in pairs))
        seconds = loop.time() - began
        totals = Totals()
        for ref in refs:
            totals.add(await ref.inspect())
        return self._report(turns, questions, [score for each in scores for score in each], totals, seconds)

    def _asked(self, dialogue: Dialogue) -> tuple[Question, ...]:
        return dialogue.questions[: self._questions_max]

    async def _live(
        self, fleet: RunningFleet, ref: AgentRef, dialogue: Dialogue, progress: Progress
    ) -> list[tuple[int, float | None, str]]:
        pages: dict[str, PageId] = {}
        for turn in dialogue.turns:
            said = Interrupt(
                id=InterruptId(f"{dialogue.name}/{turn.key}"),
                kind=InterruptKind.OBSERVATION,
                priority=Priority.WORLD,
                sender=turn.speaker,
                text=turn.text,
                created_ms=turn.at_ms,
                session=turn.session,
            )
            answer = await fleet.answer(ref.id, said)
            pages[turn.key] = answer.page_id
            progress.advance()
        scores = []
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
            answer = await fleet.answer(ref.id, asked)
            scores.append((question.category, await _recall(ref, question, pages), answer.outcome))
            progress.advance()
        return scores

    def _report(
        self, turns: int, questions: int, scores: list[tuple[int, float | None, str]], totals: Totals, seconds: float
    ) -> Report:
        by_category: dict[int, list[float]] = defaultdict(list)
        for category, recall, _ in scores:
            if recall is not None:
                by_category[category].append(recall)
        counted = [recall for category in ANSWERED_CATEGORIES for recall in by_category[category]]
        recall = sum(counted) / len(counted) if counted else 0.0
        failures = sum(outcome != "yielded" for _, _, outcome in scores)
        means = {
            str(category): round(sum(values) / len(values), 4)
            for category, values in sorted(by_category.items())
            if values
        }
        results = {
            "agents": len(self._dialogues),
            "turns": turns,
            "questions": questions,
            "evidence_recall": round(recall, 4),
            "evidence_recall_by_category": means,
            "page_faults": totals["page_faults"],
            "refaults": totals["refaults"],
            "evictions": totals["evictions"],
            "tokens_paged_in": totals["tokens_paged_in"],
            "tokens_paged_out": totals["tokens_paged_out"],
            "steps": totals["steps"],
            "steps_per_s": round(totals["steps"] / seconds, 1),
            "seconds": round(seconds, 2),
            "context_tokens_max": totals.context_tokens_max,
            "context_budget": totals.context_budget,
            "overflows": totals["overflows"],
            "failed_chains": failures,
            "malformed_evidence": sum(dialogue.malformed_evidence for dialogue in self._dialogues),
        }
        rows = [
            Row("conversations read", str(len(self._dialogues)), f"{turns} turns, an agent each"),
            Row("questions asked", str(questions), f"{failures} chains failed"),
            Row(
                "evidence recall",
                f"{recall:.3f}",
                "categories 1-4: share of the evidence in the context when it answers",
            ),
            *(Row(f"  {CATEGORY_NAMES.get(int(key), key)}", f"{value:.3f}", "") for key, value in means.items()),
            Row("page faults", f"{totals['page_faults']:,}", "pages needed and not in the context"),
            Row("evictions", f"{totals['evictions']:,}", "pages that left the context"),
            Row("tokens paged in / out", f"{totals['tokens_paged_in']:,} / {totals['tokens_paged_out']:,}", ""),
            Row(
                "largest context",
                f"{totals.context_tokens_max} of {totals.context_budget}",
                "tokens sent at once; never over",
            ),
            Row("steps", f"{totals['steps']:,}", f"{totals['steps'] / seconds:,.0f} a second, {seconds:.1f} s in all"),
        ]
        failed = f"the context was over its budget {totals['overflows']} times" if totals["overflows"] else ""
        return Report("Dialogues", results, rows, failed)


async def _recall(ref: AgentRef, question: Question, pages: Mapping[str, PageId]) -> float | None:
    """The share of the evidence that is in the context now: as a page, or quoted whole in one."""
    if not question.evidence:
        return None
    seen: set[PageId] = set()
    for page in (await ref.inspect()).pages:
        if page.fidelity == Fidelity.FULL.value:
            seen.add(page.id)
            seen.update(page.refs)
    return sum(pages[key] in seen for key in question.evidence) / len(question.evidence)
