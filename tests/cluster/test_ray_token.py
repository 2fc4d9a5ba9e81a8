from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pagefault.cluster.ray_token import keep_token_private
from pagefault.runtime.errors import ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_for_its_owner_alone_whatever_the_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        made = keep_token_private()
    finally:
        os.umask(before)
    assert made == home / ".ray" / "auth_token"
    assert mode(made) == 0o600
    assert len(made.read_text()) == 64
    token = made.read_text()
    assert keep_token_private() == made
    assert made.read_text() == token


def test_one_that_others_can_read_is_taken_away_from_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = home / "mine"
    mine.write_text("secret")
    mine.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(mine))
    assert keep_token_private() == mine
    assert (mode(mine), mine.read_text()) == (0o600, "secret")


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "abc")])
def test_where_no_file_is_used_none_is_made(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert keep_token_private() is None
    assert not (home / ".ray").exists()


def test_a_file_that_cannot_be_made_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "file" / "token"))
    with pytest.raises(ConfigError, match="RAY_AUTH_TOKEN_PATH: found"):
        keep_token_private()
