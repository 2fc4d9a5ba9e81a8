"""Files of JSON objects: what is wrong is said with the line and the field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pagefault.cluster.worlds.jsonl import read_records
from pagefault.runtime.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_lines_and_lists_are_read_alike(tmp_path: Path, name: str) -> None:
    values = [{"a": "x"}, {"a": "y\u2028z"}, {"a": "z"}]
    lines = read_records(
        write(tmp_path / name, "\n".join(json.dumps(each, ensure_ascii=False) for each in values) + "\n\n"), "w"
    )
    whole = read_records(write(tmp_path / name, json.dumps(values)), "w", limit=2)
    assert [each.get("a", str) for each in lines] == ["x", "y\u2028z", "z"]
    assert [each.get("a", str) for each in whole] == ["x", "y\u2028z"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n{"a"\n', "line 2"),
        ("[1]", "[0]', allowed: a JSON object"),
        ("7\n", "line 1', allowed: a JSON object"),
        ("[", "a JSON list"),
        ("\n\n", "nothing"),
    ],
)
def test_what_is_no_file_of_objects_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_records(write(tmp_path / "a.jsonl", text), "a file of tests")
    assert said in str(raised.value)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "b.gz").write_bytes(b"\x1f\x8bnothing")
    (tmp_path / "c.jsonl").write_bytes(b"\xff")
    for path in (tmp_path / "b.gz", tmp_path / "c.jsonl", tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError, match="--data"):
            read_records(path, "a file of tests")


def test_fields_are_checked_with_the_place_they_are_at(tmp_path: Path) -> None:
    (record,) = read_records(
        write(tmp_path / "a.jsonl", '{"n": 1, "b": true, "in": {"l": [{}, 3]}, "t": ["x", 2]}'), "w"
    )
    assert record.get("n", int) == 1
    for look, said in [
        (lambda: record.get("m", str), "line 1: no field 'm'"),
        (lambda: record.get("n", str), "n = '1'"),
        (lambda: record.get("b", int), "'b' as a whole number"),
        (lambda: record.inner("in").items("l"), "line 1, in, l[1]"),
        (lambda: record.texts("t"), "'t' as a list of texts"),
    ]:
        with pytest.raises(ConfigError) as raised:
            look()  # type: ignore[no-untyped-call]  # a lambda has no types
        assert said in str(raised.value)
