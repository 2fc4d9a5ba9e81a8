"""``pagefault ingest``: files into a folder's fleet, twice without doing it twice, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.console.conftest import Pagefault


def test_documents_are_filed_once(pagefault: Pagefault, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("The lid is heavy.")
    (tmp_path / "in" / "b.md").write_text("# Fire\n\nThe fire is out.")
    arguments = ("ingest", "in", "--folder", "fleet", "--space", "boilers", "--embedder", "hash")
    first = json.loads(pagefault(*arguments, "--json").out)
    assert (first["filed"], first["present"], first["failed"], first["passages"]) == (2, 0, 0, 2)
    assert [each["name"] for each in first["files"]] == ["a.txt", "b.md"]
    again = pagefault(*arguments)
    assert again.code == 0
    assert again.out.count("present") == 2
    assert "filing documents: 2 to do" in again.errors


def test_a_file_that_cannot_be_read_keeps_no_other_from_its_place(pagefault: Pagefault, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The lid is heavy.")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    ended = pagefault("ingest", "a.txt", "b.txt", "--folder", "fleet", "--embedder", "hash", "--json")
    assert ended.code == 1
    found = json.loads(ended.out)
    assert (found["filed"], found["failed"]) == (1, 1)
    assert "allowed: text in UTF-8" in found["files"][1]["problem"]


def test_what_is_wrong_is_one_line(pagefault: Pagefault, tmp_path: Path) -> None:
    assert "PATH: found" in pagefault("ingest", "nowhere").error
    (tmp_path / "a.txt").write_text("x")
    assert "--space: found 'recall'" in pagefault("ingest", "a.txt", "--space", "recall").error
    assert "passage_tokens: found 1" in pagefault("ingest", "a.txt", "--passage-tokens", "1").error
