"""A small exam, and what takes it, for the tests of those that put exams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pagefault.cluster.worlds.answers import Answers
from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.exam import Memory, Sitting, Task
from pagefault.cluster.worlds.examiner import Exam
from pagefault.cluster.worlds.judge import Judge
from pagefault.runtime.host.local import Local

QUOTING = "scripted:pagefault.cluster.worlds.exam_mind:quoting"
TEMPLATE: Mapping[str, Any] = {
    "model": QUOTING,
    "context_tokens": 900,
    "reply_tokens": 100,
    "write_back": "archive",
    "search_results": 3,
}
ROW = {
    "personas": [["I bake bread."], ["I keep bees.", "I have two sons.", "I live by the sea.", "I hate rain."]],
    "previous_dialogs": [
        {"dialog": [{"text": "Hello, I bake bread."}, {"text": "I keep bees, and live by the sea."}]},
        {"dialog": [{"text": "How are the bees?"}, {"text": "The queen of the bees is called Otilia."}]},
    ],
    "dialog": [{"text": "Did the bees survive the winter by the sea?"}, {"text": "They did."}],
    "self_instruct": {"B": "What is the queen of the bees called?", "A": "She is called Otilia."},
}


class Counted:
    total = done = 0

    def begin(self, what: str, total: int) -> None:
        self.total = total

    def advance(self, count: int = 1) -> None:
        self.done += count


def write_rows(path: Path, *rows: Mapping[str, Any]) -> Path:
    """A file of MSC-Self-Instruct's shape."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def sit(
    task: Task,
    *memories: Memory,
    folder: Path | None = None,
    judge: Judge | None = None,
    terms: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Report:
    """Take an exam; with a folder it goes on where an earlier one stopped."""
    sitting = Sitting(memories or tuple(Memory), {**TEMPLATE, **changes}, "hash", at_once=4)
    exam = Exam(task, sitting, Answers(folder, dict(terms or {"task": task.name})), judge)
    progress = Counted()
    async with Local(None if folder is None else folder / "fleet", embedder="hash") as fleet:
        refs = await fleet.spawn_many(exam.agents(sitting.template))
        report = await exam.run(fleet, refs, progress)
    assert progress.done == progress.total
    return report
