from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.grid import OPTIMUM, Cell, cells, make_grid, read_grid

ZIPF = {"kind": "zipf", "options": {"pages": 50, "accesses": 400}}


def test_a_grid_is_every_combination_and_the_optimum_once_a_budget(tmp_path: Path) -> None:
    grid = make_grid(
        {
            "policies": ["lru", {"name": "lru_k", "options": {"k": 3}, "label": "lru-3"}, "belady"],
            "write_backs": ["none", "handle"],
            "budgets": [0.1, 20],
            "seeds": [1, 2],
            "trace": [ZIPF, {"kind": "shifting"}],
        }
    )
    made = list(cells(grid, tmp_path))
    assert len(made) == 2 * 2 * 2 * (3 * 2 + 1)
    assert {cell.family for cell in made} == {"zipf", "shifting"}
    assert sum(cell.policy == OPTIMUM for cell in made) == 8
    labelled = next(cell for cell in made if cell.label == "lru-3")
    assert (labelled.policy, labelled.options) == ("lru_k", (("k", 3),))
    assert len({cell.key for cell in made}) == len(made)
    assert Cell.from_json(labelled.to_json()) == labelled
    assert Cell.from_json(labelled.to_json()).key == labelled.key


def test_all_policies_are_the_default() -> None:
    labels = [table.label for table in make_grid({"trace": [ZIPF]}).tables()]
    assert {"lru", "arc", "belady", "belady_size"} <= set(labels)


def test_another_content_of_a_file_is_another_cell(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    grid = make_grid({"policies": ["lru"], "budgets": [0.5], "trace": [{"kind": "file", "path": "trace.jsonl"}]})
    keys = []
    for content in ("one", "two", "one"):
        file.write_text(content)
        keys.append(next(cells(grid, tmp_path)).key)
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("tables", "field"),
    [
        ({}, "trace"),
        ({"trace": []}, "trace"),
        ({"trace": [{"kind": "video"}]}, "trace.0.kind"),
        ({"trace": [ZIPF], "budget": [1]}, "budget"),
        ({"trace": [ZIPF], "budgets": [0]}, "budgets.0"),
        ({"trace": [ZIPF], "policies": ["best"]}, "eviction"),
        ({"trace": [ZIPF], "policies": [{"name": "lru", "options": {"k": 2}}]}, "lru.k"),
        ({"trace": [ZIPF], "policies": ["lru", "lru"]}, "policies.label"),
        ({"trace": [ZIPF], "policies": [{"name": "lru", "label": "optimum"}]}, "policies.label"),
        ({"trace": [ZIPF], "write_backs": ["burn"]}, "write_back"),
        ({"trace": [ZIPF], "fetch": "all"}, "fetch"),
        ({"trace": [ZIPF, ZIPF]}, "trace.label"),
    ],
)
def test_a_wrong_grid_says_where(tables: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        make_grid(tables)
    assert caught.value.field in (field, field.replace("lru.", "eviction."))


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="a file that exists"):
        read_grid(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("policies = [")
    with pytest.raises(PolicyError, match="valid TOML"):
        read_grid(tmp_path / "bad.toml")
    grid = make_grid({"policies": ["lru"], "trace": [{"kind": "locomo", "path": "none.json"}]})
    with pytest.raises(PolicyError, match=r"trace\.path: .*none\.json"):
        list(cells(grid, tmp_path))
    with pytest.raises(PolicyError, match=r"trace\.path"):
        list(cells(make_grid({"policies": ["lru"], "trace": [{"kind": "chat"}]}), tmp_path))
