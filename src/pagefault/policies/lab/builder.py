"""Putting traces together: for makers and recorders in order of time, for caches from their accesses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pagefault.policies.contract import PageFacts
from pagefault.policies.lab.trace import NO_GROUP, NO_PAGE, Events, Integers, Op, Source, Trace, TraceError


class TraceBuilder:
    """Puts a trace together in order of time.  Used by makers and recorders."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.notes: dict[str, int] = {}
        self._pages: list[PageFacts] = []
        self._index: dict[str, int] = {}
        self._forms: list[PageFacts] = []
        self._events: list[tuple[int, int, int, int, int]] = []

    def __contains__(self, page_id: object) -> bool:
        return page_id in self._index

    def insert(self, page: PageFacts, turn: int) -> None:
        """A page enters for the first time.  Raises :class:`TraceError` for an id that is taken."""
        if page.id in self._index:
            raise TraceError("page.id", page.id, "a page that did not come in before")
        self._index[page.id] = len(self._pages)
        self._pages.append(page)
        self.add(Op.INSERT, page.id, turn)

    def reference(self, page_id: str, turn: int, group: int = NO_GROUP, *, form: PageFacts | None = None) -> None:
        """A page is needed; ``form`` is how it comes in if it is not there."""
        self.add(Op.REFERENCE, page_id, turn, group, form)

    def look(self, page_id: str, turn: int) -> None:
        """Retrieval returned a page."""
        self.add(Op.LOOK, page_id, turn)

    def bring(self, page_id: str, turn: int, *, form: PageFacts | None = None) -> None:
        """A page comes back without being needed."""
        self.add(Op.BRING, page_id, turn, form=form)

    def rate(self, page: PageFacts, turn: int) -> None:
        """A page's importance became known: ``page`` is how it is now."""
        self.add(Op.RATE, page.id, turn, form=page)

    def clear(self, turn: int) -> None:
        """Everything that may leave does."""
        self._events.append((turn, Op.CLEAR, NO_PAGE, 0, NO_GROUP))

    def remove(self, page_id: str, turn: int) -> None:
        """A page leaves by itself."""
        self.add(Op.REMOVE, page_id, turn)

    def pin(self, page_id: str, turn: int) -> None:
        """A page may not be evicted any more."""
        self.add(Op.PIN, page_id, turn)

    def unpin(self, page_id: str, turn: int) -> None:
        """A page may be evicted again."""
        self.add(Op.UNPIN, page_id, turn)

    def scale(self, permille: int, turn: int) -> None:
        """From here on a counted token takes so many thousandths."""
        self._events.append((turn, Op.SCALE, NO_PAGE, permille, NO_GROUP))

    def check(self, turn: int, other_tokens: int = 0, *, hold: str | None = None) -> None:
        """The capacity is looked at; ``other_tokens`` in the context are not pages, ``hold`` is protected too.

        Raises :class:`TraceError` for a page to hold that did not come in before.
        """
        if hold is not None and hold not in self._index:
            raise TraceError("page", hold, "a page that came in before it is held")
        held = NO_PAGE if hold is None else self._index[hold]
        self._events.append((turn, Op.CHECK, held, other_tokens, NO_GROUP))

    def build(self) -> Trace:
        """The trace.  Raises :class:`TraceError` as the trace itself does."""
        table = np.array(self._events, dtype=np.int64).reshape(-1, 5)
        turn, op, page, value, group = (np.ascontiguousarray(column) for column in table.T)
        events = Events(turn, op.astype(np.int8), page, value, group)
        return Trace(self.name, self.source, tuple(self._pages), events, self.notes, tuple(self._forms))

    def add(self, op: Op, page_id: str, turn: int, group: int = NO_GROUP, form: PageFacts | None = None) -> None:
        """An event of a page that came in before.  Raises :class:`TraceError` if it did not."""
        if page_id not in self._index:
            raise TraceError("page", page_id, f"a page that came in before it is to {op.name.lower()}")
        index = self._index[page_id]
        value = 0
        if form is not None and (op is Op.RATE or form != self._pages[index]):
            self._forms.append(form)
            value = len(self._forms)
        self._events.append((turn, op, index, value, group))


def plain_trace(
    name: str, source: Source, keys: Sequence[int] | Integers, tokens: Sequence[int] | Integers, *, kind: str = "page"
) -> Trace:
    """A trace of accesses to ``keys``, the first of each being its insertion; ``tokens`` by key.

    Page ids are the keys in decimal, ordinals the keys, turns the places in ``keys``.
    """
    accessed = np.asarray(keys, dtype=np.int64)
    sizes = np.asarray(tokens, dtype=np.int64)
    if accessed.size and not 0 <= accessed.min() <= accessed.max() < len(sizes):
        raise TraceError("keys", [int(accessed.min()), int(accessed.max())], f"from 0 to {len(sizes) - 1}")
    distinct, first, inverse = np.unique(accessed, return_index=True, return_inverse=True)
    by_entry = np.argsort(first)
    place = np.empty_like(by_entry)
    place[by_entry] = np.arange(len(distinct))
    op = np.full(len(accessed), Op.REFERENCE, dtype=np.int8)
    op[first] = Op.INSERT
    pages = tuple(
        PageFacts(id=str(key), kind=kind, tokens=size, ordinal=key)
        for key, size in zip(distinct[by_entry].tolist(), sizes[distinct[by_entry]].tolist(), strict=True)
    )
    none = np.full(len(accessed), NO_GROUP, dtype=np.int64)
    events = Events(np.arange(len(accessed)), op, place[inverse].astype(np.int64), np.zeros_like(accessed), none)
    return Trace(name, source, pages, events)
