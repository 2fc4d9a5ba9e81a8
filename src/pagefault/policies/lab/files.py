"""Traces in files: lines of JSON to read and write by hand, Parquet for long ones, oracleGeneral for others.

The format is described in ``docs/lab.md``.  What is read is checked: an error names the file, the line or
row, the field, what was found and what is allowed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from pagefault.policies.contract import PageFacts
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.extras import analysis
from pagefault.policies.lab.trace import (
    FORMED,
    NO_GROUP,
    NO_PAGE,
    Booleans,
    Events,
    Integers,
    Op,
    Source,
    Trace,
    TraceError,
)

FORMAT = "pagefault-trace"
VERSION = 1
PARQUET = "a trace in Parquet"
NEVER = -1
"""The next access of what is not accessed again, in oracleGeneral."""

_OPS = {op.name.lower(): op for op in Op}
VALUED = (Op.CHECK, Op.SCALE)
_MEMBERS: Mapping[Op, tuple[str, ...]] = {
    Op.CHECK: ("page", "value"),
    Op.CLEAR: (),
    Op.SCALE: ("value",),
    Op.REFERENCE: ("page", "group", "form"),
    Op.BRING: ("page", "form"),
    Op.RATE: ("page", "form"),
}
"""What a line of an operation may have besides its turn; the others have a page and perhaps a group."""
_KINDS: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "kind": (str,),
    "tokens": (int,),
    "ordinal": (int,),
    "created_ms": (int,),
    "author": (str,),
    "text": (str,),
    "importance": (int, float, type(None)),
    "fidelity": (str,),
}
_DEFAULTS = {each.name: each.default for each in fields(PageFacts) if each.default is not MISSING}
_HEADER_MEMBERS = {"format", "version", "name", "source", "notes"}


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace: ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` by the name of the file.

    Raises :class:`TraceError` for another name, ``MissingExtra`` for Parquet without polars.
    """
    kind = _kind(path)
    if kind == "parquet":
        _write_parquet(trace, path)
        return
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(trace)).encode()
    # No time of writing inside: the same trace gives the same file.
    path.write_bytes(gzip.compress(lines, mtime=0) if kind == "jsonl.gz" else lines)


def read_trace(path: Path) -> Trace:
    """Read what :func:`write_trace` wrote.  Raises :class:`TraceError`, and ``MissingExtra`` as it does."""
    kind = _kind(path)
    if kind == "parquet":
        return _read_parquet(path)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if kind == "jsonl.gz" else content).decode()
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as problem:
        raise TraceError(str(path), str(problem), "lines of JSON in UTF-8") from problem
    return _from_lines(str(path), text)


