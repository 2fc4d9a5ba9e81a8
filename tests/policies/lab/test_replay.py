"""Replay against a slow and naive simulator, the two ways against each other, and breaches of contract."""

import pickle
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import EvictionPolicy, PageFacts
from pagefault.policies.eviction.fifo import Fifo
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.context import PolicyBreach
from pagefault.policies.lab.makers.synthetic import sized_zipf, zipf
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Budget, Op, Source, Trace
from pagefault.policies.registry import make_policy, policy_names
from pagefault.policies.writeback.archive import Archive


@dataclass
class Naive:
    """Everything in lists, searched from the front; moves used pages back if it is to be LRU."""

    trace: Trace
    budget: Budget
    is_lru: bool
    queue: list[int] = field(default_factory=list)  # as shown
    order: list[int] = field(default_factory=list)  # first to leave first
    pinned: set[int] = field(default_factory=set)
    hits: list[int] = field(default_factory=list)
    evicted: list[tuple[int, int]] = field(default_factory=list)
    overfull: list[int] = field(default_factory=list)

    def run(self) -> "Naive":
        checked = any(op == Op.CHECK for op in self.trace.events.op)
        for event in range(len(self.trace)):
            op, page = self.trace.events.op[event], int(self.trace.events.page[event])
            entered = op == Op.INSERT or (op == Op.REFERENCE and page not in self.queue)
            if op == Op.REFERENCE and not entered:
                self.hits.append(event)
                if self.is_lru:
                    self.order.remove(page)
                    self.order.append(page)
            if entered:
                self.queue.append(page)
                self.order.append(page)
                if not checked:
                    self.shrink(event, 0, page)
            if op == Op.PIN:
                self.pinned.add(page)
            if op in {Op.UNPIN, Op.REMOVE}:
                self.pinned.discard(page)
            if op == Op.REMOVE and page in self.queue:
                self.queue.remove(page)
                self.order.remove(page)
            if op == Op.CHECK:
                self.shrink(event, int(self.trace.events.value[event]), None)
        return self

    def tokens(self, pages: list[int]) -> int:
        return sum(self.trace.pages[page].tokens for page in pages)

    def shrink(self, event: int, other: int, arriving: int | None) -> None:
        if other + self.tokens(self.queue) <= self.budget.high_tokens:
            return
        for keep_last, low in ((self.budget.keep_last_pages, self.budget.low_tokens), (1, -(10**9))):
            held = self.pinned | set(self.queue[len(self.queue) - keep_last :]) | {arriving}
            for page in list(self.order):
                if other + self.tokens(self.queue) <= low:
                    break
                if page not in held:
                    self.queue.remove(page)
                    self.order.remove(page)
                    self.evicted.append((event, page))
            if other + self.tokens(self.queue) <= self.budget.high_tokens:
                return
        self.overfull.append(event)


OPS = (Op.REFERENCE, Op.REFERENCE, Op.REFERENCE, Op.INSERT, Op.INSERT, Op.PIN, Op.UNPIN, Op.REMOVE, Op.CHECK)


@st.composite
def traces(draw: st.DrawFn, ops: Sequence[Op] = OPS) -> Trace:
    builder = TraceBuilder("drawn", Source.SYNTHETIC)
    turn = pages = 0
    for _ in range(draw(st.integers(0, 60))):
        op = draw(st.sampled_from(ops))
        turn += draw(st.integers(0, 2))
        if op is Op.CHECK:
            builder.check(turn, draw(st.integers(0, 30)))
        elif op is Op.INSERT or not pages:
            builder.insert(PageFacts(f"p{pages}", "message", draw(st.integers(0, 40)), pages), turn)
            pages += 1
        else:
            builder.add(op, f"p{draw(st.integers(0, pages - 1))}", turn)
    return builder.build()


@st.composite
def budgets(draw: st.DrawFn) -> Budget:
    capacity = draw(st.integers(1, 150))
    high = draw(st.integers(1, capacity))
    return Budget(capacity, high, draw(st.integers(1, high)), draw(st.integers(0, 3)))


@given(trace=traces(), budget=budgets(), is_lru=st.booleans())
@settings(max_examples=200)
def test_replay_does_what_the_rules_say(trace: Trace, budget: Budget, is_lru: bool) -> None:
    naive = Naive(trace, budget, is_lru).run()
    found = replay(trace, Lru() if is_lru else Fifo(), budget)
    stays = found.stays
    assert np.flatnonzero(found.hit).tolist() == naive.hits
    evicted = zip(stays.until[found.evicted].tolist(), stays.page[found.evicted].tolist(), strict=True)
    assert list(evicted) == naive.evicted
    assert found.overfull_at.tolist() == naive.overfull
    assert found.faults == trace.references - len(naive.hits)
    still_there = stays.page[stays.until == len(trace)].tolist()
    assert still_there == naive.queue


