"""The table of faults names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def test_every_row_of_the_matrix_is_there() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)] == list(range(1, 29))


def test_every_test_and_benchmark_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 25
    for file, test in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"
    for name in re.findall(r"benchmarks\.(\w+)", TEXT):
        assert (ROOT / "benchmarks" / f"{name}.py").exists() or name == "simulator", name
