import gzip
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks._families import Holds, families, held, sorted_files
from benchmarks._report import Options
from benchmarks.policies import (
    OFFLINE,
    OPTIMUM,
    OURS,
    Played,
    best_known,
    compared,
    found_in,
    intervals,
    leaderboard,
    run,
    totals,
)
from pagefault.policies.lab.measures import Measures
from pagefault.policies.lab.trace import TraceError
from pagefault.policies.registry import policy_names


def conversation(name: str, *, turns: int = 30) -> dict[str, Any]:
    """Two people, three sessions, and questions about some of the turns."""
    sessions = {
        f"session_{session}": [
            {"speaker": "Ida", "dia_id": f"D{session}:{turn}", "text": f"{name}: boat {session * turn} came in " * 3}
            for turn in range(turns)
        ]
        for session in (1, 2, 3)
    }
    asked = [
        {"question": "Which?", "answer": "That.", "evidence": [f"D{1 + number % 3}:{number}"], "category": 4}
        for number in range(0, turns, 3)
    ]
    return {"sample_id": name, "conversation": {"speaker_a": "Ida", "speaker_b": "Ole", **sessions}, "qa": asked * 2}


def episode(task: int, *, messages: int = 40) -> dict[str, Any]:
    """A reader's ticket that is told early and needed at the end, and much in between."""
    call = {"id": "c", "type": "function", "function": {"name": "renew", "arguments": f'{{"ticket": "T-{task}77"}}'}}
    chatter = [{"role": "user", "content": f"And then the {each}th heron landed. " * 9} for each in range(messages)]
    told = {"role": "user", "content": f"My ticket is T-{task}77."}
    needed = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"task_id": task, "trial": 0, "reward": 1.0, "traj": [told, *chatter, needed, *chatter[:5], needed]}


def write(path: Path, content: Any, *, packed: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content).encode()
    path.write_bytes(gzip.compress(text) if packed else text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "a.bin", [conversation("one"), conversation("two")])
    write(tmp_path / "deep" / "b.json.gz", [episode(3), episode(4), episode(5, messages=2)], packed=True)
    (tmp_path / "notes.md").write_text("[not JSON, but begins like a list]")
    (tmp_path / "noise.gz").write_bytes(b"\x1f\x8bnot gzip at all")
    write(tmp_path / "other.json", [{"question": "?", "answers": ["!"]}])
    return tmp_path


def options(data: Path) -> Options:
    return Options(quick=True, json_file=None, seed=1, data=data)


def test_files_are_known_by_what_is_in_them(folder: Path, tmp_path: Path) -> None:
    files = {path.name: holds for path, holds in sorted_files(folder).items()}
    assert files.pop("a.bin") is Holds.LOCOMO
    assert files.pop("b.json.gz") is Holds.TAU_BENCH
    assert set(files.values()) == {Holds.OTHER}
    assert len(files) == 3
    lines = tmp_path / "lines"
    lines.write_text("\n".join(json.dumps(episode(task)) for task in (1, 2)))
    assert held(lines) is Holds.TAU_BENCH
    for content in ("", "[]", "{}", "12", '"conversation"', '{"conversation": 1, "qa": []}'):
        lines.write_text(content)
        assert held(lines) is Holds.OTHER


def test_families_hold_what_overflows_and_nothing_twice(folder: Path) -> None:
    write(folder / "part.json", [conversation("two")])
    found = {each.name: each for each in families(sorted_files(folder), seeds=(1, 2), synthetic_seeds=(5,))}
    assert list(found) == ["locomo_spread", "locomo_end", "tau_bench", "shifting"]
    assert [run.unit for run in found["locomo_end"].runs] == ["locomo-one-end", "locomo-two-end"]
    assert len(found["locomo_spread"].runs) == 4
    assert [run.unit for run in found["tau_bench"].runs] == ["b-3-0", "b-4-0"], "the third fits"
    for run_ in found["locomo_end"].runs:
        assert run_.budget.capacity_tokens == run_.trace.inserted_tokens // 10
    assert {run_.budget.capacity_tokens for run_ in found["tau_bench"].runs} == {1000}


