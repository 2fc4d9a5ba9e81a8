"""The file of answers: kept line by line, and refused when it is something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.cluster.worlds.answers import FILE_NAME, Answers
from pagefault.cluster.worlds.exam import Case, Given, Memory, Question, Task
from pagefault.runtime.errors import ConfigError, StoreUnavailable

ASKED = Question("q", "Why?", ("so",))
CASE = Case("c", (), (ASKED,))
TASK = Task("t", "T", (CASE,), lambda _question, _given: {}, (), "", "", "", ())
GIVEN = Given("full", "c", "q", "", "so \u2028 it is", {"f1": 0.5}, None, 10, 10, 1)


def test_an_answer_is_read_back_as_it_was(tmp_path: Path) -> None:
    answers = Answers(tmp_path, {"sizes": (1, 2)})
    assert not answers.has(Memory.FULL, CASE, ASKED)
    answers.add(GIVEN)
    read = Answers(tmp_path, {"sizes": [1, 2]})
    assert read.has(Memory.FULL, CASE, ASKED)
    assert read.begun(Memory.FULL, CASE)
    assert not read.begun(Memory.SUMMARY, CASE)
    assert read.all(TASK, tuple(Memory)) == [GIVEN]
    assert read.all(TASK, (Memory.SUMMARY,)) == []


def test_nothing_is_kept_without_a_folder() -> None:
    answers = Answers(None, {})
    answers.add(GIVEN)
    assert answers.all(TASK, tuple(Memory)) == [GIVEN]


@pytest.mark.parametrize("text", ["nonsense\n", '{"a": 1}\nnonsense\n', '{"a": 1}\n{"memory": 1}\n', "[]\n"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigError, match="--folder"):
        Answers(tmp_path, {"a": 1})
    assert (tmp_path / FILE_NAME).read_text() == text, "nothing of it is lost"


def test_a_file_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StoreUnavailable):
        Answers(tmp_path, {})
