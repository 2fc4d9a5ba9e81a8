"""How an agent's state becomes a snapshot, written so that an agent that is spoken to wakes fast.

Nearly all of a state are rows: pages, and what a policy notes of each.  They are written as columns, which are read
and checked in loops that run in C.  Snapshots of earlier releases, which have the rows themselves, are read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pagefault.runtime.errors import InternalError, StoreCorrupt
from pagefault.runtime.host.records import CODEC
from pagefault.runtime.store.codec import TAGS
from pagefault.runtime.store.columns import Columns
from pagefault.runtime.values import AgentId, Page

ENTRIES = "entries"
ROWS = "~rows"
"""Marks a list of rows that is written as columns."""
ROWS_MIN = 4

_PAGES = Columns(Page, frozenset(TAGS.values()))


def encode_snapshot(state: Mapping[str, Any]) -> bytes:
    """The bytes of what :meth:`~pagefault.runtime.kernel.agent.AgentState.dump` gave."""
    rows = state[ENTRIES]
    pages, *others = zip(*rows, strict=True) if rows else ((),) * 5
    entries = {"pages": _PAGES.write(pages), "others": [list(each) for each in others]}
    return CODEC.encode({key: entries if key == ENTRIES else _with_columns(value) for key, value in state.items()})


def decode_snapshot(agent: AgentId, data: bytes) -> dict[str, Any]:
    """Raises :class:`~pagefault.runtime.errors.StoreCorrupt` when the bytes are something else."""
    state = CODEC.decode(data)
    if not isinstance(state, dict):
        raise StoreCorrupt(f"{agent}: its snapshot is a {type(state).__name__}")
    entries = state.get(ENTRIES)
    try:
        found = {key: _with_rows(value) for key, value in state.items() if key != ENTRIES}
        if isinstance(entries, dict):
            entries = list(zip(_PAGES.read(entries["pages"]), *entries["others"], strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreCorrupt(f"{agent}: its snapshot cannot be read: {error!r}") from error
    return {**found, ENTRIES: entries}


def _with_columns(value: Any) -> Any:
    """Lists of rows, also within maps, as columns."""
    if type(value) is dict:
        if ROWS in value:
            raise InternalError(f"cannot be stored: the map key {ROWS!r} is reserved")
        return {key: _with_columns(item) for key, item in value.items()}
    if type(value) is not list or len(value) < ROWS_MIN or set(map(type, value)) != {list}:
        return value
    lengths = set(map(len, value))
    if len(lengths) > 1 or lengths == {0}:
        return value
    return {ROWS: [list(column) for column in zip(*value, strict=True)]}


def _with_rows(value: Any) -> Any:
    if type(value) is not dict:
        return value
    columns = value.get(ROWS)
    if columns is None:
        return {key: _with_rows(item) for key, item in value.items()}
    return list(map(list, zip(*columns, strict=True)))
