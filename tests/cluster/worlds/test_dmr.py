"""Deep memory retrieval and openers: the published shape is read, and what memory finds is scored as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.worlds.dmr import dmr_exam, grade, openers_exam
from pagefault.cluster.worlds.exam import Memory, Question
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.store.embed import make_embedder
from tests.cluster.worlds.exams import ROW, sit, write_rows


def test_a_row_becomes_a_case_of_all_its_sessions(tmp_path: Path) -> None:
    task = dmr_exam(write_rows(tmp_path / "msc.jsonl", ROW, ROW), limit=1)
    (case,) = task.cases
    assert [(piece.author, piece.session) for piece in case.pieces] == [
        ("Speaker 1", "session 1"), ("Speaker 2", "session 1"),
        ("Speaker 1", "session 2"), ("Speaker 2", "session 2"),
        ("Speaker 1", "session 3"), ("Speaker 2", "session 3"),
    ]  # fmt: skip
    assert [piece.at_ms for piece in case.pieces] == sorted({piece.at_ms for piece in case.pieces})
    assert case.questions[0].text == "What is the queen of the bees called?"
    assert case.questions[0].answers == ("She is called Otilia.",)


async def test_what_was_said_sessions_ago_is_found(tmp_path: Path) -> None:
    report = await sit(dmr_exam(write_rows(tmp_path / "msc.jsonl", ROW)), Memory.PAGEFAULT, Memory.FULL)
    for found in report.results["memories"].values():
        assert found["rouge_l"] == 0.75, "is called Otilia, of: she is called Otilia"
        assert found["abstained"] == 0.0


def test_the_whole_answer_counts_beside_its_words() -> None:
    asked = Question("q", "?", ("two sons",))
    assert grade(asked, "They have two sons.") == {"rouge_l": 1.0, "holds_answer": 1.0, "abstained": 0.0}
    assert grade(asked, "sons, two") == {"rouge_l": 0.5, "holds_answer": 0.0, "abstained": 0.0}


async def test_an_opener_is_compared_with_the_persona_and_the_human(tmp_path: Path) -> None:
    task = openers_exam(write_rows(tmp_path / "msc.jsonl", ROW), make_embedder("wordllama"))
    (case,) = task.cases
    assert len(case.pieces) == 4, "the last session has not begun"
    (asked,) = case.questions
    human, same = task.grade(asked, ROW["dialog"][0]["text"]), task.grade(asked, "I keep bees.")  # type: ignore[index]  # a row of JSON
    assert human["sim_h"] == pytest.approx(1.0, abs=1e-3)
    assert same["sim_1"] == pytest.approx(1.0, abs=1e-3)
    assert same["sim_1"] > same["sim_3"]
    assert task.grade(asked, "Stocks fell.")["sim_h"] < 0.5
    report = await sit(task, Memory.PAGEFAULT)
    assert report.results["memories"][Memory.PAGEFAULT]["searches_mean"] == 1.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"self_instruct": {"B": "why?"}}, "line 1, self_instruct: no field 'A'"),
        ({"self_instruct": None}, "'self_instruct' as an object"),
        ({"previous_dialogs": [{"dialog": [{}]}]}, "previous_dialogs[0], dialog[0]: no field 'text'"),
        ({"dialog": 7}, "dialog = '7'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        dmr_exam(write_rows(tmp_path / "msc.jsonl", {**ROW, **changes}))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "changes", [{"personas": []}, {"personas": [["x"], []]}, {"personas": [["x"], [1]]}, {"dialog": []}]
)
def test_openers_need_a_persona_and_a_human(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="line 1"):
        openers_exam(write_rows(tmp_path / "msc.jsonl", {**ROW, **changes}), make_embedder("hash"))
