"""What a trace promises, and what it refuses."""

import pickle
from typing import Any

import numpy as np
import pytest

from pagefault.policies.contract import PageFacts, PolicyError
from pagefault.policies.lab.builder import TraceBuilder, plain_trace
from pagefault.policies.lab.trace import NO_GROUP, NO_PAGE, Budget, Events, Op, Source, Trace, TraceError


def page(page_id: str, tokens: int = 5) -> PageFacts:
    return PageFacts(page_id, "message", tokens)


def events(*rows: tuple[int, int, int] | tuple[int, int, int, int, int]) -> Events:
    table = np.array([(*row, 0, NO_GROUP)[:5] for row in rows], dtype=np.int64).reshape(-1, 5)
    return Events(table[:, 0], table[:, 1].astype(np.int8), table[:, 2], table[:, 3], table[:, 4])


def trace(*rows: Any, pages: int = 2, source: Source = Source.SYNTHETIC) -> Trace:
    return Trace("made", source, tuple(page(f"p{index}", 5 + index) for index in range(pages)), events(*rows))


ENTER = ((0, Op.INSERT, 0), (1, Op.INSERT, 1))


def test_a_trace_knows_its_sizes_and_references() -> None:
    made = trace(*ENTER, (1, Op.REFERENCE, 0), (2, Op.REFERENCE, 1))
    assert made.tokens.tolist() == [5, 6]
    assert made.inserted_tokens == 11
    assert made.references == 2
    assert made.is_reference.tolist() == [False, False, True, True]
    assert made.index_of["p1"] == 1
    assert made.is_plain
    assert not made.is_checked
    checked = trace(*ENTER, (2, Op.CHECK, NO_PAGE, 7, NO_GROUP))
    assert checked.is_checked
    assert not checked.is_plain


def test_traces_are_compared_and_pickled_by_content() -> None:
    made = trace(*ENTER, (1, Op.REFERENCE, 0))
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own bytes
    assert made != trace(*ENTER, (1, Op.REFERENCE, 1))
    with pytest.raises(ValueError, match="read-only"):
        made.events.page[0] = 1


@pytest.mark.parametrize(
    ("rows", "field"),
    [
        (((1, Op.INSERT, 0), (0, Op.INSERT, 1)), "events[1].turn"),
        (((-1, Op.INSERT, 0), (0, Op.INSERT, 1)), "events[0].turn"),
        ((*ENTER, (2, 11, 0)), "events[2].op"),
        ((*ENTER, (2, Op.REFERENCE, 2)), "events[2].page"),
        ((*ENTER, (2, Op.CHECK, 2)), "events[2].page"),
        ((*ENTER, (2, Op.CLEAR, 0)), "events[2].page"),
        ((*ENTER, (2, Op.LOOK, NO_PAGE)), "events[2].page"),
        ((*ENTER, (2, Op.BRING, 0, 1, NO_GROUP)), "events[2].value"),
        ((*ENTER, (2, Op.RATE, 0)), "events[2].value"),
        ((*ENTER, (2, Op.CHECK, NO_PAGE, -1, NO_GROUP)), "events[2].value"),
        ((*ENTER, (2, Op.REFERENCE, 0, 3, NO_GROUP)), "events[2].value"),
        ((*ENTER, (2, Op.REFERENCE, 0, 0, -2)), "events[2].group"),
        ((*ENTER, (2, Op.INSERT, 1)), "events[2].page"),
        (((0, Op.INSERT, 1), (0, Op.INSERT, 0)), "events[0].page"),
        (((0, Op.INSERT, 0),), "events[1].page"),
        (((0, Op.INSERT, 0), (0, Op.PIN, 1), (0, Op.INSERT, 1)), "events[1].page"),
    ],
)
def test_events_that_make_no_sense_are_named(rows: Any, field: str) -> None:
    with pytest.raises(TraceError) as caught:
        trace(*rows)
    assert caught.value.field == field


