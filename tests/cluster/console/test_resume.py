"""What is kept of a run: read as it was written, for its owner only, and clear errors for what it is not."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pagefault.cluster.console.plan import Plan
from pagefault.cluster.console.resume import FILE_NAME, RunRecord, keep_run, read_run
from pagefault.runtime.errors import ConfigError, StoreUnavailable
from tests.cluster.console.conftest import Pagefault

RECORD = RunRecord(plan=Plan(world="village", agents=3), base="/somewhere", data=None, template={"policy": "lru"})


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    keep_run(tmp_path / "new", RECORD)
    assert read_run(tmp_path / "new") == RECORD
    assert stat.S_IMODE((tmp_path / "new" / FILE_NAME).stat().st_mode) == 0o600
    assert [file.name for file in (tmp_path / "new").iterdir()] == [FILE_NAME]


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        keep_run(tmp_path / "file", RECORD)
    with pytest.raises(ConfigError, match=r"FOLDER: found .*, allowed: the folder of a run"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 2}, "version"),
        ({"plan": {"world": "moon"}}, r"plan\.world"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_another_release_or_a_wrong_field_is_named(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({**json.loads(RECORD.model_dump_json()), **change}))
    with pytest.raises(ConfigError, match=problem):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigError):
        read_run(tmp_path)


def test_a_folder_without_a_run_is_an_error_in_one_line(pagefault: Pagefault, tmp_path: Path) -> None:
    ended = pagefault("resume", "nowhere")
    assert ended.code == 2
    assert "run.json" in ended.error
    assert not (tmp_path / "nowhere").exists()
