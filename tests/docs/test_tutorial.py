"""The tutorial is followed from its first line to its last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pagefault.runtime.testing.fake_openai import Answer, FakeOpenAI
from tests.docs.walk import ROOT, Command, make_tools, steps, type_in

TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
CHAPTERS = re.split(r"^## ", TEXT, flags=re.MULTILINE)
SHORT = ("1.", "3.", "4.", "5.", "10.")
"""What takes seconds; with all others it takes minutes, as whoever follows it does."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_whole", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_it_can_be_followed(tmp_path: Path, is_whole: bool) -> None:
    tools, folder = make_tools(tmp_path / "tools"), tmp_path / "reader"
    folder.mkdir()
    assert len(CHAPTERS) == 11
    found = [step for chapter in CHAPTERS for step in steps(chapter) if is_whole or chapter.startswith(SHORT)]
    assert sum(isinstance(step, Command) for step in found) > (15 if is_whole else 4)
    with FakeOpenAI(respond=lambda _: Answer("Good day.")) as server:
        for step in found:
            if not isinstance(step, Command):
                (folder / step[0]).write_text(step[1])
                continue
            line = step.line.replace("URL", server.base_url).replace("MODEL", "any-model")
            if line.startswith("pagefault chat"):
                line = f"echo hello | {line}"
            if line.startswith("pagefault doctor"):
                line = f"{line} || true"  # this server can only talk, and the doctor says so
            type_in(Command(line, step.expected), folder, tools)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_how_tos_can_be_followed(tmp_path: Path, page: Path) -> None:
    tools, folder = make_tools(tmp_path / "tools"), tmp_path / "reader"
    folder.mkdir()
    for step in steps(page.read_text(encoding="utf-8")):
        if isinstance(step, Command):
            type_in(step, folder, tools)
        else:
            (folder / step[0]).write_text(step[1])
