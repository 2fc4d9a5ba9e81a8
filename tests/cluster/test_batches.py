"""Batches come back as they were, and damage is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.batches import Answer, pack_answers, pack_parcels, unpack_answers, unpack_parcels
from pagefault.cluster.wire import pack
from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

INTERRUPT = st.builds(
    Interrupt,
    id=st.text(max_size=5).map(InterruptId),
    kind=st.sampled_from(InterruptKind),
    priority=st.sampled_from(Priority),
    sender=st.text(max_size=5),
    text=st.text(max_size=30),
    created_ms=st.integers(0, 2**45),
    deadline_ms=st.none() | st.integers(0, 2**45),
    importance=st.none() | st.floats(0, 1),
    wants_reply=st.booleans(),
    mask=st.lists(st.sampled_from(Priority), max_size=2).map(tuple),
    callers=st.lists(st.text(max_size=4).map(AgentId), max_size=3).map(tuple),
)
RECEIPT = st.builds(Receipt, st.booleans(), st.booleans(), st.text(max_size=9), st.integers(0, 10**6))
ERROR = st.lists(st.text(max_size=9), min_size=2, max_size=3)


@given(st.lists(st.tuples(st.text(max_size=5).map(AgentId), INTERRUPT), max_size=9))
def test_interrupts_come_back(parcels: list[tuple[AgentId, Interrupt]]) -> None:
    data = pack_parcels([agent for agent, _ in parcels], [interrupt for _, interrupt in parcels])
    assert unpack_parcels(data) == parcels
    assert [repr(interrupt) for _, interrupt in unpack_parcels(data)] == [repr(interrupt) for _, interrupt in parcels]


@given(st.lists(RECEIPT | ERROR, max_size=12))
def test_answers_come_back_in_their_order(answers: list[Answer]) -> None:
    assert unpack_answers(pack_answers(answers)) == answers


def test_a_batch_of_two_hundred_is_small() -> None:
    many = [Interrupt(InterruptId(f"i{n}"), InterruptKind.MESSAGE, Priority.USER, "user", "hello") for n in range(200)]
    assert len(pack_parcels([AgentId("ada")] * 200, many)) < 200 * 24
    assert len(pack_answers([Receipt(True)] * 200)) < 100


@pytest.mark.parametrize("value", [[], [["ada"]], [["ada"], []], ["ada", {}], [[5], {}], [[], {"count": 1}], 7])
def test_what_is_no_batch_is_refused(value: object) -> None:
    with pytest.raises(StoreCorrupt):
        unpack_parcels(pack(value))


@pytest.mark.parametrize("errors", [[5], [[0]], [["0", ["a", "b"]]], [[3, ["a", "b"]]], [[-1, ["a", "b"]]]])
def test_what_are_no_answers_is_refused(errors: object) -> None:
    with pytest.raises(StoreCorrupt):
        unpack_answers(pack([{"count": 0, "same": {}, "each": {}}, errors]))
