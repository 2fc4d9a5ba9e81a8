"""The judge: one word, read as it is written."""

from __future__ import annotations

import pytest

from pagefault.cluster.worlds.exam import Question
from pagefault.cluster.worlds.judge import Judge
from pagefault.runtime.models.scripted import ScriptedProcessor
from pagefault.runtime.values import ModelRequest

ASKED = Question("q", "Which lake?", ("the blue one", "Lake Blue"))


@pytest.mark.parametrize(
    ("said", "verdict"), [("CORRECT", 1.0), ("Correct.", 1.0), ("WRONG", 0.0), ("incorrect", 0.0), ("", 0.0)]
)
async def test_verdicts(said: str, verdict: float) -> None:
    judge = Judge(ScriptedProcessor(lambda _: said or None))
    assert await judge.verdict(ASKED, "blue") == verdict
    await judge.close()


async def test_the_judge_is_shown_the_question_what_is_right_and_what_was_said() -> None:
    seen: list[ModelRequest] = []

    def look(request: ModelRequest) -> str:
        seen.append(request)
        return "WRONG"

    judge = Judge(ScriptedProcessor(look))
    await judge.verdict(ASKED, "the red one")
    await judge.verdict(Question("q", "Which sea?", ("x",), answerable=False), "")
    first, second = (request.messages[-1].text for request in seen)
    assert all(part in first for part in ("Which lake?", "the blue one\nLake Blue", "the red one"))
    assert "it cannot be known" in second
    assert "(nothing)" in second
