"""A main context in the lab: everything that a trace and a pager can do to one, without its texts.

The rules are those of the live pager (``pagefault.runtime.kernel.pager``), so that the same policy, budget
and trace give the same evictions: what is protected and in which order it is named, how much a flush asks
for, that every victim's write-back is chosen before the first one leaves, and the harder second flush.
"""

from __future__ import annotations

from collections.abc import KeysView, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from pagefault.policies.contract import (
    EvictionPolicy,
    FetchPolicy,
    Leave,
    PageFacts,
    PolicyError,
    RatedEviction,
    WriteBack,
)
from pagefault.policies.lab.leavings import Leavings, RecursiveSummary
from pagefault.policies.lab.log import Edits, Entered, History, Left, Stays
from pagefault.policies.lab.trace import NO_PAGE, Budget, Integers, Op, Trace

EVERYTHING_TOKENS = 10**9
"""Asked for when a flush did not help: more than any context holds."""

_LEFT = {
    Leave.NOTHING: Left.NOTHING,
    Leave.SUMMARY: Left.SUMMARY,
    Leave.HANDLE: Left.HANDLE,
    Leave.FORGOTTEN: Left.FORGOTTEN,
}


class PolicyBreach(PolicyError):
    """A policy broke its contract in a replay: ``field`` names the policy and the event."""

    def __init__(self, policy: str, method: str, event: int, found: object, allowed: str) -> None:
        super().__init__(f"{policy}.{method} at event {event}", found, allowed)
        self._arguments = (policy, method, event, found, allowed)

    def __reduce__(self) -> tuple[type[PolicyBreach], tuple[str, str, int, object, str]]:  # type: ignore[override]  # more arguments than the base
        return type(self), self._arguments


