"""``pagefault lab`` as people and scripts call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pagefault.policies.lab.files import write_trace
from pagefault.policies.lab.makers.synthetic import sized_zipf
from tests.cluster.console.conftest import VILLAGE, Pagefault

GRID = """
policies = ["lru", "arc"]
budgets = [0.1, 0.3]
[[trace]]
kind = "sized_zipf"
options = { pages = 30, accesses = 150 }
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.jsonl"
    write_trace(sized_zipf(pages=60, accesses=500, seed=3), file)
    return file


def test_policies_are_listed_with_what_they_need(pagefault: Pagefault) -> None:
    ended = pagefault("lab", "policies", "--json")
    rows = {(row["kind"], row["name"]): row for row in json.loads(ended.out)}
    assert rows["eviction", "gdsf"]["capabilities"] == ["size-aware"]
    assert "first out" in rows["eviction", "fifo"]["rule"]
    assert {kind for kind, _ in rows} == {"eviction", "write-back", "fetch", "scorer", "consolidation"}
    assert "wtinylfu" in pagefault("lab", "policies").out


def test_a_trace_is_played(pagefault: Pagefault, trace: Path, tmp_path: Path) -> None:
    ended = pagefault("lab", "replay", str(trace), "--policy", "lru_k", "--option", "k=3", "--budget", "0.2", "--json")
    assert ended.code == 0, ended.errors
    found = json.loads(ended.out)
    assert 0 < found["object_hit_ratio"] < 1
    assert found["faults"] == found["references"] - found["hits"]
    tiers = tmp_path / "tiers.toml"
    tiers.write_text('[[tier]]\nname = "host"\ncapacity_tokens = 500\n')
    ended = pagefault("lab", "replay", str(trace), "--budget", "300", "--tiers", str(tiers), "--json")
    host, archive = json.loads(ended.out)["tiers"]
    assert host["hits"] + archive["hits"] == json.loads(ended.out)["faults"]
    assert "object_hit_ratio" in pagefault("lab", "replay", str(trace), "--tiers", str(tiers)).out


def test_a_run_is_recorded_and_played_again(pagefault: Pagefault, tmp_path: Path) -> None:
    file, fleet, out = tmp_path / "village.toml", tmp_path / "fleet", tmp_path / "traces"
    file.write_text(VILLAGE)
    ran = pagefault("run", str(file), "--agents", "6", "--folder", str(fleet), "--context-tokens", "1200", "--json")
    assert ran.code == 0, ran.errors
    ended = pagefault("lab", "record", str(fleet), "--out", str(out), "--json")
    assert ended.code == 0, ended.errors
    rows = json.loads(ended.out)
    assert len(rows) == 6
    assert sum(row["evictions"] for row in rows) == json.loads(ran.out)["evictions"] > 0
    most = max(rows, key=lambda row: row["evictions"])
    ended = pagefault("lab", "replay", str(out / most["file"]), "--policy", most["policy"], "--json")
    assert json.loads(ended.out)["evictions"] == most["evictions"]
    assert json.loads(ended.out)["capacity_tokens"] == most["capacity_tokens"]
    assert (
        "begins with 'nobody'" in pagefault("lab", "record", str(fleet), "--out", str(out), "--agents", "nobody").errors
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lab", "replay", "none.jsonl"), "a file that exists"),
        (("lab", "replay", "{trace}", "--policy", "best"), "found 'best'"),
        (("lab", "replay", "{trace}", "--budget", "-1"), "--budget"),
        (("lab", "replay", "{trace}", "--option", "k"), "name=value"),
        (("lab", "replay", "{trace}", "--policy", "lru_k", "--option", "k=0"), "lru_k.k"),
        (("lab", "sweep", "none.toml", "--out", "{out}"), "a file that exists"),
        (("lab", "report", "{out}"), "results"),
        (("lab", "record", "{out}", "--out", "{out}"), "holds no journal"),
    ],
)
def test_what_is_wrong_is_one_line(
    pagefault: Pagefault, trace: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = [each.format(trace=trace, out=tmp_path / "out") for each in arguments]
    ended = pagefault(*given)
    assert ended.code != 0
    assert said in ended.errors
    assert "Traceback" not in ended.errors
    assert len(ended.errors.strip().splitlines()) == 1


def test_a_sweep_goes_on_from_what_is_there(pagefault: Pagefault, tmp_path: Path) -> None:
    grid, out = tmp_path / "grid.toml", tmp_path / "out"
    grid.write_text(GRID)
    ended = pagefault("lab", "sweep", str(grid), "--out", str(out), "--local", "--json")
    assert ended.code == 0, ended.errors
    report = json.loads(ended.out)
    assert (report["cells"], report["rows"]) == (6, 6)
    assert Path(report["results"]).exists()
    grid.write_text(GRID.replace('"arc"', '"arc", "sieve"'))
    ended = pagefault("lab", "sweep", str(grid), "--out", str(out), "--local")
    assert "6 of 8 cells are done already" in ended.errors
    lines = [line for line in ended.out.splitlines() if "sized_zipf" in line]
    assert len(lines) == 8
    assert "optimum" in lines[0], "the optimum stands first"


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_is_spread_over_ray(pagefault: Pagefault, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID)
    results = []
    for place, where in (("near", ["--local"]), ("far", ["--cpus", "2"])):
        ended = pagefault("lab", "sweep", str(grid), "--out", str(tmp_path / place), "--json", *where)
        assert ended.code == 0, ended.errors
        lines = [json.loads(line) for line in (tmp_path / place / "cells.jsonl").read_text().splitlines()]
        results.append(
            {
                json.dumps(line["cell"], sort_keys=True): [row["object_hit_ratio"] for row in line["rows"]]
                for line in lines
            }
        )
    assert results[0] == results[1]
