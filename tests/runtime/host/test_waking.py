"""Accepted work and timers go on by themselves: after a kill, after a hibernation, after a failure of the store."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from pagefault.runtime.errors import Overloaded, StoreUnavailable, UnknownAgent
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.timers import Timers
from pagefault.runtime.host.waking import HORIZON_MS, LOOK_MS, WAKERS_MAX, Waking
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.testing.clock import ManualClock
from pagefault.runtime.values import AgentId, ModelRequest
from tests.runtime.host.answering import GRACE_MINUTES, hold_no_more
from tests.runtime.host.test_host import ADA, Fleet, message

BOB = AgentId("bob")
MINUTE_MS = 60_000


def sleeper(request: ModelRequest) -> Reply:
    """Sets a timer when spoken to, and says so when it rings."""
    incoming = View(request).incoming
    assert incoming is not None
    return say("ding") if incoming.author == "timer" else call("set_timer", minutes=5, message="ring")


async def said(fleet: Fleet, agent: AgentId, text: str) -> None:
    """Return when the agent says this; begin before the reason for it."""
    stream = fleet.host.listeners.stream(agent)
    async with asyncio.timeout(10):
        async for step in stream:
            if step.kind == "message" and step.text == text:
                break
    stream.close()


async def beginning(fleet: Fleet, agent: AgentId, text: str) -> asyncio.Task[None]:
    task = asyncio.ensure_future(said(fleet, agent, text))
    await asyncio.sleep(0)
    return task


async def end(*fleets: Fleet) -> None:
    for fleet in fleets:
        await fleet.router.close()
        await fleet.host.close()
    await fleets[0].stores.close()


async def test_a_timer_rings_after_its_process_has_died_though_nobody_speaks_to_the_agent(tmp_path: Path) -> None:
    first = Fleet(tmp_path, sleeper)
    await first.spawn(Agent("ada", functions=("all",)))
    await first.answer(ADA, message("wake me"))
    # The process dies here: nothing is closed or saved, and another host takes over when the time has come.
    second = Fleet(tmp_path, sleeper, stores=first.stores)
    second.clock.advance(6 * MINUTE_MS)
    waiting = await beginning(second, ADA, "ding")
    second.host.watch()
    await waiting
    await end(second, first)


async def test_a_timer_that_is_not_yet_due_is_waited_for_without_a_frame(tmp_path: Path) -> None:
    first = Fleet(tmp_path, sleeper)
    await first.spawn(Agent("ada", functions=("all",)))
    await first.answer(ADA, message("wake me"))
    second = Fleet(tmp_path, sleeper, stores=first.stores)
    waiting = await beginning(second, ADA, "ding")
    second.host.watch()
    for _ in range(5 * MINUTE_MS // LOOK_MS - 1):
        await pause()
        second.clock.advance(LOOK_MS)
    await pause()
    assert ADA not in second.host.frames
    second.clock.advance(LOOK_MS)
    await waiting
    await end(second, first)


async def pause() -> None:
    """Let everything that can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_work_under_way_goes_on_after_its_process_has_died_though_nobody_speaks_to_the_agent(
    tmp_path: Path,
) -> None:
    began = asyncio.Event()

    @function(effect="pure")
    async def hold() -> str:
        """Never end."""
        began.set()
        await asyncio.Event().wait()
        return ""

    first = Fleet(tmp_path, lambda request: say("held") if View(request).result else call("hold", True))
    first.registry.add(hold)
    await first.spawn(Agent("ada", functions=("send_message", "hold")))
    await first.spawn(Agent("bob"))
    await first.host.deliver(ADA, message("are you there?"))
    await began.wait()
    assert [agent for agent, _ in await first.stores.due(0)] == [ADA]

    @function(effect="pure", name="hold")
    def go_on() -> str:
        """End at once."""
        return ""

    second = Fleet(tmp_path, lambda _: say("held"), stores=first.stores)
    second.registry.add(go_on)
    waiting = await beginning(second, ADA, "held")
    second.host.watch()
    await waiting
    await second.host.committer.settled()
    assert await first.stores.due(10**15) == []
    assert BOB not in second.host.frames, "who has nothing to do is left asleep"
    await end(second, first)


@pytest.mark.slow
async def test_work_and_timers_of_a_killed_process_go_on_when_its_folder_is_opened(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.runtime.host.answering", str(tmp_path), "hang"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"hanging"
    process.kill()
    await process.communicate()
    clock = ManualClock(SystemClock().now_ms() + 2 * GRACE_MINUTES * MINUTE_MS)
    async with Local(tmp_path, embedder="hash", clock=clock, functions=[hold_no_more]) as fleet:
        async with asyncio.timeout(20):
            await fleet.idle()
        for name, heard in (("worker", "done: accepted, not handled"), ("sleeper", "ding")):
            said = [call.arguments for each in (await fleet.inspect(name)).messages for call in each.calls]
            assert any(heard in arguments for arguments in said), (name, said)


class Sleepers:
    """A waking with agents that note when they are activated."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.waking = Waking(self.clock, self.activate)
        self.timers = Timers(self.clock, self.waking.rung)
        self.waking.use(self.timers)
        self.woken: list[AgentId] = []
        self.failures: list[Exception] = []
        self.at_once = 0
        self.at_once_max = 0

    async def activate(self, agent: AgentId) -> None:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.woken.append(agent)

    async def close(self) -> None:
        await self.waking.close()
        await self.timers.close()


async def test_who_woke_by_itself_is_not_woken_again() -> None:
    sleepers = Sleepers()
    now_ms = sleepers.clock.now_ms()
    sleepers.waking.asleep(ADA, now_ms + 1_000)
    sleepers.waking.asleep(BOB, now_ms + 1_000)
    sleepers.waking.awake(BOB)
    await asyncio.sleep(0)
    sleepers.clock.advance(1_000)
    await pause()
    assert sleepers.woken == [ADA]
    await sleepers.close()


async def test_far_times_are_left_to_the_journal() -> None:
    sleepers = Sleepers()
    sleepers.waking.asleep(ADA, sleepers.clock.now_ms() + HORIZON_MS + 1)
    sleepers.waking.asleep(BOB, None)
    assert sleepers.timers.next_ms() is None
    await sleepers.close()


async def test_thousands_that_are_due_wake_in_turns() -> None:
    sleepers = Sleepers()
    names = [AgentId(f"agent-{number}") for number in range(3_000)]
    sleepers.waking.expect((name, 0) for name in names)
    while sleepers.waking.is_busy:  # noqa: ASYNC110 - nothing here could set an event
        await asyncio.sleep(0)
    assert sorted(sleepers.woken) == sorted(names)
    assert sleepers.at_once_max == WAKERS_MAX
    await sleepers.close()


async def test_who_cannot_be_woken_now_is_woken_later_and_who_never_can_is_left() -> None:
    sleepers = Sleepers()
    sleepers.failures = [StoreUnavailable("down"), Overloaded("full"), UnknownAgent("nobody")]
    for agent in (ADA, BOB, AgentId("nobody")):
        sleepers.waking.now(agent)
    await pause()
    assert sleepers.woken == []
    assert [sleepers.waking.is_busy] == [True], "whoever is to be tried again is not forgotten"
    sleepers.clock.advance(1_000)
    await pause()
    assert sorted(sleepers.woken) == [ADA, BOB]
    is_busy = [sleepers.waking.is_busy]
    sleepers.clock.advance(MINUTE_MS)
    await pause()
    assert len(sleepers.woken) == 2
    assert [*is_busy, sleepers.waking.is_busy] == [False, False]
    await sleepers.close()
