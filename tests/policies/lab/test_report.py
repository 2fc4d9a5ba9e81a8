from __future__ import annotations

import re
from pathlib import Path

import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.figures import life_events
from pagefault.policies.lab.grid import cells, make_grid
from pagefault.policies.lab.report import leaderboard, read_results, write_report
from pagefault.policies.lab.sweep import SweepFolder, play, run_cell, traces_of

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two budgets and three policies, with a name that HTML must escape."""
    out = tmp_path_factory.mktemp("swept")
    trace = {"kind": "sized_zipf", "label": "<zipf & co>", "options": {"pages": 40, "accesses": 200}}
    grid = make_grid(
        {
            "policies": ["lru", "lfu", "belady"],
            "write_backs": ["none", "handle"],
            "budgets": [0.1, 0.3],
            "trace": [trace],
        }
    )
    wanted = list(cells(grid, out))
    folder = SweepFolder(out)
    for cell in wanted:
        folder.finish(cell, run_cell(cell))
    folder.write_results(wanted)
    return out


def test_the_optimum_stands_first_and_nobody_is_above_it(swept: Path) -> None:
    rows = [row for row in read_results(swept) if row["budget"] == 0.1]
    board = leaderboard(rows)
    assert board[0].policy == "optimum"
    assert [each.object_hit for each in board[1:]] == sorted((each.object_hit for each in board[1:]), reverse=True)
    assert all(each.object_hit <= board[0].object_hit and each.low <= each.object_hit <= each.high for each in board)
    best = next(each for each in board if each.is_online)
    assert best.gap_closed == 0.0, "the best known closes nothing of the gap above itself"
    assert best.regret == pytest.approx(board[0].object_hit - best.object_hit)
    assert all(each.gap_closed is None for each in board if not each.is_online)
    assert all(each.gap_closed <= 0 for each in board if each.gap_closed is not None)


def test_without_an_optimum_there_is_no_regret(swept: Path) -> None:
    board = leaderboard([row for row in read_results(swept) if row["policy"] != "optimum"])
    assert {each.regret for each in board} == {None}


def test_the_report_is_one_page_that_needs_nothing_else(swept: Path) -> None:
    file = write_report(swept, read_results(swept), SweepFolder(swept).cells())
    page = file.read_text(encoding="utf-8")
    assert "<zipf & co>" not in page
    assert "&lt;zipf &amp; co&gt;" in page
    assert page.count("<h3>Budget") == 2
    assert page.count('<tr class="optimum">') == 2
    assert page.count('<tr class="best">') == 2
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page), "nothing is fetched from anywhere"
    names = {picture.name for picture in (swept / "figures").glob("*.png")}
    assert {"-zipf---co--curves.png", "-zipf---co--life.png", "-zipf---co--residency-lru.png"} <= names
    assert all(picture.read_bytes().startswith(PNG) for picture in (swept / "figures").iterdir())


def test_a_pages_life_is_told_in_order(swept: Path) -> None:
    cell = next(cell for cell in SweepFolder(swept).cells() if (cell.label, cell.budget) == ("lru", 0.1))
    trace = traces_of(cell)[0]
    ran = play(cell, trace)
    page = int(trace.events.page[trace.is_reference & ~ran.hit][0])
    life = life_events(ran, page)
    assert life[0]["what"] == "inserted"
    told = [each["what"] for each in life]
    assert "evicted" in told
    fault = told.index("needed: a fault")
    assert told[fault + 1] == "paged in after a fault"
    assert [each["event"] for each in life] == sorted(each["event"] for each in life)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"FOLDER: .*results\.parquet"):
        read_results(tmp_path)
