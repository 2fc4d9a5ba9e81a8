"""Exams taken: every memory is asked the same, what it took is counted, and a run that was stopped goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pagefault.cluster.worlds.dialogues import load_dialogues
from pagefault.cluster.worlds.dialogues_exam import dialogues_exam
from pagefault.cluster.worlds.exam import EXAMINER, Case, Memory, Piece, Question, Task
from pagefault.cluster.worlds.exam_mind import quoting
from pagefault.cluster.worlds.judge import Judge
from pagefault.cluster.worlds.scoring import holds_answer
from pagefault.runtime.errors import ConfigError, ModelUnavailable
from pagefault.runtime.models.scripted import Reply, ScriptedProcessor
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, ModelRequest
from tests.cluster.worlds.exams import sit
from tests.cluster.worlds.talk import QUESTIONS, TURNS, write_talk

ASKED: list[ModelRequest] = []


def counted(request: ModelRequest) -> Reply:
    """The quoting mind, every call of it kept."""
    ASKED.append(request)
    return quoting(request)


def unreachable(request: ModelRequest) -> Reply:
    asked = View(request).incoming
    if ASKED or (asked is not None and "greyhound" in asked.text):
        raise ModelUnavailable("nobody is there")
    return quoting(request)


@pytest.fixture(autouse=True)
def nobody_asked() -> None:
    ASKED.clear()


def lamps(count: int, *, filed: bool) -> Task:
    """As many documents, each about a lamp of its own, and three questions."""
    names = ("amber", "basalt", "cobalt", "damask", "ebony", "flax", "garnet", "hazel")
    pieces = tuple(
        Piece(f"d{n}", f"The {names[n % 8]} lamp {n} was made in workshop number {n * 13 + 7}.", f"lamp-{n}.txt")
        for n in range(count)
    )
    questions = tuple(
        Question(
            f"q{n}",
            f"In which workshop was the {names[n % 8]} lamp {n} made?",
            (f"number {n * 13 + 7}",),
            (f"d{n}",),
            str(count),
        )
        for n in (0, count // 2, count - 1)
    )
    return Task(
        "lamps", "Lamps", (Case(f"lamps-{count}", pieces, questions, filed),),
        lambda question, given: {"accuracy": holds_answer(given, question.answers)},
        ("accuracy",), "documents", "Answer.", "Search, then answer.",
        ("send_message", "archival_memory_search" if filed else "conversation_search"),
    )  # fmt: skip


@pytest.mark.parametrize("filed", [True, False])
async def test_what_is_far_back_is_found_by_those_who_search(filed: bool) -> None:
    report = await sit(lamps(80, filed=filed))
    found = report.results["memories"]
    assert list(found) == list(Memory)
    for memory in (Memory.PAGEFAULT, Memory.FULL, Memory.RETRIEVAL):
        assert (found[memory]["accuracy"], found[memory]["evidence_recall"]) == (1.0, 1.0), memory
    assert found[Memory.TRUNCATED]["evidence_recall"] < 1.0
    assert (
        found[Memory.FULL]["prompt_tokens_max"]
        > 900
        >= max(found[memory]["prompt_tokens_max"] for memory in Memory if memory is not Memory.FULL)
    )
    mine = found[Memory.PAGEFAULT]
    assert (mine["calls_mean"], mine["searches_mean"], mine["failed"]) == (2.0, 1.0, 0)
    assert mine["by_group"]["80"]["questions"] == 3
    assert report.failed == ""


async def test_reading_costs_no_call_of_the_model(tmp_path: Path) -> None:
    task = dialogues_exam(load_dialogues(write_talk(tmp_path)))
    report = await sit(task, Memory.PAGEFAULT, model=f"scripted:{__name__}:counted")
    assert len(ASKED) == 2 * len(QUESTIONS), "a search and an answer for each question"
    assert all(any(f" {EXAMINER}]" in each.text for each in request.messages) for request in ASKED)
    assert report.results["pieces"] == len(TURNS)


async def test_a_run_that_was_stopped_asks_only_what_is_left(tmp_path: Path) -> None:
    task = lamps(30, filed=False)
    whole = await sit(task, folder=tmp_path / "whole", model=f"scripted:{__name__}:counted")
    asked = len(ASKED)
    again = await sit(task, folder=tmp_path / "whole", model=f"scripted:{__name__}:counted")
    assert len(ASKED) == asked
    assert again.results == whole.results
    lines = (tmp_path / "whole" / "answers.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "whole" / "answers.jsonl").write_text("".join(lines[:-2]) + lines[-2][:20])
    ASKED.clear()
    after = await sit(task, folder=tmp_path / "whole", model=f"scripted:{__name__}:counted")
    lost = [json.loads(line) for line in lines[-2:]]
    assert len(ASKED) == sum(each["calls"] for each in lost), "one that was lost, and one that was cut off"
    for memory, found in after.results["memories"].items():
        before = whole.results["memories"][memory]
        assert (found["questions"], found["accuracy"]) == (before["questions"], before["accuracy"])


async def test_a_model_that_fails_costs_its_question_and_is_asked_again(tmp_path: Path) -> None:
    task = dialogues_exam(load_dialogues(write_talk(tmp_path)))
    report = await sit(
        task, Memory.FULL, Memory.PAGEFAULT, folder=tmp_path / "x", model=f"scripted:{__name__}:unreachable"
    )
    for memory in (Memory.FULL, Memory.PAGEFAULT):
        assert report.results["memories"][memory]["failed"] == 1
    assert report.failed == "", "less than half"
    kept = [json.loads(line) for line in (tmp_path / "x" / "answers.jsonl").read_text().splitlines()[1:]]
    assert {each["question"] for each in kept if each["problem"]} == {"question-1"}
    mended = await sit(task, Memory.FULL, Memory.PAGEFAULT, folder=tmp_path / "x")
    assert [each["failed"] for each in mended.results["memories"].values()] == [0, 0]
    ASKED.append(ModelRequest(AgentId("nobody"), (), (), 0, 0))  # from now on nobody is there at all
    failed = await sit(task, model=f"scripted:{__name__}:unreachable")
    assert "questions failed; the first: dialogue-lake" in failed.failed


async def test_a_judge_marks_every_answer(tmp_path: Path) -> None:
    judge = Judge(
        ScriptedProcessor(
            lambda request: (
                "CORRECT" if "workshop number 7." in request.messages[-1].text.split("Student")[1] else "WRONG"
            )
        )
    )
    report = await sit(lamps(9, filed=False), Memory.FULL, judge=judge)
    assert report.results["measures"] == ["accuracy", "judged"]
    assert report.results["memories"][Memory.FULL]["judged"] == pytest.approx(1 / 3, abs=1e-3)


async def test_answers_of_another_exam_are_refused(tmp_path: Path) -> None:
    task = lamps(3, filed=False)
    await sit(task, Memory.FULL, folder=tmp_path, terms={"task": "lamps", "context_tokens": 900})
    with pytest.raises(ConfigError, match="the same context_tokens: 900, not 800"):
        await sit(task, Memory.FULL, folder=tmp_path, terms={"task": "lamps", "context_tokens": 800})
