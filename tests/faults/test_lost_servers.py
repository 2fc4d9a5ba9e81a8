"""A fleet on Ray whose journals are in PostgreSQL: its server dies, its host dies, it is stopped and looked at."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.reach import Which
from pagefault.runtime.errors import ConfigError, Overloaded, StoreUnavailable
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.survey import survey_folder
from tests.postgres_server import PostgresServer, running_server

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.soak]
ECHO = "scripted:tests.cluster.minds:echo"
NAMES = [f"agent-{number}" for number in range(6)]


async def _ask_until_heard(fleet: Cluster, name: str, text: str) -> str:
    async with asyncio.timeout(60):
        while True:
            try:
                return await fleet.ask(name, text)
            except (StoreUnavailable, Overloaded):
                await asyncio.sleep(0.1)


async def _live(fleet: Cluster, server: PostgresServer) -> None:
    await asyncio.gather(*(fleet.spawn(Agent(name, model=ECHO, snapshot_steps=2)) for name in NAMES))
    assert [await fleet.ask(name, "one") for name in NAMES] == ["heard one"] * len(NAMES)
    server.kill()
    server.start()
    assert [await _ask_until_heard(fleet, name, "two") for name in NAMES] == ["heard two"] * len(NAMES)
    os.kill(await fleet.host_pid(NAMES[0]), signal.SIGKILL)
    assert [await _ask_until_heard(fleet, name, "three") for name in NAMES] == ["heard three"] * len(NAMES)


async def test_a_fleet_outlives_its_server_and_its_host_and_is_looked_at_when_it_is_stopped(tmp_path: Path) -> None:
    with running_server() as server:
        journal = server.address()
        async with Cluster(tmp_path, journal=journal, embedder="hash", shards=2, hosts=1) as fleet:
            await _live(fleet, server)
        rows = survey_folder(tmp_path, journal=journal)
        assert [(row.agent, row.waiting) for row in rows] == [(name, 0) for name in NAMES]
        steps = [row.steps or 0 for row in rows]
        assert min(steps) >= 3  # what was sent again because its server died under it may have arrived twice
        with pytest.raises(ConfigError, match="this one has 2"):
            Which(tmp_path, None, None, "hash", journal).open(tmp_path)
        async with Cluster(tmp_path, journal=journal, embedder="hash", shards=2, hosts=1) as fleet:
            assert (await fleet.inspect(NAMES[0])).statistics["steps"] == steps[0]
            assert (await fleet.replay(NAMES[0], step=1)).inspection.statistics["steps"] == 1
