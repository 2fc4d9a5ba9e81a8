"""The dialogues as an exam: LoCoMo's rules by category."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.cluster.worlds.dialogues import load_dialogues
from pagefault.cluster.worlds.dialogues_exam import dialogues_exam, grade
from pagefault.cluster.worlds.exam import Memory, Question
from tests.cluster.worlds.exams import sit
from tests.cluster.worlds.talk import TURNS, write_talk


def question(group: str, answer: str, *, answerable: bool = True) -> Question:
    return Question("q", "?", (answer,), (), group, answerable)


def test_each_category_is_graded_by_its_own_rule() -> None:
    assert grade(question("multi-hop", "bees, boats"), "boats, bees")["f1"] == 1.0
    assert grade(question("single-hop", "bees, boats"), "bees")["f1"] == pytest.approx(2 / 3)
    assert grade(question("open-domain", "yes; she said so"), "yes")["f1"] == 1.0
    assert grade(question("adversarial", "wine", answerable=False), "Not mentioned.") == {"abstained": 1.0}
    assert grade(question("adversarial", "wine", answerable=False), "wine") == {"abstained": 0.0}
    assert grade(question("temporal", "Sunday"), "I do not know.")["abstained_wrongly"] == 1.0


def test_a_conversation_becomes_a_case(tmp_path: Path) -> None:
    task = dialogues_exam(load_dialogues(write_talk(tmp_path)), questions_max=4)
    (case,) = task.cases
    assert [piece.key for piece in case.pieces] == list(TURNS)
    assert [asked.group for asked in case.questions] == ["single-hop", "single-hop", "temporal", "multi-hop"]
    whole = dialogues_exam(load_dialogues(write_talk(tmp_path))).cases[0].questions
    assert [asked.answerable for asked in whole] == [True, True, True, True, False]
    assert whole[-1].evidence == ()


async def test_a_conversation_is_remembered(tmp_path: Path) -> None:
    report = await sit(dialogues_exam(load_dialogues(write_talk(tmp_path))), Memory.PAGEFAULT, context_tokens=1800)
    mine = report.results["memories"][Memory.PAGEFAULT]
    assert mine["evidence_recall"] >= 0.75
    assert mine["by_group"]["adversarial"]["abstained"] == 1.0
    assert mine["by_group"]["adversarial"]["f1"] is None
