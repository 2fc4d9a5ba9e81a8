from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pagefault.cluster.console.configuration import SETTINGS
from tests.cluster.console.conftest import Pagefault


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in SETTINGS:
        monkeypatch.delenv(each.environment, raising=False)


def test_it_says_what_each_is_and_where_that_was_said_but_no_secret(
    pagefault: Pagefault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pagefault.toml").write_text(
        '[fleet]\njournal = "postgresql://ann:swordfish-9000@db/agents"\n[ui]\nport = 9000\n'
    )
    monkeypatch.setenv("PAGEFAULT_UI_TOKEN", "swordfish-9001")
    monkeypatch.setenv("PAGEFAULT_ARCHIVE", "http://db:6333?password=swordfish-9002")
    monkeypatch.setenv("PAGEFAULT_JOURNALL", "x")
    as_json, as_table = pagefault("config", "show", "--json"), pagefault("config", "show")
    assert as_json.code == as_table.code == 0
    assert "swordfish" not in as_json.out + as_table.out
    found = json.loads(as_json.out)
    rows = {row["key"]: row for row in found["settings"]}
    assert (rows["ui.port"]["value"], rows["ui.port"]["where"]) == (9000, "pagefault.toml: ui.port")
    assert (rows["ui.token"]["value"], rows["ui.token"]["source"]) == ("[secret]", "environment")
    assert rows["fleet.journal"]["value"] == "postgresql://[secret]@db/agents"
    assert rows["fleet.embedder"]["source"] == "default"
    assert found["unknown"] == {"PAGEFAULT_JOURNALL": "known keys only; did you mean PAGEFAULT_JOURNAL?"}
    assert "PAGEFAULT_JOURNALL means nothing" in as_table.out


def test_a_file_is_checked_of_either_kind(pagefault: Pagefault, tmp_path: Path, village: Callable[..., str]) -> None:
    (tmp_path / "mine.toml").write_text("[fleet]\nhosts = 2\n")
    assert json.loads(pagefault("config", "check", "mine.toml", "--json").out)["kind"] == "settings"
    assert pagefault("config", "check", village()).out.endswith("a run of village, right\n")
    (tmp_path / "mine.toml").write_text("[fleet]\nhost = 2\n")
    assert "did you mean hosts?" in pagefault("config", "check", "mine.toml").error
    assert pagefault("config", "check", "absent.toml").code == 2


def test_a_setting_is_the_default_of_every_command_and_an_argument_wins(
    pagefault: Pagefault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "else.toml").write_text('[fleet]\nfolder = "from-file"\n')
    assert f"{tmp_path}/from-file" in pagefault("--config", "else.toml", "store", "check").error
    monkeypatch.setenv("PAGEFAULT_FOLDER", "from-environment")
    assert "from-environment" in pagefault("--config", "else.toml", "store", "check").error
    assert "from-argument" in pagefault("store", "check", "--folder", "from-argument").error
    assert "from-argument" in pagefault("ui", "--folder", "from-argument").error
    assert "from-argument" in pagefault("ui", "from-argument").error


def test_a_run_has_its_own_file_between_ours_and_the_environment(
    pagefault: Pagefault, tmp_path: Path, village: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pagefault.toml").write_text('[fleet]\nfolder = "from-file"\nembedder = "hash"\nidle_s = 9.5\n')
    run = village('kind = "local"', 'kind = "local"\nidle_s = 4.5')
    monkeypatch.setenv("PAGEFAULT_EMBEDDER", "hash-32")
    assert pagefault("run", run, "--agents", "2", "--json").code == 0
    fleet = json.loads((tmp_path / "from-file" / "run.json").read_text())["plan"]["fleet"]
    assert (fleet["embedder"], fleet["idle_s"]) == ("hash-32", 4.5)


def test_a_file_that_is_wrong_stops_every_command_but_those_that_tell(pagefault: Pagefault, tmp_path: Path) -> None:
    (tmp_path / "pagefault.toml").write_text("[fleet]\nfolders = 'x'\n")
    assert "did you mean folder?" in pagefault("version").error
    assert "did you mean folder?" in pagefault("config", "show").error
    assert pagefault("config", "table").code == 0
