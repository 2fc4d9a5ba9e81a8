"""Traces through files: the same comes back, and what is wrong is named with its place."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import PageFacts
from pagefault.policies.lab import extras
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.files import next_access, read_trace, write_oracle_general, write_trace
from pagefault.policies.lab.makers.synthetic import sized_zipf
from pagefault.policies.lab.trace import Source, Trace, TraceError


def made() -> Trace:
    builder = TraceBuilder("a trace", Source.RECORDED)
    builder.insert(
        PageFacts("p1", "result", 12, 1, 1_700_000_000_000, "Ines", "two\nlines\u2028 “quoted”", 0.25, "summary"), 0
    )
    builder.insert(PageFacts("p2", "message", 0), 0)
    builder.pin("p1", 1)
    builder.check(1, 900)
    builder.reference("p2", 2, group=7)
    builder.unpin("p1", 2)
    builder.remove("p2", 3)
    builder.notes["skipped"] = 3
    return builder.build()


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_a_trace_comes_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for trace in (made(), sized_zipf(pages=20, accesses=200), TraceBuilder("empty", Source.EVIDENCE).build()):
        write_trace(trace, path)
        assert read_trace(path) == trace


def test_the_same_trace_is_the_same_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    write_trace(made(), first)
    write_trace(made(), second)
    assert first.read_bytes() == second.read_bytes()


@given(text=st.text(), author=st.text(), importance=st.none() | st.floats(0, 1), tokens=st.integers(0, 2**40))
@settings(max_examples=40)
def test_any_page_survives_lines_of_json(
    tmp_path_factory: pytest.TempPathFactory, text: str, author: str, importance: float | None, tokens: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    builder = TraceBuilder("any", Source.SYNTHETIC)
    try:
        (text + author).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    builder.insert(PageFacts("p", "message", tokens, author=author, text=text, importance=importance), 0)
    write_trace(builder.build(), path)
    assert read_trace(path) == builder.build()


def test_lines_are_short_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_trace(made(), path)
    lines = [json.loads(line) for line in path.read_text().split("\n") if line]
    assert lines[0] == {
        "format": "pagefault-trace",
        "version": 1,
        "name": "a trace",
        "source": "recorded",
        "notes": {"skipped": 3},
    }
    assert lines[2] == {"op": "insert", "turn": 0, "page": {"id": "p2", "kind": "message", "tokens": 0}}
    assert lines[4] == {"op": "check", "turn": 1, "value": 900}
    assert lines[5] == {"op": "reference", "turn": 2, "page": "p2", "group": 7}


HEADER = {"format": "pagefault-trace", "version": 1, "name": "n", "source": "evidence"}
INSERT = {"op": "insert", "turn": 0, "page": {"id": "p", "kind": "message", "tokens": 4}}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], ":1: found ''"),
        (["nonsense"], ":1: found 'nonsense'"),
        ([["a"]], ":1: found"),
        ([HEADER | {"format": "csv"}], ":1: format: found 'csv', allowed: 'pagefault-trace'"),
        ([HEADER | {"version": 2}], ":1: version: found 2, allowed: 1"),
        ([HEADER | {"source": "rumour"}], ":1: source: found 'rumour', allowed: one of evidence"),
        ([HEADER | {"seed": 4}], ":1: seed: found 4"),
        ([HEADER | {"notes": {"n": "x"}}], r":1: notes\.n: found 'x'"),
        ([HEADER, {"op": "read", "turn": 0}], ":2: op: found 'read', allowed: one of insert, reference"),
        ([HEADER, INSERT | {"turn": "0"}], ":2: turn: found '0', allowed: a value of type int"),
        ([HEADER, INSERT | {"page": "p"}], ":2: page: found 'p', allowed: a value of type dict"),
        ([HEADER, INSERT | {"page": {"id": "p", "kind": "x"}}], r":2: page\.tokens: found None"),
        ([HEADER, INSERT | {"page": INSERT["page"] | {"size": 1}}], ":2: page: size: found 1"),  # type: ignore[operator]  # a dict
        ([HEADER, INSERT, INSERT], r":3: page\.id: found 'p'"),
        ([HEADER, INSERT, {"op": "pin", "turn": 1, "page": "q"}], ":3: page: found 'q'"),
        ([HEADER, INSERT, {"op": "pin", "turn": 1, "page": "p", "value": 3}], ":3: value: found 3"),
        ([HEADER, INSERT, {"op": "check", "turn": 1, "value": -3}], r": events\[1\]\.value: found -3"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: list[Any], problem: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    with pytest.raises(TraceError, match=problem):
        read_trace(path)


def test_other_names_and_other_content_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"ends with \.jsonl, \.jsonl\.gz or \.parquet"):
        write_trace(made(), tmp_path / "t.csv")
    for name in ("t.parquet", "t.jsonl.gz"):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(TraceError, match=name):
            read_trace(tmp_path / name)


def test_parquet_with_other_columns_is_refused(tmp_path: Path) -> None:
    polars = extras.analysis("polars", purpose="this test")
    path = tmp_path / "t.parquet"
    polars.DataFrame({"turn": [1]}).write_parquet(path)
    with pytest.raises(TraceError, match="format: found None"):
        read_trace(path)
    header = HEADER | {"version": "1", "notes": "{}"}
    polars.DataFrame({"turn": [1]}).write_parquet(path, metadata=header)
    with pytest.raises(TraceError, match="also op, page, value, group, id"):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"op": ["insert", "pin", "check"]}, "op: found 'String', allowed: whole numbers"),
        ({"turn": [0, None, 1]}, "turn: found 'Int64', allowed: whole numbers, none of them null"),
        ({"turn": [5, 0, 1]}, r"events\[1\]\.turn: found 0"),
        ({"kind": [None, None, None]}, r"page 0: page\.kind: found None"),
    ],
)
def test_wrong_values_in_parquet_are_named(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    polars = extras.analysis("polars", purpose="this test")
    path = tmp_path / "t.parquet"
    builder = TraceBuilder("t", Source.SYNTHETIC)
    builder.insert(PageFacts("a", "message", 9), 0)
    builder.pin("a", 0)
    builder.check(1)
    write_trace(builder.build(), path)
    metadata = {key: value for key, value in polars.read_parquet_metadata(path).items() if not key.startswith("ARROW")}
    frame = polars.read_parquet(path).with_columns(polars.Series(name, column) for name, column in change.items())
    frame.write_parquet(path, metadata=metadata)
    with pytest.raises(TraceError, match=problem):
        read_trace(path)


def test_metadata_that_is_no_json_is_refused(tmp_path: Path) -> None:
    polars = extras.analysis("polars", purpose="this test")
    path = tmp_path / "t.parquet"
    polars.DataFrame({"turn": [1]}).write_parquet(path, metadata=HEADER | {"version": "one", "notes": "{}"})
    with pytest.raises(TraceError, match=r"version, notes: .* allowed: JSON"):
        read_trace(path)


def test_what_oracle_general_has_no_room_for_is_refused(tmp_path: Path) -> None:
    builder = TraceBuilder("t", Source.SYNTHETIC)
    builder.insert(PageFacts("a", "message", 2**32), 0)
    with pytest.raises(TraceError, match=r"trace\.tokens: found 4294967296, allowed: below 2\*\*32"):
        write_oracle_general(builder.build(), tmp_path / "t")


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(
        extras.MissingExtra, match=r"a picture needs no_such_package.*pip install 'pagefault\[analysis\]'"
    ):
        extras.analysis("no_such_package.part", purpose="a picture")


def test_oracle_general_is_24_bytes_an_access(tmp_path: Path) -> None:
    builder = TraceBuilder("t", Source.SYNTHETIC)
    builder.insert(PageFacts("a", "message", 9), 3)
    builder.insert(PageFacts("b", "message", 0), 4)
    builder.reference("a", 4)
    builder.reference("a", 6)
    path = tmp_path / "t.oracleGeneral"
    write_oracle_general(builder.build(), path)
    records = list(struct.iter_unpack("<IQIq", path.read_bytes()))
    assert records == [(3, 0, 9, 2), (4, 1, 1, -1), (4, 0, 9, 3), (6, 0, 9, -1)]
    builder.pin("a", 7)
    with pytest.raises(TraceError, match="insertions and references alone"):
        write_oracle_general(builder.build(), path)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_next_access_is_the_next_place_of_the_same_page(pages: list[int]) -> None:
    expected = [pages.index(page, place + 1) if page in pages[place + 1 :] else -1 for place, page in enumerate(pages)]
    assert next_access(np.array(pages, dtype=np.int64)).tolist() == expected
