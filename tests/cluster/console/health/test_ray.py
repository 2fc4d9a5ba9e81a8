from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pagefault.cluster.console.health.contract import Asked, Verdict
from pagefault.cluster.console.health.ray import ray


def verdicts(folder: Path, address: str | None = None) -> dict[str, Verdict]:
    return {each.name: each for each in ray(Asked(folder, address=address))}


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_a_token_that_is_off_missing_empty_or_open_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    assert verdicts(tmp_path)["token"].seen == f"{path} is not there"
    path.write_text("")
    assert verdicts(tmp_path)["token"].seen == f"{path} is empty"
    path.write_text("secret words")
    path.chmod(0o640)
    assert verdicts(tmp_path)["token"].advice == f"chmod 600 {path}"
    path.chmod(0o600)
    assert verdicts(tmp_path)["token"].status == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert verdicts(tmp_path)["token"].status == "warning"


def test_a_token_in_the_environment_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "swordfish-9000")
    found = verdicts(tmp_path)["token"]
    assert (found.status, found.seen) == ("ok", "on, in RAY_AUTH_TOKEN")


def test_an_address_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert verdicts(tmp_path, address)["address"].status == "ok"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert verdicts(tmp_path)["address"].status == "ok"
    assert verdicts(tmp_path)["address"].status == "failed"
    assert verdicts(tmp_path, "auto")["address"].status == "skipped"


def test_the_version_is_said(tmp_path: Path) -> None:
    assert verdicts(tmp_path)["version"].status == "ok"
