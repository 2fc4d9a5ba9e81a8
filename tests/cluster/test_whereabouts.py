"""The file that says where a fleet runs."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from pagefault.cluster.whereabouts import (
    FILE,
    Whereabouts,
    answers,
    find_whereabouts,
    forget_whereabouts,
    read_whereabouts,
)
from pagefault.runtime.errors import StoreUnavailable

PLACE = Whereabouts("town", "127.0.0.1:1", 17, 1_000, kept=True, token=True)


def test_what_is_written_is_read_and_only_its_own_fleet_takes_it_back(tmp_path: Path) -> None:
    PLACE.write(tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert read_whereabouts(folder) == PLACE
    replace(PLACE, name="other").write(folder)
    forget_whereabouts(folder, "town")
    assert read_whereabouts(folder) == replace(PLACE, name="other")
    forget_whereabouts(folder, "other")
    assert list(folder.iterdir()) == []
    forget_whereabouts(folder, "other")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "town"}', '{"name": 1, "address": "", "pid": []}'])
def test_a_file_that_says_nothing_is_no_file(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert read_whereabouts(tmp_path) is None


def test_bytes_that_are_no_text_are_no_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe{")
    assert read_whereabouts(tmp_path) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_believed(tmp_path: Path) -> None:
    PLACE.write(tmp_path)
    os.chown(tmp_path / FILE, 12_345, -1)
    assert read_whereabouts(tmp_path) is None


def test_a_place_where_nobody_listens_is_stale(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        replace(PLACE, address=address).write(tmp_path)
        assert answers(address)
        assert find_whereabouts(tmp_path) == replace(PLACE, address=address)
    assert not answers(address)
    assert find_whereabouts(tmp_path) is None
    assert not answers("nowhere")
    assert not answers("127.0.0.1:port")
    assert not answers("127.0.0.1:99999999")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=FILE):
        PLACE.write(tmp_path / "file")


def test_it_is_plain_json(tmp_path: Path) -> None:
    PLACE.write(tmp_path)
    found = json.loads((tmp_path / FILE).read_text())
    assert found == {
        "name": "town",
        "address": "127.0.0.1:1",
        "pid": 17,
        "started_ms": 1_000,
        "kept": True,
        "token": True,
    }
