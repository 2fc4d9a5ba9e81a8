"""From agent to agent: what cannot be delivered is kept, told to its sender, and sent again when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from pagefault.runtime.errors import Overloaded, StoreUnavailable, UnknownAgent
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.host.routing import ATTEMPTS_MAX, FAN_OUT_MAX, carry, fan_out, resend
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, InterruptId, InterruptKind, Priority
from tests.runtime.host.naive_stores import NaiveStores

ANN, BOB = AgentId("ann"), AgentId("bob")


class Office:
    """A clock that jumps, agents that answer by a rule, and the letters that were buried."""

    def __init__(self, rule: dict[AgentId, list[Receipt | Exception]]) -> None:
        self.at_ms = 1_000
        self.rule = rule
        self.tried: list[tuple[AgentId, Interrupt]] = []
        self.buried: list[DeadLetter] = []
        self.store_failures = 0

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        self.at_ms = max(self.at_ms, at_ms)
        await asyncio.sleep(0)

    async def deliver(self, agent: AgentId, interrupt: Interrupt) -> Receipt:
        self.tried.append((agent, interrupt))
        answers = self.rule.get(agent, [Receipt(True)])
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def bury(self, sender: str, letters: Sequence[DeadLetter]) -> None:
        if self.store_failures:
            self.store_failures -= 1
            raise StoreUnavailable("full")
        self.buried += letters

    async def carry(self, interrupt: Interrupt, to: AgentId = BOB, sender: AgentId = ANN) -> bool:
        return await carry(self.deliver, self.bury, self, sender, to, interrupt)

    @property
    def told(self) -> list[Interrupt]:
        return [interrupt for agent, interrupt in self.tried if agent == ANN]


def message(**fields: object) -> Interrupt:
    fields = {"kind": InterruptKind.MESSAGE, "priority": Priority.AGENT, "sender": "ann", "text": "hm", **fields}
    return Interrupt(InterruptId("ann/1"), **fields)  # type: ignore[arg-type]  # a test's fields


FULL = Receipt(False, reason="its mailbox is full", retry_after_ms=1_000)


async def test_a_full_mailbox_is_tried_again_when_it_says() -> None:
    office = Office({BOB: [FULL, Overloaded("busy", 300), StoreUnavailable("down"), Receipt(True)]})
    assert await office.carry(message())
    assert office.at_ms == 1_000 + 1_000 + 300 + 500
    assert not office.buried


@pytest.mark.parametrize(
    ("answer", "fields", "why"),
    [
        (UnknownAgent("no"), {}, "there is no such agent"),
        (FULL, {}, "its mailbox is full"),
        (FULL, {"deadline_ms": 4_500}, "its deadline passed on the way"),
        (Receipt(False, reason="passed through more than 16 agents"), {"hops": 17}, "passed through more than 16"),
    ],
)
async def test_what_cannot_be_delivered_is_kept_and_its_sender_told(
    answer: Receipt | Exception, fields: dict[str, object], why: str
) -> None:
    office = Office({BOB: [answer]})
    sent = message(wants_reply=True, **fields)
    assert not await office.carry(sent)
    (letter,) = office.buried
    assert (letter.to, letter.interrupt, letter.at_ms) == (BOB, sent, office.at_ms)
    assert letter.why.startswith(why)
    (told,) = office.told
    assert (told.kind, told.in_reply_to, told.failed) == (InterruptKind.REPLY, sent.id, True)
    assert len(office.tried) <= ATTEMPTS_MAX + 1


async def test_replies_are_kept_too_but_nobody_is_told_of_them_and_of_cancels_nothing_is_kept() -> None:
    office = Office({BOB: [UnknownAgent("no")]})
    assert not await office.carry(message(kind=InterruptKind.REPLY))
    assert [letter.interrupt.kind for letter in office.buried] == [InterruptKind.REPLY]
    assert not await office.carry(message(kind=InterruptKind.CANCEL))
    assert not await office.carry(message(sender="system"))
    assert len(office.buried) == 1
    assert not office.told


async def test_a_letter_that_cannot_be_kept_settles_nothing() -> None:
    office = Office({BOB: [UnknownAgent("no")]})
    office.store_failures = 3
    assert not await office.carry(message())
    assert len(office.buried) == 1, "a store that comes back in time is waited for"
    office.store_failures = ATTEMPTS_MAX
    with pytest.raises(StoreUnavailable):
        await office.carry(message())
    assert len(office.told) == 1


async def test_many_receivers_are_written_to_a_batch_at_a_time() -> None:
    under_way, most = 0, 0

    async def one(agent: AgentId) -> bool:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        if agent.endswith("7"):
            raise StoreUnavailable("down")
        return not agent.endswith("3")

    good = [AgentId(f"a{number}") for number in range(1_500) if number % 10 != 7]
    assert await fan_out(one, good) == 1_200
    assert most == FAN_OUT_MAX
    with pytest.raises(StoreUnavailable):
        await fan_out(one, [AgentId("a7"), AgentId("a1")])


async def test_resending_begins_anew_and_what_is_accepted_is_a_dead_letter_no_more(tmp_path: Path) -> None:
    stores = NaiveStores(tmp_path)
    office = Office({BOB: [UnknownAgent("no")], ANN: [UnknownAgent("no")]})
    await office.carry(message(deadline_ms=9_000, wants_reply=True, hops=3, callers=(ANN,)))
    await office.carry(message(kind=InterruptKind.REPLY, sender="bob"), to=ANN, sender=BOB)
    await stores.add_letters(office.buried)
    ids = [letter.id for letter in office.buried]
    assert await resend(office.deliver, stores, ids) == []
    office.rule[BOB] = [Receipt(True)]
    assert await resend(office.deliver, stores, ids) == ids[:1]
    assert [letter.id for letter in await stores.letters(9)] == ids[1:]
    again = next(interrupt for agent, interrupt in reversed(office.tried) if agent == BOB)
    assert (again.text, again.deadline_ms, again.wants_reply, again.hops, again.callers) == ("hm", None, False, 0, ())
    await stores.close()
