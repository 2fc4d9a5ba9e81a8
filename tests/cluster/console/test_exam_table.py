"""The table of an exam: rows are memories, and what is not measured is a dash."""

from __future__ import annotations

import json

import pytest

from pagefault.cluster.console.exam_table import show_exam
from pagefault.cluster.worlds.contract import Report

TOOK = {"calls_mean": 2.0, "searches_mean": 1.0, "prompt_tokens_mean": 1234.0, "prompt_tokens_max": 3584, "failed": 0}
FOUND = {"f1": 0.25, "evidence_recall": None, **TOOK}
GROUPS = {"9": {"f1": 0.5, "evidence_recall": 1.0}, "10": {"f1": None, "evidence_recall": 0.125}}
RESULTS = {
    "task": "t", "by": "size", "measures": ["f1"], "questions": 3, "context_tokens": 4096, "model": "m",
    "memories": {"pagefault": {**FOUND, "by_group": GROUPS}, "full": {**FOUND, "by_group": {}}},
}  # fmt: skip


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show_exam(Report("Sums", RESULTS, ()), as_json=False)
    shown = capsys.readouterr().out
    assert "Sums: 3 questions, 4,096 tokens of context, m" in shown
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]
    assert rows == [
        ["pagefault", "0.250", "-", "1,234", "3,584", "2.00", "1.00", "0"],
        ["full", "0.250", "-", "1,234", "3,584", "2.00", "1.00", "0"],
        ["pagefault", "0.500", "-"],
        ["full", "-", "-"],
        ["pagefault", "1.000", "0.125"],
        ["full", "-", "-"],
    ]


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_exam(Report("Sums", RESULTS, ()), as_json=True)
    assert json.loads(capsys.readouterr().out) == RESULTS
