from __future__ import annotations

import asyncio

import pytest

from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.host import listeners as module
from pagefault.runtime.host.listeners import Listeners
from pagefault.runtime.host.records import Receipt, Step
from pagefault.runtime.kernel.effects import ChainEnded
from pagefault.runtime.values import AgentId, InterruptId

ADA, BOB, KEY = AgentId("ada"), AgentId("bob"), InterruptId("k")


async def test_what_was_said_is_the_answer_and_nothing_stays_behind() -> None:
    listeners = Listeners()
    listeners.say(ADA, KEY, "nobody asked")
    future = listeners.answer(ADA, KEY)
    listeners.say(ADA, KEY, "one")
    listeners.say(ADA, KEY, "two")
    listeners.say(BOB, KEY, "another agent")
    listeners.end(ADA, ChainEnded(KEY, "yielded", 2))
    answer = await future
    assert (answer.text, answer.outcome, answer.steps) == ("one\ntwo", "yielded", 2)
    assert not listeners._answers
    assert not listeners._said


async def test_a_receipt_goes_to_all_who_sent_that_interrupt() -> None:
    listeners = Listeners()
    futures = [listeners.receipt(ADA, KEY) for _ in range(3)]
    futures[0].cancel()
    listeners.give_receipt(ADA, KEY, Receipt(True))
    assert all([(await future).accepted for future in futures[1:]])
    assert not listeners._receipts


async def test_a_failure_reaches_those_who_wait_for_that_agent_only() -> None:
    listeners = Listeners()
    mine, answer, other = listeners.receipt(ADA, KEY), listeners.answer(ADA, KEY), listeners.receipt(BOB, KEY)
    listeners.say(ADA, KEY, "half of it")
    listeners.fail(ADA, StoreUnavailable("gone"))
    for future in (mine, answer):
        with pytest.raises(StoreUnavailable):
            await future
    assert not other.done()
    assert not listeners._said
    listeners.fail_all(StoreUnavailable("all gone"))
    with pytest.raises(StoreUnavailable, match="all gone"):
        await other


async def test_a_slow_reader_loses_the_oldest_steps_and_can_see_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS_WAITING_MAX", 3)
    listeners = Listeners()
    stream, every = listeners.stream(ADA), listeners.stream(None)
    assert listeners.is_watched(BOB)
    for number in range(5):
        listeners.show(Step(ADA, "k", "step", str(number)))
    steps, is_over = await stream.take(10, 1)
    assert ([step.text for step in steps], stream.lost, is_over) == (["2", "3", "4"], 2, False)
    assert await stream.take(10, 0) == ([], False)
    listeners.close()
    assert await stream.take(10, 1) == ([], True)
    async with asyncio.timeout(5):
        assert [step.text async for step in every] == ["3", "4"]
    assert not listeners.is_watched(ADA)
