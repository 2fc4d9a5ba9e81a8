"""``pagefault lab worlds``: combinations are lived, each once, and can be made traces of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.console.conftest import ROOT, Pagefault

EXAMPLE = (ROOT / "examples" / "town.toml").read_text()
TOWN = EXAMPLE.replace("agents = 300", "agents = 6").replace("days = 7", "days = 2")
GRID = 'policies = ["lru", "fifo"]\nseeds = [1, 2]\n[[world]]\nfile = "town.toml"\n'


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    (tmp_path / "town.toml").write_text(TOWN + 'embedder = "hash"\n')
    (tmp_path / "grid.toml").write_text(GRID)
    return tmp_path / "grid.toml"


def test_every_combination_is_lived_once(pagefault: Pagefault, grid: Path, tmp_path: Path) -> None:
    command = ("lab", "worlds", "grid.toml", "--out", "out", "--local", "--keep", "--json")
    found = json.loads(pagefault(*command).out)
    assert found["cells"] == 4
    assert [(row["policy"], row["seed"]) for row in found["rows"]] == [("lru", 1), ("lru", 2), ("fifo", 1), ("fifo", 2)]
    assert all(row["recall_accuracy"] == 1.0 and row["steps"] > 50 for row in found["rows"])
    hashes = [row["world_hash"] for row in found["rows"]]
    assert hashes[0] == hashes[2] != hashes[1], "what happens follows from the seed, and here nothing is forgotten"

    lines = (tmp_path / "out" / "worlds.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out" / "worlds.jsonl").write_text("".join(lines[:3]) + lines[3][:20])
    again = pagefault(*command)
    assert "3 of 4 cells are done already" in again.errors
    assert [row["world_hash"] for row in json.loads(again.out)["rows"]] == hashes

    fleet = next((tmp_path / "out" / "fleets").iterdir())
    recorded = pagefault("lab", "record", str(fleet), "--out", "traces", "--json")
    assert recorded.code == 0, recorded.errors
    assert len(list((tmp_path / "traces").glob("*.jsonl.gz"))) == 6
    assert "recall_accuracy" in pagefault("lab", "worlds", "grid.toml", "--out", "out", "--local", "--keep").out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "world"),
        ('[[world]]\nfile = "nowhere.toml"\n', "a file that exists"),
        ('policies = ["best"]\n[[world]]\nfile = "town.toml"\n', "best"),
        ('context_tokens = [12]\n[[world]]\nfile = "town.toml"\n', "context_tokens"),
        ('policies = 3\n[[world]]\nfile = "town.toml"\n', "policies"),
        ("[[world", "TOML"),
    ],
)
def test_what_cannot_be_lived_is_said_before_anything_is(
    pagefault: Pagefault, grid: Path, tmp_path: Path, text: str, said: str
) -> None:
    grid.write_text(text)
    assert said in pagefault("lab", "worlds", "grid.toml", "--out", "out", "--local").error
    assert not (tmp_path / "out").exists()


def test_a_damaged_row_is_said(pagefault: Pagefault, grid: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "worlds.jsonl").write_text('{"broken\n{"key": "x"}\n')
    assert "line 1" in pagefault("lab", "worlds", str(grid), "--out", "out", "--local").error