def test_pages_and_sources_are_checked() -> None:
    with pytest.raises(TraceError, match=r"pages\[1\]\.id: found 'p'"):
        Trace("made", Source.SYNTHETIC, (page("p"), page("p")), events(*ENTER))
    with pytest.raises(TraceError, match=r"pages\[0\]\.tokens: found -1"):
        Trace("made", Source.SYNTHETIC, (page("p", -1),), events((0, Op.INSERT, 0)))
    with pytest.raises(TraceError, match=r"trace\.source: found 'guess'"):
        Trace("made", "guess", (), events())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TraceError, match="five columns of one length"):
        Events(*(np.zeros(size, dtype=np.int64) for size in (1, 1, 1, 1, 2)))  # type: ignore[arg-type]  # the operations too
    with pytest.raises(TraceError, match=r"events\.turn: found '1 dimensions of float64'"):
        Events(np.zeros(1), *(np.zeros(1, dtype=np.int64) for _ in range(4)))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("source", Source)
def test_there_is_no_optimum_on_what_retrieval_returned(source: Source) -> None:
    made = trace(*ENTER, source=source)
    if source is Source.ENDOGENOUS:
        with pytest.raises(TraceError, match=r"trace\.made\.source: found 'endogenous', allowed: one of evidence"):
            made.demand_optimum()
    else:
        made.demand_optimum()


def test_a_builder_keeps_the_order_of_events() -> None:
    builder = TraceBuilder("made", Source.RECORDED)
    builder.insert(page("a"), 0)
    builder.pin("a", 0)
    builder.insert(page("b"), 1)
    builder.check(1, 30)
    builder.unpin("a", 2)
    builder.reference("b", 2, group=4)
    builder.remove("b", 3)
    builder.notes["seen"] = 2
    made = builder.build()
    assert "a" in builder
    assert made.events.op.tolist() == [Op.INSERT, Op.PIN, Op.INSERT, Op.CHECK, Op.UNPIN, Op.REFERENCE, Op.REMOVE]
    assert made.events.page.tolist() == [0, 0, 1, NO_PAGE, 0, 1, 1]
    assert made.events.value.tolist() == [0, 0, 0, 30, 0, 0, 0]
    assert made.events.group.tolist() == [NO_GROUP] * 5 + [4, NO_GROUP]
    assert made.notes == {"seen": 2}
    with pytest.raises(TraceError, match=r"page\.id: found 'a'"):
        builder.insert(page("a"), 4)
    with pytest.raises(TraceError, match="page: found 'c', allowed: a page that came in before it is to pin"):
        builder.pin("c", 4)


def test_the_first_access_of_a_key_is_its_insertion() -> None:
    made = plain_trace("keys", Source.SYNTHETIC, [7, 2, 7, 7, 2, 0], [10, 11, 12, 13, 14, 15, 16, 17])
    assert [(each.id, each.tokens, each.ordinal) for each in made.pages] == [("7", 17, 7), ("2", 12, 2), ("0", 10, 0)]
    assert made.events.page.tolist() == [0, 1, 0, 0, 1, 2]
    assert made.is_reference.tolist() == [False, False, True, True, True, False]
    with pytest.raises(TraceError, match=r"keys: found \[0, 8\], allowed: from 0 to 7"):
        plain_trace("keys", Source.SYNTHETIC, [0, 8], [1] * 8)


def test_a_budget_fills_in_its_marks() -> None:
    assert (Budget(100).high_tokens, Budget(100).low_tokens) == (100, 100)
    assert (Budget(100, 80).low_tokens, Budget(100, 80, 40).low_tokens) == (80, 40)
    made = trace(*ENTER)
    assert Budget.share(made, 0.5) == Budget(5)
    assert Budget.share(made, 1.0, low_share=0.5, keep_last_pages=2) == Budget(11, 11, 5, 2)
    assert Budget.share(made, 0.01) == Budget(1)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ((0,), "capacity_tokens"),
        ((10, 11), "high_tokens"),
        ((10, -1), "high_tokens"),
        ((10, 8, 9), "low_tokens"),
        ((10, 8, 8, -1), "keep_last_pages"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(given: tuple[int, ...], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Budget(*given)
    assert caught.value.field == f"budget.{field}"


@pytest.mark.parametrize("share", [0.0, 1.01])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(PolicyError, match=r"budget\.share"):
        Budget.share(trace(*ENTER), share)
