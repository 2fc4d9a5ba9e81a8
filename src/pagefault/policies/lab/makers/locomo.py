"""Traces of LoCoMo conversations: the evidence of a question is what has to be resident when it is asked.

LoCoMo (Maharana et al. 2024) is a set of long dialogues of two people over many sessions, with questions
whose evidence, the turns that hold the answer, was marked by people.  A file is a list of::

    {"sample_id": "…", "conversation": {"speaker_a": "…", "speaker_b": "…",
      "session_1_date_time": "1:56 pm on 8 May, 2023",
      "session_1": [{"speaker": "…", "dia_id": "D1:1", "text": "…", "blip_caption": "…"}, …], …},
     "qa": [{"question": "…", "answer": "…", "evidence": ["D1:3"], "category": 4}, …]}

Every turn of the dialogue is a page, the caption of a photo that is shared with it in brackets at its end.
Questions of category 5 have no answer and so no evidence.  Evidence that names no turn (malformed, empty, or
of a turn that is not there) is skipped and counted, and so is a question that has none left.  A turn whose
id an earlier one has is renamed, and counted too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from pagefault.policies.contract import PageFacts
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.makers.sizes import Count, estimated_tokens
from pagefault.policies.lab.trace import Source, Trace, TraceError

ANSWERABLE = (1, 2, 3, 4)
"""Multi-hop, temporal, open-domain and single-hop; 5 is adversarial."""

_SESSION = re.compile(r"session_(\d+)")
_WHEN = "%I:%M %p on %d %B, %Y"


class Asked(StrEnum):
    """When questions are asked.  LoCoMo itself does not say."""

    END = "end"  # all after the last session, in the file's order
    SPREAD = "spread"  # each after a session drawn uniformly from that of its last evidence to the last


@dataclass(frozen=True, slots=True)
class _Session:
    number: int
    started_ms: int
    turns: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Question:
    number: int  # place in the file, which names its group
    evidence: tuple[str, ...]
    last_session: int  # place, from 0, of the last session with evidence


def locomo(path: Path, *, asked: Asked = Asked.END, seed: int = 0, count: Count = estimated_tokens) -> list[Trace]:
    """One trace a conversation of a LoCoMo file.

    ``seed`` places the questions when they are ``spread``; every conversation has a stream of its own, so a
    conversation gets the same places whatever else the file holds.  ``count`` gives tokens for a turn as
    it is shown, its speaker before its text.  Raises :class:`TraceError` for a file of another shape, with
    the path of the field.
    """
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise TraceError(str(path), str(problem), "a JSON list of conversations") from problem
    if not isinstance(samples, list):
        raise TraceError(str(path), type(samples).__name__, "a JSON list of conversations")
    return [
        locomo_trace(sample, asked=asked, seed=seed, count=count, field=f"[{place}]")
        for place, sample in enumerate(samples)
    ]


def locomo_trace(
    sample: Mapping[str, Any],
    *,
    asked: Asked = Asked.END,
    seed: int = 0,
    count: Count = estimated_tokens,
    field: str = "sample",
) -> Trace:
    """The trace of one conversation, as an element of the file; ``field`` is its name in errors.

    A turn of the trace is a turn of the dialogue or a question.  The references of a question are a group.
    """
    name = str(_get(sample, "sample_id", (str, int), field))
    conversation = _get(sample, "conversation", (dict,), field)
    sessions = _sessions(conversation, f"{field}.conversation")
    builder = TraceBuilder(f"locomo-{name}-{asked.value}", Source.EVIDENCE)
    place_of: dict[str, int] = {}
    for place, session in enumerate(sessions):
        for turn in session.turns:
            place_of.setdefault(turn["dia_id"], place)
    questions = _questions(_get(sample, "qa", (list,), field), place_of, builder.notes, f"{field}.qa")
    asked_after = _places(questions, len(sessions), Asked(asked), name, seed)
    now = 0
    for place, session in enumerate(sessions):
        for turn in session.turns:
            page = _page(turn, session, now, count)
            if page.id in builder:
                page = replace(page, id=f"{page.id}#{now}")
                builder.notes["turns_renamed"] += 1
            builder.insert(page, now)
            now += 1
        for question in asked_after[place]:
            for dia_id in question.evidence:
                builder.reference(dia_id, now, question.number)
            now += 1
    return builder.build()


def _sessions(conversation: Mapping[str, Any], field: str) -> list[_Session]:
    numbers = sorted(int(match[1]) for key in conversation if (match := _SESSION.fullmatch(key)))
    sessions = []
    for number in numbers:
        where = f"{field}.session_{number}"
        turns = _get(conversation, f"session_{number}", (list,), field)
        for place, turn in enumerate(turns):
            for key in ("dia_id", "speaker", "text"):
                _get(turn, key, (str,), f"{where}[{place}]")
        started = _milliseconds(conversation.get(f"session_{number}_date_time"), f"{where}_date_time")
        sessions.append(_Session(number, started, tuple(turns)))
    if not sessions:
        raise TraceError(field, sorted(conversation), "at least one list of turns, session_1")
    return sessions


def _milliseconds(when: object, field: str) -> int:
    """Since 1970, reading the session's local time as UTC; 0 for a session without a time."""
    if when is None:
        return 0
    try:
        # Written by people as "1:56 pm on 8 May, 2023"; %I takes one digit or two.
        return int(datetime.strptime(str(when).strip(), _WHEN).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        raise TraceError(field, when, 'a time such as "1:56 pm on 8 May, 2023"') from None


def _questions(given: Sequence[Any], place_of: Mapping[str, int], notes: dict[str, int], field: str) -> list[_Question]:
    notes |= {"questions": 0, "questions_without_evidence": 0, "evidence_skipped": 0, "turns_renamed": 0}
    questions = []
    for number, question in enumerate(given):
        if _get(question, "category", (int,), f"{field}[{number}]") not in ANSWERABLE:
            continue
        named = question.get("evidence") or []
        named = named if isinstance(named, list) else [named]
        evidence = dict.fromkeys(each for each in named if isinstance(each, str) and each in place_of)
        notes["evidence_skipped"] += sum(1 for each in named if not isinstance(each, str) or each not in place_of)
        if not evidence:
            notes["questions_without_evidence"] += 1
            continue
        questions.append(_Question(number, tuple(evidence), max(place_of[each] for each in evidence)))
    notes["questions"] = len(questions)
    return questions


def _places(questions: Sequence[_Question], sessions: int, asked: Asked, name: str, seed: int) -> list[list[_Question]]:
    """For every session the questions that are asked after it, in the file's order."""
    asked_after: list[list[_Question]] = [[] for _ in range(sessions)]
    chance = np.random.default_rng([seed, *name.encode()])
    for question in questions:
        last = sessions - 1
        place = last if asked is Asked.END else int(chance.integers(question.last_session, last, endpoint=True))
        asked_after[place].append(question)
    return asked_after


def _page(turn: Mapping[str, Any], session: _Session, ordinal: int, count: Count) -> PageFacts:
    text = turn["text"]
    if turn.get("blip_caption"):
        text = f"{text} [photo: {turn['blip_caption']}]"
    return PageFacts(
        id=turn["dia_id"],
        kind="message",
        tokens=count(f"{turn['speaker']}: {text}"),
        ordinal=ordinal,
        created_ms=session.started_ms,
        author=turn["speaker"],
        text=text,
    )


def _get(given: Any, key: str, kinds: tuple[type, ...], field: str) -> Any:
    if not isinstance(given, Mapping):
        raise TraceError(field, type(given).__name__, "a JSON object")
    value = given.get(key)
    if not isinstance(value, kinds) or isinstance(value, bool):
        allowed = " or ".join(kind.__name__ for kind in kinds)
        raise TraceError(f"{field}.{key}", value, f"a value of type {allowed}")
    return value
