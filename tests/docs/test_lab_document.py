"""What docs/lab.md shows is run, read and held to its word."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from pagefault.cluster.console.lab_worlds import read_world_grid, world_cells
from pagefault.policies.lab.files import read_trace
from pagefault.policies.lab.grid import cells, make_grid
from pagefault.policies.lab.measures import Measures
from pagefault.policies.lab.sweep import run_cell
from pagefault.policies.lab.trace import Op, Source
from pagefault.policies.tiers import tier_chain

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "lab.md").read_text()
FENCES = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [body for fence, body in FENCES.findall(TEXT) if fence == language]


def test_the_first_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    exec(compile(example, "docs/lab.md", "exec"), {})  # noqa: S102 - our own document
    ratios = [tuple(map(float, re.findall(r"0\.\d+", line))) for line in capsys.readouterr().out.splitlines()]
    assert len(ratios) == 2
    assert all(0 < ratio < 1 for row in ratios for ratio in row)


def test_the_lines_of_json_are_a_trace(tmp_path: Path) -> None:
    (lines,) = blocks("json")
    path = tmp_path / "shown.jsonl"
    path.write_text(lines)
    trace = read_trace(path)
    assert [page.id for page in trace.pages] == ["p1", "p2"]
    assert trace.events.op.tolist() == [Op.INSERT, Op.CHECK, Op.INSERT, Op.PIN, Op.REFERENCE]


def test_every_operation_and_source_is_explained() -> None:
    missing = [each for each in (*Source, *(op.name.lower() for op in Op)) if f"`{each}`" not in TEXT]
    assert not missing


def test_the_tables_of_toml_are_tiers_a_grid_and_a_grid_of_worlds(tmp_path: Path) -> None:
    tiers, grid, worlds = map(tomllib.loads, blocks("toml"))
    assert [tier.name for tier in tier_chain(tiers["tier"])] == ["host", "archive"]
    made = list(cells(make_grid(grid), tmp_path))
    assert len(made) == 2 * 5 * (3 * 2 + 1)
    assert run_cell(made[0])[0]["references"] > 0
    (tmp_path / "worlds.toml").write_text(blocks("toml")[2])
    lives = list(world_cells(read_world_grid(tmp_path / "worlds.toml"), ROOT, None))
    assert len(lives) == 2 * 2 * 2
    assert {life.world for life in lives} == {each["name"] for each in worlds["world"]}


def test_every_measure_in_the_table_exists() -> None:
    table = TEXT[TEXT.index("| measure |") : TEXT.index("*The prefix cache.*")]
    rows = [row for row in table.splitlines()[2:] if row]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named
    assert not named - set(Measures().to_row())
    assert {each.name for each in fields(Measures)} <= set(Measures().to_row())
