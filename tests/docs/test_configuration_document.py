"""docs/configuration.md has the table of the code, and commands that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pagefault.cluster.console.config import markdown
from pagefault.cluster.console.configuration import read_file
from tests.docs.commands import commands_of, understand

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_code() -> None:
    found = TEXT.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert found == markdown(), "write it anew with: pagefault config table"


def test_the_example_is_right(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "pagefault.toml"
    file.write_text(example)
    assert read_file(file)["ui.port"] == 9000


@pytest.mark.parametrize("words", commands_of(TEXT), ids=" ".join)
def test_the_commands_are_understood(words: list[str]) -> None:
    understand(words)


def test_there_are_commands() -> None:
    assert len(commands_of(TEXT)) == 5