def write_oracle_general(trace: Trace, path: Path) -> None:
    """Export the insertions and references as libCacheSim's oracleGeneral.

    24 bytes an access, little-endian: time (u32, seconds; here turns), object (u64; here the page's index),
    size (u32; here tokens, at least 1), and the place of its next access (i64; -1 for never).  Raises
    :class:`TraceError` for what does not fit, such as events that a cache does not have.
    """
    if not trace.is_plain:
        raise TraceError("trace.events.op", "a pin, a check or a removal", "insertions and references alone")
    events = trace.events
    records = np.empty(len(trace), dtype=[("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])
    for name, column in (("turn", events.turn), ("tokens", trace.tokens)):
        if len(column) and column.max() >= 2**32:
            raise TraceError(
                f"trace.{name}", int(column.max()), "below 2**32, which is what oracleGeneral has room for"
            )
    records["time"] = events.turn
    records["object"] = events.page
    records["size"] = np.maximum(trace.tokens, 1)[events.page] if len(trace) else 0
    records["next"] = next_access(events.page)
    path.write_bytes(records.tobytes())


def next_access(pages: Integers) -> Integers:
    """For every access the place of the next one to the same page; ``NEVER`` if there is none."""
    order = np.argsort(pages, kind="stable")
    following = np.full(len(pages), NEVER, dtype=np.int64)
    is_same = pages[order[:-1]] == pages[order[1:]]
    following[order[:-1][is_same]] = order[1:][is_same]
    return following


def _kind(path: Path) -> str:
    for kind in ("jsonl", "jsonl.gz", "parquet"):
        if path.name.endswith("." + kind):
            return kind
    raise TraceError("path", str(path), "a name that ends with .jsonl, .jsonl.gz or .parquet")


# --- lines of JSON --------------------------------------------------------------------------------------


def _header(trace: Trace) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": trace.name,
        "source": trace.source.value,
        "notes": dict(trace.notes),
    }


def _lines(trace: Trace) -> Iterator[dict[str, Any]]:
    """The header, then a line an event; members that have their default are left out."""
    yield _header(trace)
    columns = (column.tolist() for column in trace.events.columns)
    for turn, op, page, value, group in zip(*columns, strict=True):
        line: dict[str, Any] = {"op": Op(op).name.lower(), "turn": turn}
        if op == Op.INSERT:
            line["page"] = _described(trace.pages[page])
        elif page != NO_PAGE:
            line["page"] = trace.pages[page].id
        if op in VALUED and value:
            line["value"] = value
        elif value:
            line["form"] = _described(trace.forms[value - 1])
        if group != NO_GROUP:
            line["group"] = group
        yield line


def _described(page: PageFacts) -> dict[str, Any]:
    members = {name: getattr(page, name) for name in _KINDS}
    return {name: value for name, value in members.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}


def _from_lines(path: str, text: str) -> Trace:
    builder: TraceBuilder | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            parsed = json.loads(line)
        except json.JSONDecodeError as problem:
            raise TraceError(where, line[:80], "a JSON object") from problem
        if not isinstance(parsed, dict):
            raise TraceError(where, line[:80], "a JSON object")
        if builder is None:
            builder = _checked_header(parsed, where)
        else:
            _take_line(builder, parsed, where)
    if builder is None:
        raise TraceError(f"{path}:1", "", f'a header: {{"format": "{FORMAT}", "version": {VERSION}, …}}')
    try:
        return builder.build()
    except TraceError as problem:
        raise TraceError(f"{path}: {problem.field}", problem.found, problem.allowed) from problem


def _checked_header(header: Mapping[str, Any], where: str) -> TraceBuilder:
    if header.get("format") != FORMAT:
        raise TraceError(f"{where}: format", header.get("format"), repr(FORMAT))
    if header.get("version") != VERSION:
        raise TraceError(f"{where}: version", header.get("version"), f"{VERSION}, which is what this version reads")
    _no_strangers(header, _HEADER_MEMBERS, where)
    name = _member(header, "name", (str,), where)
    source = header.get("source")
    if source not in set(Source):
        raise TraceError(f"{where}: source", source, "one of " + ", ".join(Source))
    builder = TraceBuilder(name, Source(source))
    for key, count in header.get("notes", {}).items():
        if isinstance(count, bool) or not isinstance(count, int):
            raise TraceError(f"{where}: notes.{key}", count, "a whole number")
        builder.notes[key] = count
    return builder


def _take_line(builder: TraceBuilder, line: Mapping[str, Any], where: str) -> None:
    name = line.get("op")
    if name not in _OPS:
        raise TraceError(f"{where}: op", name, "one of " + ", ".join(_OPS))
    op = _OPS[name]
    _no_strangers(line, {"op", "turn", *_MEMBERS.get(op, ("page", "group"))}, where)
    turn = _member(line, "turn", (int,), where)
    try:
        if op is Op.CLEAR:
            builder.clear(turn)
        elif op is Op.SCALE:
            builder.scale(_member(line, "value", (int,), where), turn)
        elif op is Op.CHECK:
            value = _member(line, "value", (int,), where) if "value" in line else 0
            builder.check(turn, value, hold=_member(line, "page", (str,), where) if "page" in line else None)
        elif op is Op.INSERT:
            builder.insert(_page(_member(line, "page", (dict,), where), where), turn)
        else:
            group = _member(line, "group", (int,), where) if "group" in line else NO_GROUP
            form = _page(_member(line, "form", (dict,), where), where) if "form" in line else None
            builder.add(op, _member(line, "page", (str,), where), turn, group, form)
    except TraceError as problem:
        inner = problem.field if problem.field.startswith(where) else f"{where}: {problem.field}"
        raise TraceError(inner, problem.found, problem.allowed) from problem


def _page(described: Mapping[str, Any], where: str) -> PageFacts:
    _no_strangers(described, set(_KINDS), f"{where}: page")
    wanted = [name for name in _KINDS if name in described or name not in _DEFAULTS]
    return PageFacts(**{name: _member(described, name, _KINDS[name], where, "page.") for name in wanted})


def _member(given: Mapping[str, Any], name: str, kinds: tuple[type, ...], where: str, prefix: str = "") -> Any:
    value = given.get(name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        allowed = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise TraceError(f"{where}: {prefix}{name}", value, f"a value of type {allowed}")
    return value


def _no_strangers(given: Mapping[str, Any], allowed: set[str], where: str) -> None:
    if strangers := sorted(given.keys() - allowed):
        raise TraceError(f"{where}: {strangers[0]}", given[strangers[0]], "one of " + ", ".join(sorted(allowed)))


# --- Parquet --------------------------------------------------------------------------------------------


def _write_parquet(trace: Trace, path: Path) -> None:
    """One row an event; what is known of a page stands on the row of its insertion, or of the event from which
    on it is otherwise, and is null elsewhere."""
    polars = analysis("polars", purpose=PARQUET)
    events = trace.events
    described = _described_rows(events)
    forms = [trace.forms[value - 1] for value in events.value[described & (events.op != Op.INSERT)].tolist()]
    insertions, others = iter(trace.pages), iter(forms)
    pages = [next(insertions if op == Op.INSERT else others) for op in events.op[described].tolist()]
    frame = polars.DataFrame(dict(zip(("turn", "op", "page", "value", "group"), events.columns, strict=True)))
    types = {str: polars.String, int: polars.Int64, float: polars.Float64}
    columns = []
    for name, kinds in _KINDS.items():
        values = np.full(len(trace), None, dtype=object)
        values[described] = [getattr(page, name) for page in pages]
        kind = float if float in kinds else kinds[0]
        columns.append(polars.Series(name, values.tolist(), dtype=types[kind]))
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in _header(trace).items()}
    frame.with_columns(columns).write_parquet(path, compression="zstd", metadata=header)


def _described_rows(events: Events) -> Booleans:
    """The events that say what a page is: its insertion, and those after which it is otherwise."""
    rows: Booleans = (events.op == Op.INSERT) | (np.isin(events.op, FORMED) & (events.value > 0))
    return rows


def _read_parquet(path: Path) -> Trace:
    polars = analysis("polars", purpose=PARQUET)
    try:
        metadata = polars.read_parquet_metadata(path)
        frame = polars.read_parquet(path)
    except polars.exceptions.PolarsError as problem:
        raise TraceError(str(path), str(problem), "a Parquet file") from problem
    header = {key: metadata[key] for key in _HEADER_MEMBERS if key in metadata}
    try:
        header |= {key: json.loads(header[key]) for key in ("version", "notes") if key in header}
    except json.JSONDecodeError as problem:
        raise TraceError(f"{path}: version, notes", str(problem), "JSON") from problem
    builder = _checked_header(header, str(path))
    wanted = ("turn", "op", "page", "value", "group", *_KINDS)
    if missing := [name for name in wanted if name not in frame.columns]:
        raise TraceError(f"{path}: columns", frame.columns, "also " + ", ".join(missing))
    for name in wanted[:5]:
        if not frame[name].dtype.is_integer() or frame[name].null_count():
            raise TraceError(f"{path}: {name}", str(frame[name].dtype), "whole numbers, none of them null")
    columns = [frame[name].to_numpy() for name in wanted[:5]]
    events = Events(*columns)
    described = _described_rows(events)
    rows = frame.select(tuple(_KINDS)).filter(polars.Series(described)).to_dicts()
    found = [_page(each, f"{path}: page {index}") for index, each in enumerate(rows)]
    inserted = (events.op[described] == Op.INSERT).tolist()
    pages = tuple(page for page, first in zip(found, inserted, strict=True) if first)
    forms = tuple(page for page, first in zip(found, inserted, strict=True) if not first)
    value = events.value.copy()
    value[described & (events.op != Op.INSERT)] = np.arange(1, len(forms) + 1)  # a form stands where it is used
    events = Events(events.turn, events.op, events.page, value, events.group)
    try:
        return Trace(builder.name, builder.source, pages, events, builder.notes, forms)
    except TraceError as problem:
        raise TraceError(f"{path}: {problem.field}", problem.found, problem.allowed) from problem
