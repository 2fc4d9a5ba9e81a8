"""Hibernation and waking on a real Ray: few frames, timers of sleepers, fleets and hosts that die."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.api import Cluster
from pagefault.runtime.errors import ConfigError, UnknownName
from pagefault.runtime.host.config import Agent
from pagefault.runtime.values import AgentId

pytestmark = pytest.mark.usefixtures("ray_session")
ECHO = "scripted:tests.cluster.minds:echo"
SLEEPER = Agent("sleeper", model="scripted:tests.cluster.minds:sleeper", functions=("all",))
DIARY = Agent("diary", model=ECHO)


async def diary(fleet: Cluster) -> list[tuple[int, bytes]]:
    return await fleet._parts.remote.records(AgentId("diary"))


async def woke(fleet: Cluster) -> None:
    """Return when the sleeper has written to the diary: seen in the journal, for no host must be spoken to."""
    async with asyncio.timeout(30):
        while not any(b"sleeper woke" in data for _, data in await diary(fleet)):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)


@pytest.mark.soak
async def test_forty_agents_live_in_four_frames() -> None:
    async with Cluster(embedder="hash", hosts=2, frames=2, frames_policy="s3fifo") as fleet:
        refs = await fleet.spawn_many([Agent(f"agent-{number}", model=ECHO) for number in range(40)])
        for turn in range(3):
            answers = await asyncio.gather(*(ref.ask(f"turn {turn}") for ref in refs))
            assert set(answers) == {f"heard turn {turn}"}
        steps = [(await ref.inspect()).statistics["steps"] for ref in refs[:5]]
        assert steps == [3] * 5
        router = fleet._parts.router
        resident = [await _ray.call(router.actor(name), "resident") for name in await fleet.hosts()]
        assert all(len(agents) <= 2 for agents in resident)


async def test_a_timer_rings_in_a_fleet_that_was_stopped_though_nobody_speaks_to_the_agent(tmp_path: Path) -> None:
    async with Cluster(tmp_path, embedder="hash", hosts=1) as fleet:
        await fleet.spawn_many([SLEEPER, DIARY])
        await fleet.ask("sleeper", "good night")
    async with Cluster(tmp_path, embedder="hash", hosts=1) as fleet:
        await woke(fleet)


async def test_a_sleepers_timer_rings_though_its_host_has_died() -> None:
    async with Cluster(embedder="hash", hosts=1, idle_s=0.2) as fleet:
        await fleet.spawn_many([SLEEPER, DIARY])
        await fleet.ask("sleeper", "good night")
        os.kill(await fleet.host_pid("sleeper"), signal.SIGKILL)
        await woke(fleet)


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"frames": 0}, ConfigError), ({"idle_s": -1}, ConfigError), ({"frames_policy": "no_such"}, UnknownName)],
)
def test_wrong_settings(fields: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(fields))):
        Cluster(**fields)  # type: ignore[arg-type]  # wrong on purpose
