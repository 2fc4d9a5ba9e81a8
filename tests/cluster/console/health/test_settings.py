from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.cluster.console.health.contract import Asked
from pagefault.cluster.console.health.settings import settings


def test_the_file_and_what_means_nothing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings(Asked(tmp_path))[0].status == "skipped"
    file = tmp_path / "mine.toml"
    file.write_text("[ui]\nport = 1\n")
    monkeypatch.setenv("PAGEFAULT_FOLDERS", "x")
    found = {each.name: each for each in settings(Asked(tmp_path, file=file))}
    assert found["file"].seen == str(file)
    assert found["PAGEFAULT_FOLDERS"].advice.endswith("did you mean PAGEFAULT_FOLDER?")
