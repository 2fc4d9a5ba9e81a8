from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.files import write_trace
from pagefault.policies.lab.grid import Cell, cells, make_grid
from pagefault.policies.lab.makers.synthetic import sized_zipf
from pagefault.policies.lab.sweep import SweepFolder, run_cell, run_cell_json, traces_of, uses_of


def grid_of(tmp_path: Path, **more: Any) -> list[Cell]:
    trace = {"kind": "sized_zipf", "options": {"pages": 40, "accesses": 200}}
    tables = {"policies": ["lru", "belady", "random"], "budgets": [0.2], "trace": [trace], **more}
    return list(cells(make_grid(tables), tmp_path))


def test_no_policy_beats_the_optimum_and_the_future_helps(tmp_path: Path) -> None:
    found = {cell.label: run_cell(cell)[0] for cell in grid_of(tmp_path)}
    optimum = found["optimum"]
    assert optimum["exact"]
    for label in ("lru", "random", "belady"):
        row = found[label]
        assert row["references"] == optimum["references"]
        assert row["object_hit_ratio"] <= optimum["object_hit_ratio"]
        assert row["token_hit_ratio"] <= optimum["token_hit_ratio"]
        assert row["memory_cost"] >= optimum["memory_cost"]
        assert row["capacity_tokens"] == int(0.2 * traces_of(grid_of(tmp_path)[0])[0].inserted_tokens)
    assert found["belady"]["object_hit_ratio"] > found["lru"]["object_hit_ratio"] > found["random"]["object_hit_ratio"]


def test_seeds_reach_traces_and_chance(tmp_path: Path) -> None:
    rows = [run_cell(cell)[0] for cell in grid_of(tmp_path, policies=["random"], seeds=[1, 2], optimum=False)]
    assert rows[0]["trace"] != rows[1]["trace"]
    again = [run_cell(cell)[0] for cell in grid_of(tmp_path, policies=["random"], seeds=[1, 2], optimum=False)]
    hits = [[row["hits"] for row in made] for made in (rows, again)]
    assert hits[0] == hits[1]


def test_a_budget_in_tokens_leaves_out_what_fits_whole(tmp_path: Path) -> None:
    [cell] = grid_of(tmp_path, policies=["lru"], optimum=False, budgets=[10_000_000])
    assert run_cell(cell) == []
    [cell] = grid_of(tmp_path, policies=["lru"], optimum=False, budgets=[300])
    assert run_cell(cell)[0]["capacity_tokens"] == 300


def test_write_backs_and_files_work_as_in_a_replay(tmp_path: Path) -> None:
    write_trace(sized_zipf(pages=30, accesses=200, seed=4), tmp_path / "t.jsonl")
    made = grid_of(
        tmp_path,
        policies=["fifo"],
        write_backs=["none", "handle", "summarize"],
        optimum=False,
        trace=[{"kind": "file", "path": "t.jsonl"}],
        budgets=[0.3],
    )
    rows = [run_cell(cell)[0] for cell in made]
    assert [row["write_back"] for row in rows] == ["none", "handle", "summarize"]
    assert rows[2]["summariser_calls"] > 0 == rows[0]["summariser_calls"]
    assert json.loads(run_cell_json(made[0].to_json()))[0]["hits"] == rows[0]["hits"]


def test_options_that_a_maker_does_not_take_are_named(tmp_path: Path) -> None:
    [cell] = grid_of(
        tmp_path, policies=["lru"], optimum=False, trace=[{"kind": "zipf", "options": {"pages": 3, "size": 1}}]
    )
    with pytest.raises(PolicyError, match=r"trace\.options: .*'zipf' takes"):
        run_cell(cell)


def test_the_future_of_a_trace_is_all_its_uses() -> None:
    trace = sized_zipf(pages=10, accesses=50, seed=1)
    uses = uses_of(trace)
    assert sum(map(len, uses.values())) == 50
    assert all(trace.pages[trace.events.page[events[0]]].id == page_id for page_id, events in uses.items() if events)


def test_what_is_finished_is_not_done_again_even_after_a_torn_write(tmp_path: Path) -> None:
    wanted = grid_of(tmp_path)
    folder = SweepFolder(tmp_path / "out")
    assert folder.missing(wanted) == wanted
    for cell in wanted[:2]:
        folder.finish(cell, run_cell(cell))
    log = tmp_path / "out" / "cells.jsonl"
    with log.open("a") as file:
        file.write('{"cell": "cut off in the mid')
    folder = SweepFolder(tmp_path / "out")
    assert folder.missing(wanted) == wanted[2:]
    for cell in folder.missing(wanted):
        folder.finish(cell, run_cell(cell))
    folder = SweepFolder(tmp_path / "out")
    assert folder.missing(wanted) == []
    frame = pl.read_parquet(folder.write_results(wanted))
    assert frame["policy"].to_list() == ["lru", "belady", "random", "optimum"]
    assert frame.filter(pl.col("policy") == "optimum")["evictions"].to_list() == [None]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "cells.jsonl").write_text('{"rows": []}\n')
    with pytest.raises(PolicyError, match=r"cells\.jsonl:1"):
        SweepFolder(tmp_path)
