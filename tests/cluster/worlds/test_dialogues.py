"""Dialogues: read from LoCoMo's format, lived turn by turn, scored by where the evidence is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.dialogues import Dialogues, load_dialogues
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest
from tests.cluster.worlds.talk import PHOTO, QUESTIONS, TURNS, talk, write_talk

TEMPLATE: dict[str, Any] = {
    "model": "scripted:pagefault.cluster.worlds.dialogues_mind:reader",
    "functions": ("send_message", "conversation_search"),
    "context_tokens": 1536,
    "reply_tokens": 256,
    "write_back": "archive",
    "search_results": 2,
}
SMALL: dict[str, Any] = {"system": "You remember a talk.", "context_tokens": 704, "reply_tokens": 64}


class Counted:
    total = done = 0

    def begin(self, what: str, total: int) -> None:
        self.total = total

    def advance(self, count: int = 1) -> None:
        self.done += count


def silent(request: ModelRequest) -> Reply:
    """Answers without a search."""
    incoming = View(request).incoming
    return say("I do not know.") if incoming is not None and incoming.author == "examiner" else nothing()


async def live(folder: Path, fleet_folder: Path | None = None, **changes: Any) -> Report:
    world = Dialogues(load_dialogues(write_talk(folder)))
    progress = Counted()
    async with Local(fleet_folder, embedder="hash") as fleet:
        refs = await fleet.spawn_many(world.agents({**TEMPLATE, **changes}))
        report = await world.run(fleet, refs, progress)
    assert progress.done == progress.total == len(TURNS) + len(QUESTIONS)
    return report


def test_a_file_is_read(tmp_path: Path) -> None:
    (dialogue,) = load_dialogues(write_talk(tmp_path))
    assert (dialogue.name, dialogue.speakers) == ("lake", ("Mirela", "Tomas"))
    assert [turn.key for turn in dialogue.turns] == list(TURNS)
    first, last = dialogue.turns[0], dialogue.turns[-1]
    assert datetime.fromtimestamp(first.at_ms / 1000, UTC) == datetime(2024, 3, 2, 16, 5, tzinfo=UTC)
    assert (first.session, last.session) == ("session 1", "session 2")
    assert last.text == f"{TURNS[PHOTO[0]][1]} [shares a photo: {PHOTO[1]}]"
    assert [turn.at_ms for turn in dialogue.turns] == sorted({turn.at_ms for turn in dialogue.turns})


def test_evidence_that_names_no_turn_is_counted_and_left_out(tmp_path: Path) -> None:
    (dialogue,) = load_dialogues(write_talk(tmp_path))
    assert [question.evidence for question in dialogue.questions] == [
        ("D1:3",), ("D1:6",), ("D2:2",), ("D1:1", "D2:4"), (),
    ]  # fmt: skip
    assert dialogue.malformed_evidence == 2
    assert [question.answer for question in dialogue.questions][-2:] == ["2", "wine"]


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(sample: dict[str, Any]) -> None:
        place: Any = sample
        for key in path[:-1]:
            place = place[int(key) if isinstance(place, list) else key]
        del place[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop("conversation"), "conversation 2 has no 'conversation'"),
        (drop("qa"), "conversation 2 has no 'qa'"),
        (drop("conversation", "speaker_b"), "conversation 2 has no 'speaker_b'"),
        (drop("conversation", "session_2_date_time"), "conversation 2 has no 'session_2_date_time'"),
        (drop("conversation", "session_1", "3", "dia_id"), "turn 4 of session 1 of conversation 2 has no 'dia_id'"),
        (drop("qa", "1", "category"), "question 2 of conversation 2 has no 'category'"),
        (lambda sample: sample["qa"].append("why?"), "question 6 of conversation 2 is not an object"),
        (lambda sample: sample["conversation"].update(session_1={1: 1}), "'session_1' of conversation 2 is not a list"),
        (lambda sample: sample["conversation"].update(session_1_date_time="once"), "date 'once' is not like"),
        (lambda _: None, "conversation 2 is called 'lake', as another is"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_format_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    second = talk()
    change(second)
    path = tmp_path / "two.json"
    path.write_text(json.dumps([talk(), second]))
    with pytest.raises(ConfigError) as raised:
        load_dialogues(path)
    assert said in str(raised.value)


def test_agents_and_questions_can_be_fewer(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    path.write_text(json.dumps([talk(), {**talk(), "sample_id": "shore"}]))
    dialogues = load_dialogues(path)
    assert [agent.name for agent in Dialogues(dialogues).agents({})] == ["reader-lake", "reader-shore"]
    assert [agent.name for agent in Dialogues(dialogues, agents=1).agents({"name": "r"})] == ["r-lake"]
    assert "Mirela and Tomas" in Dialogues(dialogues).agents({})[0].persona


async def test_the_report(tmp_path: Path) -> None:
    report = await live(tmp_path)
    results = report.results
    assert (results["agents"], results["turns"], results["questions"]) == (1, 12, 5)
    assert set(results["evidence_recall_by_category"]) == {"1", "2", "4"}, "a question without evidence has no recall"
    assert results["malformed_evidence"] == 2
    assert (results["overflows"], results["failed_chains"], report.failed) == (0, 0, "")
    assert 0 < results["context_tokens_max"] <= results["context_budget"] == 1280
    assert {"page_faults", "evictions", "tokens_paged_in", "tokens_paged_out"} <= set(results)
    shown = {row.name.strip(): row.value for row in report.rows}
    assert shown["evidence recall"] == f"{results['evidence_recall']:.3f}"
    assert shown["by search alone"] == f"{results['evidence_recall_search']:.3f}"
    assert {"multi-hop", "temporal", "single-hop"} <= set(shown)


async def test_searching_brings_evidence_that_had_left_the_context(tmp_path: Path) -> None:
    silently = await live(tmp_path, **SMALL, model=f"scripted:{__name__}:silent")
    searching = await live(tmp_path, **SMALL)
    assert silently.results["evictions"] > 0
    assert silently.results["evidence_recall_search"] == 0.0
    assert silently.results["evidence_recall"] < 0.5, "what is far back has left a context this small"
    assert searching.results["evidence_recall_search"] >= 0.75
    assert searching.results["evidence_recall"] >= searching.results["evidence_recall_search"]


async def test_evidence_at_hand_is_not_evidence_found(tmp_path: Path) -> None:
    roomy = await live(tmp_path, context_tokens=8192, model=f"scripted:{__name__}:silent")
    assert roomy.results["evidence_recall"] == 1.0
    assert roomy.results["evidence_recall_search"] == 0.0


async def test_asking_changes_nothing_and_a_second_run_reads_nothing_twice(tmp_path: Path) -> None:
    first = await live(tmp_path, tmp_path / "kept", **SMALL)
    again = await live(tmp_path, tmp_path / "kept", **SMALL)
    assert again.results["evidence_recall_search"] == first.results["evidence_recall_search"]
    read = first.results["steps"] - 2 * len(QUESTIONS)
    assert read == len(TURNS)
    assert again.results["steps"] == read + 2 * 2 * len(QUESTIONS), (
        "questions are asked again, turns are not read again"
    )