@given(trace=traces((Op.REFERENCE, Op.REFERENCE, Op.INSERT)), budget=budgets(), name=st.sampled_from(policy_names()))
@settings(max_examples=200)
def test_the_loop_and_the_context_agree(trace: Trace, budget: Budget, name: str) -> None:
    budget = Budget(budget.capacity_tokens, budget.high_tokens, budget.low_tokens)
    fast = replay(trace, make_policy(name), budget)
    slow = replay(trace, make_policy(name), budget, write_back=Archive())
    assert fast.evictions == slow.evictions
    assert fast.overfull_at.tolist() == slow.overfull_at.tolist()
    assert np.array_equal(fast.hit, slow.hit)
    for column in ("page", "since", "until", "entered", "left"):
        assert getattr(fast.stays, column).tolist() == getattr(slow.stays, column).tolist()
    for column in ("event", "stay", "tokens"):
        assert getattr(fast.edits, column).tolist() == getattr(slow.edits, column).tolist()


@pytest.mark.parametrize("name", policy_names())
def test_every_policy_plays_a_long_trace_within_its_budget(name: str) -> None:
    trace = sized_zipf(pages=300, accesses=4_000, seed=2)
    budget = Budget(int(trace.inserted_tokens * 0.2))
    found = replay(trace, make_policy(name), budget)
    stays = found.stays
    change = np.zeros(len(trace) + 1, dtype=np.int64)
    np.add.at(change, stays.since, trace.tokens[stays.page])
    np.add.at(change, stays.until, -trace.tokens[stays.page])
    assert np.cumsum(change[:-1]).max() <= budget.capacity_tokens
    assert 0 < found.hit.sum() < trace.references


def test_a_replay_can_be_sent_elsewhere() -> None:
    trace = zipf(pages=30, accesses=300)
    found = replay(trace, Lru(), Budget(10))
    arrived = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own bytes
    assert arrived.evictions == found.evictions
    assert arrived.trace == trace


def test_the_turns_of_the_trace_reach_the_policy() -> None:
    heard: list[int] = []

    class Listening(Lru):
        def on_hit(self, page_id: str, turn: int) -> None:
            heard.append(turn)
            super().on_hit(page_id, turn)

    builder = TraceBuilder("t", Source.SYNTHETIC)
    builder.insert(PageFacts("a", "message", 1), 3)
    builder.reference("a", 8)
    builder.reference("a", 8)
    replay(builder.build(), Listening(), Budget(5))
    assert heard == [8, 8]


def test_a_policy_that_wants_the_capacity_is_told() -> None:
    class Curious(Lru):
        told = 0

        def set_capacity(self, tokens: int) -> None:
            self.told = tokens

    for tell in (True, False):
        policy = Curious()
        replay(zipf(pages=5, accesses=5), policy, Budget(50, 40, 20), tell_capacity=tell)
        assert policy.told == (40 if tell else 0)


# --- breaches -------------------------------------------------------------------------------------------


class Broken(Lru):
    """Answers ``victims`` with what it was made with."""

    name = "broken"

    def __init__(self, answer: object) -> None:
        super().__init__()
        self._answer = answer

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer  # type: ignore[return-value]  # whatever a plug-in answers


def three_pages() -> Trace:
    builder = TraceBuilder("t", Source.SYNTHETIC)
    for turn, page_id in enumerate("abc"):
        builder.insert(PageFacts(page_id, "message", 10, turn), turn)
    return builder.build()


@pytest.mark.parametrize("in_context", [False, True])
@pytest.mark.parametrize(
    ("answer", "found", "allowed"),
    [
        ([], "10 tokens too few|'0 tokens'", "unprotected page"),
        (["x"], "'x'", "resident"),
        (["c"], "'c'", "protected"),
        (["a", "a"], "'a'", "each once"),
        (RuntimeError("no idea"), "no idea", "no error|page ids"),
        (7, "not iterable", "no error|page ids"),
    ],
)
def test_a_breach_names_policy_event_and_what_was_found(
    in_context: bool, answer: object, found: str, allowed: str
) -> None:
    policy: EvictionPolicy = Broken(answer)
    with pytest.raises(PolicyBreach, match=f"({found}).*allowed: .*({allowed})") as caught:
        replay(three_pages(), policy, Budget(20), write_back=Archive() if in_context else None)
    assert caught.value.field.startswith("broken.")
    assert caught.value.field.endswith(" at event 2")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own bytes


@pytest.mark.parametrize("in_context", [False, True])
def test_an_error_in_what_a_policy_is_told_is_named(in_context: bool) -> None:
    class Deaf(Lru):
        name = "deaf"

        def on_insert(self, page: PageFacts, turn: int) -> None:
            if page.id == "b":
                raise KeyError(page.id)
            super().on_insert(page, turn)

    with pytest.raises(PolicyBreach, match=r"deaf\..*on_insert.* at event 1: found .*KeyError"):
        replay(three_pages(), Deaf(), Budget(50), write_back=Archive() if in_context else None)