class LabContext:
    """Runs one trace, and writes down what happened."""

    def __init__(
        self,
        trace: Trace,
        policy: EvictionPolicy,
        budget: Budget,
        *,
        write_back: WriteBack | None,
        fetch: FetchPolicy | None,
        leavings: Leavings,
    ) -> None:
        self._trace = trace
        self._policy = policy
        self._budget = budget
        self._write_back = write_back
        self._fetch = fetch
        self._leavings = leavings
        self._summary = RecursiveSummary(leavings)
        self._by_ordinal = {page.ordinal: index for index, page in enumerate(trace.pages)} if fetch else {}
        self._is_checked = trace.is_checked
        self._resident: dict[int, int] = {}  # page -> stay, in the queue's order
        self._forms: dict[int, PageFacts] = {}  # resident pages that are not as they were inserted
        self._handles: dict[int, int] = {}  # page -> stay
        self._pinned: set[int] = set()
        self._forgotten: set[int] = set()
        self._inserted = 0  # pages up to here came in once
        self._page_tokens = 0
        self._scale_permille = 1000
        self._event = 0
        self._turn = 0
        self._stay_page: list[int] = []
        self._stay_since: list[int] = []
        self._stay_entered: list[int] = []
        self._stay_until: list[int] = []
        self._stay_left: list[int] = []
        self._edits: list[tuple[int, int, int]] = []  # event, stay, tokens that are left in its place
        self._evicted: list[int] = []  # stays
        self._overfull_at: list[int] = []
        self._hit_at: list[int] = []
        self.lost_at: list[int] = []
        self.soft: list[tuple[int, float]] = []  # event, retention
        self.summaries: list[tuple[int, int]] = []  # event, tokens of the summary from there on
        self.summariser: list[tuple[int, int, int]] = []  # event, input tokens, output tokens

    def run(self) -> None:
        """Play all events.  Raises :class:`PolicyBreach`."""
        events = self._trace.events
        columns = (column.tolist() for column in (events.turn, events.op, events.page, events.value))
        for event, (turn, op, page, value) in enumerate(zip(*columns, strict=True)):
            self._event, self._turn = event, turn
            if op == Op.INSERT:
                self._inserted = page + 1
                self._enter(page, Entered.INSERTED)
            elif op == Op.REFERENCE:
                if not self._reference(page, value):
                    continue
            elif op == Op.BRING and page not in self._resident:
                self._enter(page, Entered.FETCHED, value)
            else:
                self._rule(op, page, value)
                continue
            if not self._is_checked:
                self._make_room(0, page)

    def _rule(self, op: int, page: int, value: int) -> None:
        if op == Op.CHECK:
            self._make_room(value, None if page == NO_PAGE else page)
        elif op == Op.CLEAR:
            self._clear(None)
        elif op == Op.SCALE:
            self._scale_permille = value
        elif op == Op.LOOK:
            if page in self._resident:
                self._tell("on_hit", page)
        elif op == Op.RATE:
            self._rate(page, self._trace.forms[value - 1])
        elif op == Op.PIN:
            self._pinned.add(page)
        elif op in {Op.UNPIN, Op.REMOVE}:
            self._pinned.discard(page)
            if op == Op.REMOVE:
                if page in self._resident:
                    self._leave(page, Left.REMOVED, 0)
                self._drop_handle(page)

    def _facts(self, page: int) -> PageFacts:
        """A page as it is now."""
        return self._forms.get(page) or self._trace.pages[page]

    def _rate(self, page: int, rated: PageFacts) -> None:
        if page not in self._resident or rated.importance is None:
            return
        self._forms[page] = replace(self._facts(page), importance=rated.importance)
        if isinstance(self._policy, RatedEviction):
            try:
                self._policy.on_rated(rated.id, rated.importance)
            except Exception as error:  # a plug-in may raise anything; what it raised is named
                raise self._breach(self._policy.name, "on_rated", repr(error), "no error") from error

    def history(self) -> History:
        """What happened, but for what was left behind."""
        stays = Stays(
            *map(_column, (self._stay_page, self._stay_since, self._stay_until, self._stay_entered, self._stay_left))
        )
        edits = np.array(self._edits, dtype=np.int64).reshape(-1, 3)
        hit = np.zeros(len(self._trace), dtype=np.bool_)
        hit[_column(self._hit_at)] = True
        return History(hit, stays, Edits(*edits.T), _column(self._evicted), _column(self._overfull_at))

    # --- what is needed ---------------------------------------------------------------------------------

    def _reference(self, page: int, form: int) -> bool:
        """Whether the page came in."""
        if page in self._resident:
            self._hit_at.append(self._event)
            self._tell("on_hit", page)
            return False
        facts = self._trace.pages[page]
        if facts.id in self._summary:
            self.soft.append((self._event, self._summary.retention(facts)))
        if page in self._forgotten:
            self.lost_at.append(self._event)
            return False
        companions = self._companions(page)
        self._enter(page, Entered.FAULTED, form)
        for companion in companions:
            if companion not in self._resident:
                self._enter(companion, Entered.FETCHED)
        return True

    def _companions(self, page: int) -> list[int]:
        if self._fetch is None:
            return []
        facts = self._trace.pages[page]
        pinned = sum(self._trace.pages[each].tokens for each in self._pinned if each in self._resident)
        room = max(0, self._budget.low_tokens - pinned - self._leftover_tokens)
        try:
            ordinals = list(self._fetch.companions(facts.id, facts.ordinal, room))
        except Exception as error:  # a plug-in may raise anything; what it raised is named
            raise self._breach(self._fetch.name, "companions", repr(error), "ordinals of pages") from error
        found = [self._by_ordinal.get(ordinal, self._inserted) for ordinal in ordinals]
        return [each for each in found if each < self._inserted and each != page and each not in self._forgotten]

    def _enter(self, page: int, entered: Entered, form: int = 0) -> None:
        self._drop_handle(page)
        if form:
            self._forms[page] = self._trace.forms[form - 1]
        self._resident[page] = len(self._stay_page)
        self._page_tokens += self._facts(page).tokens
        self._stay_page.append(page)
        self._stay_since.append(self._event)
        self._stay_entered.append(entered)
        self._stay_until.append(len(self._trace))
        self._stay_left.append(Left.STAYED)
        self._tell("on_insert", page)

    def _leave(self, page: int, left: Left, tokens_left: int) -> None:
        stay = self._resident.pop(page)
        self._page_tokens -= self._facts(page).tokens
        self._stay_until[stay] = self._event
        self._stay_left[stay] = left
        self._edits.append((self._event, stay, tokens_left))
        self._tell("on_removed" if left is Left.REMOVED else "on_evicted", page)
        self._forms.pop(page, None)

    # --- what leaves ------------------------------------------------------------------------------------

    @property
    def _leftover_tokens(self) -> int:
        return self._leavings.handle_tokens * len(self._handles) + self._summary.tokens

    def _make_room(self, other_tokens: int, arriving: int | None) -> None:
        while (used := self._used(other_tokens)) > self._budget.high_tokens:
            needed = -(-(used - self._budget.low_tokens) * 1000 // self._scale_permille)
            chosen = self._victims(needed, self._budget.keep_last_pages, arriving)
            leaves = [(page, self._choose(page)) for page in chosen]
            self._summarise([page for page, leave in leaves if leave is Leave.SUMMARY])
            for page, leave in leaves:
                self._evict(page, leave)
            self._trim_handles(self._leavings.handle_tokens_max)
            # What pages leave behind takes room too.  The pager flushes far below its high mark, so that it
            # does not flush twice; a budget without a low mark would be emptied by what follows.
            if self._is_checked or not chosen:
                break
        if self._used(other_tokens) > self._budget.high_tokens:
            self._clear(None if self._is_checked else arriving)
            if self._used(other_tokens) > self._budget.high_tokens:
                self._overfull_at.append(self._event)

    def _clear(self, arriving: int | None) -> None:
        """Everything that may leave does, and leaves nothing."""
        self._trim_handles(0)
        for page in self._victims(EVERYTHING_TOKENS, 1, arriving):
            self._evict(page, Leave.NOTHING)

    def _used(self, other_tokens: int) -> int:
        counted = other_tokens + self._page_tokens + self._leftover_tokens
        return -(-counted * self._scale_permille // 1000)

    def _victims(self, tokens_needed: int, keep_last: int, arriving: int | None) -> list[int]:
        protected = self._protected(keep_last, arriving)
        try:
            answer = list(self._policy.victims(tokens_needed, protected, self._turn))
        except Exception as error:  # a plug-in may raise anything; what it raised is named
            raise self._breach(self._policy.name, "victims", repr(error), "page ids") from error
        return self._checked(answer, tokens_needed, protected)

    def _checked(self, answer: list[str], tokens_needed: int, protected: KeysView[str]) -> list[int]:
        """The pages of an answer that keeps the contract."""
        name, index_of, pages = self._policy.name, self._trace.index_of, self._trace.pages
        chosen = [index_of.get(page_id, -1) for page_id in answer]
        strangers = [page_id for page_id, page in zip(answer, chosen, strict=True) if page not in self._resident]
        if strangers or len(set(answer)) < len(answer):
            raise self._breach(name, "victims", strangers or answer, "resident pages, each once")
        if held := [page_id for page_id in answer if page_id in protected]:
            raise self._breach(name, "victims", held, "pages that are not protected")
        freed = sum(self._facts(page).tokens for page in chosen)
        if freed < tokens_needed:
            leaving = set(chosen)
            if any(page not in leaving and pages[page].id not in protected for page in self._resident):
                allowed = f"at least {tokens_needed} tokens, or every unprotected page"
                raise self._breach(name, "victims", f"{freed} tokens", allowed)
        return chosen

    def _protected(self, keep_last: int, arriving: int | None) -> KeysView[str]:
        """Ids of pages that stay, the pinned first, then the newest, oldest first: the pager's order."""
        pages = self._trace.pages
        newest = list(islice(reversed(self._resident), keep_last))[::-1]
        protected = dict.fromkeys(sorted(pages[each].id for each in self._pinned if each in self._resident))
        protected |= dict.fromkeys(pages[each].id for each in newest)
        if arriving is not None:
            protected[pages[arriving].id] = None
        return protected.keys()

    def _choose(self, page: int) -> Leave:
        if self._write_back is None:
            return Leave.NOTHING
        facts = self._facts(page)
        try:
            leave = Leave(self._write_back.choose(facts, self._turn))
        except Exception as error:  # a plug-in may raise anything; what it raised is named
            allowed = "one of " + ", ".join(Leave)
            raise self._breach(self._write_back.name, "choose", repr(error), allowed) from error
        return Leave.NOTHING if facts.kind == "notice" else leave

    def _summarise(self, pages: list[int]) -> None:
        if not pages:
            return
        for call in self._summary.fold([self._facts(page) for page in pages]):
            self.summariser.append((self._event, call.input_tokens, call.output_tokens))
        self.summaries.append((self._event, self._summary.tokens))

    def _evict(self, page: int, leave: Leave) -> None:
        tokens_left = 0
        stay = self._resident[page]
        if leave is Leave.HANDLE:
            if self._leavings.handle_tokens < self._facts(page).tokens:
                tokens_left = self._leavings.handle_tokens
                self._handles[page] = stay
            else:
                leave = Leave.NOTHING
        elif leave is Leave.FORGOTTEN:
            self._forgotten.add(page)
        self._evicted.append(stay)
        self._leave(page, _LEFT[leave], tokens_left)

    def _trim_handles(self, tokens_max: int) -> None:
        """The oldest handles go until the rest fit."""
        surplus = len(self._handles) - tokens_max // self._leavings.handle_tokens
        if surplus > 0:
            for page in sorted(self._handles, key=self._handles.__getitem__)[:surplus]:
                self._drop_handle(page)

    def _drop_handle(self, page: int) -> None:
        stay = self._handles.pop(page, None)
        if stay is not None:
            self._edits.append((self._event, stay, 0))

    # --- the policy -------------------------------------------------------------------------------------

    def _tell(self, what: str, page: int) -> None:
        facts = self._facts(page)
        try:
            if what == "on_insert":
                self._policy.on_insert(facts, self._turn)
            elif what == "on_hit":
                self._policy.on_hit(facts.id, self._turn)
            else:
                self._policy.on_remove(facts.id, what == "on_evicted")
        except Exception as error:  # a plug-in may raise anything; what it raised is named
            raise self._breach(self._policy.name, what, repr(error), "no error") from error

    def _breach(self, name: str, method: str, found: object, allowed: str) -> PolicyBreach:
        return PolicyBreach(name, method, self._event, found, allowed)


def _column(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)
