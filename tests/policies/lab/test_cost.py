"""The bill of a provider's prefix cache, against figures worked out by hand and against a slow rendering."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import PageFacts, PolicyError
from pagefault.policies.eviction.fifo import Fifo
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.cost import PrefixCost, Prices, prefix_cost
from pagefault.policies.lab.leavings import Leavings
from pagefault.policies.lab.log import Left
from pagefault.policies.lab.replay import Replay, replay
from pagefault.policies.lab.trace import Budget, Op, Source, Trace
from pagefault.policies.writeback.handle import Handle
from pagefault.policies.writeback.summarize import Summarize


def messages(turns: int, a_turn: int, tokens: int, other_tokens: int) -> Trace:
    """So many pages of so many tokens every turn, then a check beside ``other_tokens``."""
    builder = TraceBuilder("messages", Source.SYNTHETIC)
    for turn in range(turns):
        for place in range(a_turn):
            number = turn * a_turn + place
            builder.insert(PageFacts(f"p{number}", "message", tokens, number), turn)
        builder.check(turn, other_tokens)
    return builder.build()


def test_evicting_in_batches_costs_a_sixth() -> None:
    # A context of 8,192 tokens, 1,000 of them fixed, 200 new ones a turn, over 2,000 turns.
    trace = messages(2_000, 25, 8, 1_000)
    one_at_a_time = prefix_cost(replay(trace, Fifo(), Budget(8_192)), Prices())
    assert one_at_a_time.cost_per_call == pytest.approx(8_943, abs=1)
    low = round(0.7 * 8_192) + 200  # three tenths go before the new ones come
    batched = prefix_cost(replay(trace, Fifo(), Budget(8_192, 8_192, low)), Prices())
    assert batched.cost_per_call == pytest.approx(1_375, rel=0.005)
    assert batched.invalidations < one_at_a_time.invalidations / 10


def test_a_small_bill_by_hand() -> None:
    found = replay(messages(4, 1, 10, 5), Fifo(), Budget(30))
    # Calls send 5+10, 5+20 and then 5+20 with the first page gone: only what is fixed is read again.
    assert prefix_cost(found, Prices(read=0.5, write=2.0)) == PrefixCost(
        calls=4,
        read_tokens=0 + 15 + 5 + 5,
        written_tokens=15 + 10 + 20 + 20,
        invalidations=2,
        cost=0.5 * 25 + 2.0 * 65,
    )


def test_without_checks_a_turn_is_a_call_and_the_fixed_part_is_set() -> None:
    builder = TraceBuilder("t", Source.SYNTHETIC)
    for number, turn in enumerate((0, 0, 3)):
        builder.insert(PageFacts(f"p{number}", "message", 10, number), turn)
    bill = prefix_cost(replay(builder.build(), Fifo(), Budget(100)), Prices(fixed_tokens=7))
    assert (bill.calls, bill.read_tokens, bill.written_tokens) == (2, 27, 27 + 10)


def test_a_new_summary_rewrites_the_whole_queue() -> None:
    leavings = Leavings(summary_tokens_max=4, gist_tokens=4)
    found = replay(messages(3, 1, 10, 5), Lru(), Budget(29, 29, 29), write_back=Summarize(), leavings=leavings)
    bill = prefix_cost(found, Prices())
    # Third call: 5 fixed, then a summary of 4 and two pages, all of them written.
    assert (bill.read_tokens, bill.written_tokens) == (15 + 5, 15 + 10 + 24)


def test_other_tokens_that_change_invalidate_what_follows() -> None:
    builder = TraceBuilder("t", Source.SYNTHETIC)
    builder.insert(PageFacts("p", "message", 10), 0)
    for other in (5, 8, 8):
        builder.check(0, other)
    bill = prefix_cost(replay(builder.build(), Fifo(), Budget(100)), Prices())
    assert (bill.read_tokens, bill.written_tokens, bill.invalidations) == (5 + 18, 15 + 13, 1)


def rendered(found: Replay, event: int, handle_tokens: int) -> list[tuple[int, int]]:
    """What a call after that event shows of the queue: stay and tokens, in order."""
    shown = []
    stays, tokens = found.stays, found.trace.tokens
    for stay in range(len(stays)):
        if stays.since[stay] > event:
            continue
        if stays.until[stay] > event:
            shown.append((stay, int(tokens[stays.page[stay]])))
        elif stays.left[stay] == Left.HANDLE:
            edits = [place for place in range(len(found.edits)) if found.edits.stay[place] == stay]
            now = [int(found.edits.tokens[place]) for place in edits if found.edits.event[place] <= event][-1]
            if now:
                assert now == handle_tokens
                shown.append((stay, now))
    return shown


@given(
    accesses=st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=40),
    capacity=st.integers(20, 120),
    with_handles=st.booleans(),
)
@settings(max_examples=150)
def test_the_bill_is_that_of_rendering_every_call(
    accesses: list[tuple[int, bool]], capacity: int, with_handles: bool
) -> None:
    builder = TraceBuilder("drawn", Source.SYNTHETIC)
    turn = 0
    for key, same_turn in accesses:
        turn += not same_turn
        if f"{key}" in builder:
            builder.reference(f"{key}", turn)
        else:
            builder.insert(PageFacts(f"{key}", "message", 9 + key, key), turn)
    trace = builder.build()
    write_back = Handle(tokens_min=1) if with_handles else None
    found = replay(trace, Lru(), Budget(capacity), write_back=write_back, leavings=Leavings(handle_tokens=6))
    read = written = invalidations = 0
    before: list[tuple[int, int]] | None = None
    turns = trace.events.turn.tolist()
    for event in range(len(trace)):
        if event + 1 < len(trace) and turns[event + 1] == turns[event]:
            continue
        now = rendered(found, event, 6)
        kept = 3 if before is not None else 0
        for old, new in zip(before or [], now, strict=False):
            if old != new:
                break
            kept += new[1]
        sent = 3 + sum(tokens for _, tokens in now)
        invalidations += before is not None and kept < 3 + sum(tokens for _, tokens in before)
        read += kept
        written += sent - kept
        before = now
    bill = prefix_cost(found, Prices(fixed_tokens=3))
    assert (bill.read_tokens, bill.written_tokens, bill.invalidations) == (read, written, invalidations)
    assert bill.cost == pytest.approx(0.1 * read + 1.25 * written)


def test_nothing_costs_nothing() -> None:
    bill = prefix_cost(replay(TraceBuilder("t", Source.SYNTHETIC).build(), Fifo(), Budget(5)), Prices())
    assert (bill.calls, bill.cost, bill.cost_per_call) == (0, 0.0, 0.0)


@pytest.mark.parametrize("field", ["read", "write", "fixed_tokens"])
def test_prices_are_checked(field: str) -> None:
    with pytest.raises(PolicyError, match=f"prices.{field}"):
        Prices(**{field: -1})


def test_calls_are_made_at_checks_alone_where_there_are_any() -> None:
    trace = messages(3, 2, 10, 5)
    assert prefix_cost(replay(trace, Fifo(), Budget(100)), Prices()).calls == int((trace.events.op == Op.CHECK).sum())
