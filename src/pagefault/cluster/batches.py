"""Batches between routers and hosts: many interrupts, many receipts.

Those of a batch have most in common, so they travel as columns: a batch of hundreds takes a fraction of the time,
on both sides, that its interrupts would take one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pagefault.cluster.wire import pack, unpack
from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.store.codec import TAGS
from pagefault.runtime.store.columns import Columns
from pagefault.runtime.values import AgentId, Interrupt

Answer: TypeAlias = Receipt | list[str]
"""A receipt, or an error as :func:`pagefault.cluster.wire.pack_error` gives it."""

_INTERRUPTS = Columns(Interrupt, frozenset(TAGS.values()))
_RECEIPTS = Columns(Receipt, frozenset(TAGS.values()))


def pack_parcels(agents: Sequence[AgentId], interrupts: Sequence[Interrupt]) -> bytes:
    """An interrupt for each of the agents, which may repeat."""
    return pack([list(agents), _INTERRUPTS.write(interrupts)])


def unpack_parcels(data: bytes) -> list[tuple[AgentId, Interrupt]]:
    """What :func:`pack_parcels` was given.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
    value = unpack(data)
    if type(value) is not list or len(value) != 2 or type(value[0]) is not list:
        raise StoreCorrupt("a batch of interrupts: allowed: agents, then interrupts as columns")
    agents, interrupts = value[0], _INTERRUPTS.read(value[1])
    if len(agents) != len(interrupts) or not all(type(agent) is str for agent in agents):
        raise StoreCorrupt(f"a batch of {len(interrupts)} for {len(agents)} agents: allowed: a name for each")
    return list(zip(agents, interrupts, strict=True))


def pack_answers(answers: Sequence[Answer]) -> bytes:
    """What became of each interrupt of a batch, in its order."""
    receipts = [answer for answer in answers if isinstance(answer, Receipt)]
    errors = [[place, answer] for place, answer in enumerate(answers) if not isinstance(answer, Receipt)]
    return pack([_RECEIPTS.write(receipts), errors])


def unpack_answers(data: bytes) -> list[Answer]:
    """What :func:`pack_answers` was given.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
    value = unpack(data)
    if type(value) is not list or len(value) != 2 or type(value[1]) is not list:
        raise StoreCorrupt("answers to a batch: allowed: receipts as columns, then errors with their places")
    answers: list[Answer] = list(_RECEIPTS.read(value[0]))
    for item in value[1]:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not int or not 0 <= item[0] <= len(answers):
            raise StoreCorrupt(f"answers to a batch: found {item!r:.80}, allowed: an error with its place")
        answers.insert(item[0], item[1])
    return answers
