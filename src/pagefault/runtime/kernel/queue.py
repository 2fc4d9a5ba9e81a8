"""The queue of the context: entries in the order in which they are shown, assembled as they come.

Most steps only append, so what is assembled is kept and only the new entries are looked at: a step costs
what it adds, not what the context holds.  :meth:`Queue.assemble_anew` is the plain definition that the
invariants compare with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.kernel.pages import MESSAGE_OVERHEAD_TOKENS, MISSING_RESULT, Entry, cost, render_orphan
from pagefault.runtime.values import Fidelity, Message, PageId, PageKind


class _Assembly:
    """Messages and their cost so far, and the calls of the last reply that have no result yet."""

    __slots__ = ("_counter", "_open_calls", "messages", "tokens")

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._open_calls: list[str] = []
        self.messages: list[Message] = []
        self.tokens = 0

    def add(self, entry: Entry) -> None:
        """Show one more entry.

        Chat protocols demand that a reply with calls is followed at once by one ``tool`` message a call,
        and that there is no ``tool`` message elsewhere: missing results get a placeholder, results in other
        places become plain messages.
        """
        page = entry.page
        if page.kind is PageKind.RESULT and page.fidelity is Fidelity.FULL and not entry.paged_in:
            if page.answers in self._open_calls:
                self._open_calls.remove(page.answers)
                self.messages.append(entry.look())
                self.tokens += page.tokens
                return
            self._close_calls()
            orphan = render_orphan(page)
            self.messages.append(orphan)
            self.tokens += cost(self._counter, orphan)
            return
        self._close_calls()
        message = entry.look()
        self.messages.append(message)
        self.tokens += page.tokens
        if message.calls:
            self._open_calls = [call.id for call in message.calls]

    def _close_calls(self) -> None:
        if self._open_calls:
            placeholders, tokens = self.missing()
            self.messages += placeholders
            self.tokens += tokens
            self._open_calls = []

    def missing(self) -> tuple[list[Message], int]:
        """Placeholders for the results that are not there, and their cost."""
        placeholders = [Message("tool", MISSING_RESULT, answers=call_id) for call_id in self._open_calls]
        each = MESSAGE_OVERHEAD_TOKENS + self._counter.count(MISSING_RESULT) if placeholders else 0
        return placeholders, each * len(placeholders)


class Queue:
    """Entries by page id, in order.  A page has at most one entry."""

    __slots__ = ("_assembly", "_counter", "_entries", "_fresh")

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._entries: dict[PageId, Entry] = {}
        self._assembly: _Assembly | None = None
        self._fresh: list[Entry] = []

    @property
    def entries(self) -> Mapping[PageId, Entry]:
        return MappingProxyType(self._entries)

    def append(self, entry: Entry) -> None:
        """Put an entry at the end; an older one of the same page goes."""
        if entry.page.id in self._entries:
            self.remove(entry.page.id)
        self._entries[entry.page.id] = entry
        self._fresh.append(entry)

    def replace(self, entry: Entry) -> None:
        """Put an entry in the place of the page's present one."""
        assert entry.page.id in self._entries, f"{entry.page.id} has no entry to replace"
        self._entries[entry.page.id] = entry
        self._assembly = None

    def annotate(self, entry: Entry) -> None:
        """The same for one that is shown in the same way: what is assembled stays."""
        assert self._entries[entry.page.id].look() == entry.look(), f"{entry.page.id} is shown otherwise"
        self._entries[entry.page.id] = entry

    def remove(self, page_id: PageId) -> None:
        del self._entries[page_id]
        self._assembly = None

    def load(self, entries: Iterable[Entry]) -> None:
        """Take on the entries of a snapshot."""
        self._entries = {entry.page.id: entry for entry in entries}
        self._assembly = None

    def relax(self) -> None:
        """Nobody will look for a while: keep no messages, only the entries that they are made from."""
        self._assembly = None
        self._fresh = []

    def assemble(self) -> tuple[list[Message], int]:
        """The messages of the queue, and their cost."""
        if self._assembly is None:
            self._assembly = _Assembly(self._counter)
            self._fresh = list(self._entries.values())
        for entry in self._fresh:
            self._assembly.add(entry)
        self._fresh.clear()
        placeholders, tokens = self._assembly.missing()
        return self._assembly.messages + placeholders, self._assembly.tokens + tokens

    def costs(self) -> dict[PageId, int]:
        """What each entry adds to what is sent; together that is the cost that :meth:`assemble` gives.

        A placeholder for a result that is not there goes on the account of the entry that comes next, or of the last.
        """
        costs = {page_id: entry.page.tokens for page_id, entry in self._entries.items()}
        if sum(costs.values()) == self.assemble()[1]:
            return costs  # nothing is shown otherwise than it was counted, as nearly always
        assembly = _Assembly(self._counter)
        before = 0
        for page_id, entry in self._entries.items():
            assembly.add(entry)
            costs[page_id] = assembly.tokens - before
            before = assembly.tokens
        if costs:
            costs[page_id] += assembly.missing()[1]
        return costs

    def assemble_anew(self) -> tuple[list[Message], int]:
        """The same, from nothing."""
        assembly = _Assembly(self._counter)
        for entry in self._entries.values():
            assembly.add(entry)
        placeholders, tokens = assembly.missing()
        return assembly.messages + placeholders, assembly.tokens + tokens
