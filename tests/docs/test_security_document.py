"""docs/security.md names only tests that are there, and every risk of the list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ASI")]


def test_every_risk_has_a_control_a_test_and_a_limit() -> None:
    assert [row[2:7] for row in ROWS] == [f"ASI{number:02d}" for number in range(1, 11)]
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4
        assert all(cells), row
        assert "test" in cells[2], row


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tests/[a-z_/]+\.py", TEXT))))
def test_the_tests_it_names_are_there(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_[a-z_]+)`", TEXT))))
def test_the_functions_it_names_are_there(name: str) -> None:
    assert any(f"def {name}(" in file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