def test_a_folder_without_any_and_a_broken_file_are_named(tmp_path: Path) -> None:
    write(tmp_path / "other.json", [1, 2])
    with pytest.raises(SystemExit, match=r"1 files of other kinds, allowed: a folder with conversations of LoCoMo"):
        found_in(options(tmp_path))
    write(tmp_path / "broken.json", [conversation("one"), {"conversation": {}, "qa": []}])
    with pytest.raises(SystemExit, match=r"\[1\]\.sample_id"):
        found_in(options(tmp_path))
    with pytest.raises(TraceError):
        families(sorted_files(tmp_path), seeds=(1,), synthetic_seeds=())


def test_every_policy_has_a_row_and_none_is_above_the_optimum(folder: Path) -> None:
    found, files = found_in(options(folder))
    results = run([each for each in found if each.name != "shifting"])
    assert files["deep/b.json.gz"] == "tau-bench"
    for name, board in results["leaderboard"].items():
        assert set(board) == {*policy_names(), *OFFLINE}
        best = board[OPTIMUM]
        assert next(iter(board)) == OPTIMUM
        for row in board.values():
            assert set(row) == {"object_hit", "token_hit", "regret", "cost"}
            assert row["object_hit"] <= best["object_hit"]
            assert row["token_hit"] <= best["token_hit"] + 1e-4
            assert row["regret"] == pytest.approx(best["object_hit"] - row["object_hit"], abs=2e-4)
        known = results["best_known"][name]
        others = [row["object_hit"] for policy, row in board.items() if policy not in (OURS, *OFFLINE)]
        assert board[known]["object_hit"] == max(others)
        assert results["ours"][name]["policy"] == OURS
        assert results["units"][name] == 2
        assert results["exact"][name]
    assert results["leaderboard"]["tau_bench"]["lru"]["object_hit"] < 1.0, "there is something to lose"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "benchmarks.policies", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, check=False)


def test_the_command_prints_and_writes_one_object(folder: Path, tmp_path: Path) -> None:
    (folder / "a.bin").unlink()  # the shifting trace and episodes are enough
    file = tmp_path / "figures.json"
    done = command("--data", str(folder), "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == file.read_text().strip()
    results = json.loads(file.read_text())["results"]
    assert (
        set(results["leaderboard"]) == set(results["best_known"]) == set(results["ours"]) == {"tau_bench", "shifting"}
    )
    assert "passed over" in done.stdout
    assert "notes.md" in done.stdout


def test_the_command_wants_a_folder(folder: Path) -> None:
    done = command("--data", str(folder / "other.json"))
    assert done.returncode == 2
    assert "allowed: a folder with conversations of LoCoMo" in done.stderr


def played(unit: str, hits: Mapping[str, int], references: int = 10) -> Played:
    results = {name: Measures(references=references, hits=count, reference_tokens=20) for name, count in hits.items()}
    return Played(unit, results, best_tokens=15.0, exact=True)


def test_the_gap_is_that_of_the_pool_from_the_best_online_policy() -> None:
    rows = [
        played("one", {OURS: 6, "lru": 4, "fifo": 1, "belady": 7, "belady_size": 7, OPTIMUM: 8}),
        played("two", {OURS: 3, "lru": 2, "fifo": 4, "belady": 9, "belady_size": 9, OPTIMUM: 10}),
    ]
    found = compared(rows)
    assert found["best_known"] == best_known(totals(rows)) == "lru"
    assert found["ours"] == {"policy": OURS, "gap_closed": 0.25}
    low, high = found["intervals"]["gap_closed"]
    assert (low, high) == (0.125, 0.5), "with two units, an interval ends at the one and at the other"
    board = leaderboard(totals(rows), best_tokens=30.0)
    assert board[OPTIMUM] == {"object_hit": 0.9, "token_hit": 0.75, "regret": 0.0, "cost": 0.0}
    assert board["lru"]["regret"] == 0.6


def test_runs_of_one_conversation_are_one_unit() -> None:
    hits = {OURS: 6, "lru": 4, OPTIMUM: 8}
    assert intervals([played("one", hits), played("one", hits)], "lru") == {}
    assert intervals([played("one", hits), played("two", hits)], "lru")[OURS] == [0.6, 0.6]
