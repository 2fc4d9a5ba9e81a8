"""An agent is held, let go on, told something, and stopped in what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pagefault.cluster.console.control import cancel, pause, resume, tell
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import AgentRow
from tests.cluster.console.lived import STARTED, chronicle


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Local]:
    async with Local(tmp_path, embedder="hash") as opened:
        await opened.spawn(chronicle("ada"))
        await opened.spawn(Agent("slow", model="scripted:test-never"))
        yield opened


async def row(fleet: Local, agent: str) -> AgentRow:
    return next(row for row in await fleet.survey(agent) if row.agent == agent)


async def test_one_that_is_held_takes_up_nothing_until_it_may(fleet: Local) -> None:
    await tell(fleet, "ada", "Entry one.")
    await fleet.idle()
    await pause(fleet, "ada")
    await tell(fleet, "ada", "Entry two.")
    await fleet.idle()
    held = await row(fleet, "ada")
    assert (held.held, held.waiting, held.steps) == (True, 1, 1)
    assert await fleet.hibernate("ada")
    assert [page.text for page in (await fleet.inspect("ada")).pages] == ["Entry one."], "also when it has slept"
    await resume(fleet, "ada")
    await fleet.idle()
    free = await row(fleet, "ada")
    assert (free.held, free.waiting, free.steps) == (False, 0, 2)


async def test_what_it_does_is_broken_off(fleet: Local) -> None:
    started = asyncio.Event()
    STARTED[:] = [started]
    asked = asyncio.create_task(fleet.answer("slow", "Think for ever."))
    async with asyncio.timeout(20):
        await started.wait()
    assert (await row(fleet, "slow")).phase == "thinking"
    await cancel(fleet, "slow")
    assert (await asked).outcome == "cancelled"
    assert (await row(fleet, "slow")).phase == "idle"


async def test_a_chain_that_runs_goes_on_though_its_agent_is_held_and_may_be_cancelled(fleet: Local) -> None:
    started = asyncio.Event()
    STARTED[:] = [started]
    asked = asyncio.create_task(fleet.answer("slow", "Think for ever."))
    async with asyncio.timeout(20):
        await started.wait()
    await pause(fleet, "slow")
    await tell(fleet, "slow", "And this.")
    held = await row(fleet, "slow")
    assert (held.phase, held.held, held.waiting) == ("thinking", True, 1)
    await cancel(fleet, "slow")
    assert (await asked).outcome == "cancelled"
    rests = await row(fleet, "slow")
    assert (rests.phase, rests.held, rests.waiting) == ("idle", True, 1), "what is new still waits"
