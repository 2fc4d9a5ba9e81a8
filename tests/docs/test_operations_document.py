"""docs/operations.md: its commands are understood, and those that back up and restore are run, on a real fleet."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pagefault.cluster.console.main import main
from tests.docs.commands import commands_of, understand

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
VILLAGE = (ROOT / "examples" / "village.toml").read_text(encoding="utf-8").replace('kind = "cluster"', 'kind = "local"')


@pytest.mark.parametrize("words", commands_of(TEXT), ids=" ".join)
def test_the_commands_are_understood(words: list[str]) -> None:
    understand(words)


def section(title: str) -> list[list[str]]:
    return commands_of(TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0])


def test_a_fleet_is_backed_up_restored_moved_and_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "village.toml").write_text(VILLAGE.replace("days = 2", "days = 1"))
    monkeypatch.setenv("PAGEFAULT_EMBEDDER", "hash")
    start, restore = section("Start, stop, go on"), section("Back up and restore")
    run, resume = start[1], start[2]
    assert (run[1], resume[1]) == ("run", "resume")
    checked = ["pagefault", "store", "check", "--json", "--folder"]
    for words in (
        [*run, "--agents", "3", "--json"],
        resume,
        *restore,
        *([*checked, folder] for folder in ("town", "restored", "moved")),
    ):
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, (words, capsys.readouterr())
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"problems"' in line]
    assert len(found) == 3
    assert {each["agents"] for each in found} == {3}
    assert found[0] == found[1] == found[2]
    assert found[0]["problems"] == []
    assert found[0]["pages"] > 0
