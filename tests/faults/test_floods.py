"""Floods: what is too much is refused with the time to come back, memory stays bounded, neighbours do not notice."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest

from pagefault.runtime.errors import AgentFailed, Overloaded
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

MAILBOX = 500
FLOOD = 30_000
AT_ONCE = 500
GROWTH_BYTES_MAX = 50 * 2**20
VICTIM, NEIGHBOUR = AgentId("victim"), AgentId("neighbour")


def message(key: str, text: str, priority: Priority = Priority.BACKGROUND) -> Interrupt:
    return Interrupt(InterruptId(key), InterruptKind.MESSAGE, priority, "flood", text)


async def worst_answer_ms(fleet: Local, prefix: str, count: int) -> float:
    """How long the neighbour takes to answer, at the 90th percentile."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        await fleet.ask(NEIGHBOUR, message(f"{prefix}{number}", "are you well?", Priority.USER))
        taken.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0)
    return sorted(taken)[int(0.9 * count)]


@pytest.mark.slow
async def test_a_flood_is_refused_and_nothing_of_it_is_dropped_in_silence() -> None:
    async with Local(embedder="hash", durability="async") as fleet:
        mind = "scripted:tests.cluster.minds:echo"
        await fleet.spawn_many([Agent(VICTIM, mailbox_max=MAILBOX), Agent(NEIGHBOUR, model=mind)])
        hold = (Priority.BACKGROUND,)
        await fleet.send(VICTIM, Interrupt(InterruptId("mask"), InterruptKind.MASK, Priority.OPERATOR, "t", mask=hold))
        await worst_answer_ms(fleet, "calm", 30)
        process = psutil.Process()
        before = process.memory_info().rss
        taken, refused, waits_ms = 0, 0, set()

        async def one(number: int) -> None:
            nonlocal taken, refused
            try:
                await fleet.send(VICTIM, message(f"f{number}", "x" * 300))
            except Overloaded as error:
                refused += 1
                waits_ms.add(error.retry_after_ms)
            else:
                taken += 1

        async def flood() -> None:
            for first in range(0, FLOOD, AT_ONCE):
                await asyncio.gather(*(one(number) for number in range(first, first + AT_ONCE)))

        flooding = asyncio.create_task(flood())
        worst_ms = await worst_answer_ms(fleet, "storm", 30)
        await flooding
        growth = process.memory_info().rss - before
        assert (taken, refused) == (MAILBOX, FLOOD - MAILBOX), "every one was either taken or refused"
        assert min(waits_ms) > 0
        assert growth < GROWTH_BYTES_MAX, f"{growth / 2**20:.0f} MB"
        assert worst_ms < 2_000, "a neighbour waits for a turn of the loop, and not for the flood's end"
        seen = await fleet.inspect(VICTIM)
        assert (seen.waiting, seen.phase) == (MAILBOX, "idle")
        assert seen.records < MAILBOX + 2 * AT_ONCE, "what is refused does not fill the journal"


async def test_a_message_that_is_too_large_is_refused_for_good() -> None:
    async with Local(embedder="hash") as fleet:
        await fleet.spawn(Agent(VICTIM))
        with pytest.raises((AgentFailed, Overloaded), match="bytes; at most"):
            await fleet.send(VICTIM, message("whale", "x" * 64 * 2**20))
        assert await fleet.ask(VICTIM, message("minnow", "hello", Priority.USER)) == ""
