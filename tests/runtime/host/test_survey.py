"""Surveys: what is said of agents that run, sleep, or are only on disk; and that nobody is woken for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.host.survey import ASLEEP, DUE, merged, survey_folder
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.store.protocols import WORK
from pagefault.runtime.values import AgentId, ModelRequest

GATE = asyncio.Event()


@mind("survey_echo")
def echo(request: ModelRequest) -> Reply:
    return say("heard")


@mind("survey_timer")
def timer(request: ModelRequest) -> Reply:
    return call("set_timer", minutes=60, message="ring")


@mind("survey_slow")
async def slow(request: ModelRequest) -> Reply:
    await GATE.wait()
    return nothing()


async def test_a_survey_wakes_nobody_and_knows_who_works_sleeps_and_waits(tmp_path: Path) -> None:
    GATE.clear()
    async with Local(tmp_path, embedder="hash") as fleet:
        await fleet.spawn_many([Agent(f"asleep-{number}", model="scripted:survey_echo") for number in range(300)])
        await fleet.spawn(Agent("slow", model="scripted:survey_slow"))
        awake = await fleet.spawn(Agent("awake", model="scripted:survey_echo"))
        waits = await fleet.spawn(Agent("waits", model="scripted:survey_timer", functions=("all",)))
        await awake.ask("hello")
        await waits.ask("wake me")
        for number in range(3):
            await fleet.send("slow", f"message {number}")
        while (await fleet.inspect("slow")).phase != "thinking":  # noqa: ASYNC110 - the next turn of the loop brings it
            await asyncio.sleep(0)
        rows = await fleet.survey()
        assert list(fleet.host.frames) == ["awake", "waits", "slow"]
        assert [row.agent for row in rows] == sorted(row.agent for row in rows)
        assert len(rows) == 303
        found = {row.agent: row for row in rows}
        assert found[AgentId("asleep-7")] == AgentRow(AgentId("asleep-7"), ASLEEP)
        row = found[AgentId("awake")]
        assert (row.phase, row.place, row.waiting, row.steps, row.faults) == ("idle", "local", 0, 1, 0)
        assert row.tokens is not None
        assert row.prompt_limit is not None
        assert 0 < row.tokens < row.prompt_limit
        row = found[AgentId("slow")]
        assert (row.phase, row.waiting) == ("thinking", 2)
        assert row.oldest_ms is not None
        assert fleet.host.clock.now_ms() - 60_000 < row.oldest_ms <= fleet.host.clock.now_ms()
        wake_ms = found[AgentId("waits")].timer_ms
        assert wake_ms is not None
        assert [row.agent for row in await fleet.survey("wa")] == ["waits"]
        with pytest.raises(StoreUnavailable, match="one process at a time"):
            survey_folder(tmp_path)
        GATE.set()
        await fleet.idle()
    kept = {row.agent: row for row in survey_folder(tmp_path)}
    assert list(kept) == list(found)
    saved = kept[AgentId("waits")]
    assert (saved.phase, saved.place, saved.timer_ms, saved.waiting) == (ASLEEP, "", wake_ms, 0)
    assert saved.steps is not None, "what was saved of a sleeper is read, without waking it"
    assert saved.steps > 0
    assert saved.tokens is not None
    assert saved.prompt_limit is not None
    assert 0 < saved.tokens <= saved.prompt_limit
    assert [row.agent for row in survey_folder(tmp_path, "wa")] == ["waits"]


def test_who_is_seen_twice_is_shown_once_and_who_has_work_is_due() -> None:
    ada, bob, eve = map(AgentId, ("ada", "bob", "eve"))
    rows = merged(
        [AgentRow(bob, "idle", "one"), AgentRow(bob, "idle", "two")], [ada, bob, eve], [(ada, WORK), (eve, 7)]
    )
    assert rows == [AgentRow(ada, DUE), AgentRow(bob, "idle", "two"), AgentRow(eve, ASLEEP, timer_ms=7)]


def test_a_folder_without_a_fleet_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="holds no journal"):
        survey_folder(tmp_path)


async def test_who_looked_before_sees_what_one_sees_who_never_did() -> None:
    async with Local(embedder="hash") as fleet:
        echoes = await fleet.spawn_many([Agent(f"echo-{number}", model="scripted:survey_echo") for number in range(4)])
        timers = await fleet.spawn_many(
            [Agent(f"timer-{number}", model="scripted:survey_timer", functions=("all",)) for number in range(2)]
        )
        for turn in range(20):
            for agent in (echoes[turn % 4], timers[turn % 2]):
                await agent.send(f"message {turn}")
            for _ in range(turn):
                await asyncio.sleep(0)
            before = fleet.host.survey(place="local")
            for frame in fleet.host.frames.values():
                frame.row = None
            assert fleet.host.survey(place="local") == before
        await fleet.idle()
        rested = {row.agent: row for row in await fleet.survey()}
        await echoes[0].ask("and again")
        after = {row.agent: row for row in await fleet.survey()}
    assert after[echoes[0].id].steps == (rested[echoes[0].id].steps or 0) + 1
    assert all(after[agent] is row for agent, row in rested.items() if agent != echoes[0].id), "who rests costs nothing"
    assert {row.place for row in after.values()} == {"local"}
