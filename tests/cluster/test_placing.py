"""Placement, moves and drains as a driver asks for them."""

from __future__ import annotations

import asyncio

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.api import Cluster
from pagefault.runtime.errors import ConfigError, PagefaultError, UsageError
from pagefault.runtime.host.config import Agent

pytestmark = pytest.mark.usefixtures("ray_session")
ECHO = "scripted:tests.cluster.minds:echo"


@pytest.mark.soak  # nodes that are drained are among the tests of faults, hosts among those of moves
async def test_agents_live_near_each_other_and_leave_a_host_that_is_drained() -> None:
    async with Cluster(embedder="hash", hosts=2) as fleet:
        ada, bob = [await fleet.spawn(Agent(name, model=ECHO)) for name in ("ada", "bob")]
        near = await fleet.spawn(Agent("near", model=ECHO), near="ada")
        assert [await ref.ask("hello") for ref in (ada, bob, near)] == ["heard hello"] * 3
        homes = {agent: host for host, agents in (await fleet.hosts()).items() for agent in agents}
        assert homes["near"] == homes["ada"] != homes["bob"]
        assert await fleet.move(["near"], homes["bob"]) == 1
        assert set((await fleet.hosts())[homes["bob"]]) == {"bob", "near"}

        (node,) = await fleet.nodes()
        assert (node["id"], node["drained"], node["agents"]) == (_ray.this_node(), False, 3)
        assert await fleet.drain(homes["ada"]) == {"agents": 1, "hosts": 1}
        assert homes["ada"] not in await fleet.hosts()
        assert await ada.ask("moved?") == "heard moved?"
        assert (await ada.inspect()).statistics["steps"] == 2

        await fleet.idle()
        assert await fleet.hibernate("ada")
        assert [row.phase for row in await fleet.survey("ada")] == ["asleep"]
        assert await fleet.hibernate("nobody-yet"), "who has no host has no frame"

        assert await fleet.move(["near"], _ray.this_node()[:8]) in {0, 1}, "a node may be given by how its id begins"
        for place in ("no-such", _ray.this_node()[:3]):
            with pytest.raises(UsageError, match="drain: found"):
                await fleet.drain(place)


@pytest.mark.soak
async def test_wishes_that_cannot_be_are_said_before_anything_is_made() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        with pytest.raises(ConfigError, match="resources"):
            await fleet.spawn(Agent("ada", model=ECHO), resources={"CPU": 1})
        with pytest.raises(ConfigError, match="near"):
            await fleet.spawn(Agent("ada", model=ECHO), node=_ray.this_node(), near="bob")
        assert await fleet.agents() == []
        alone = await fleet.spawn(Agent("alone", model=ECHO), "dedicated", node=_ray.this_node())
        assert await alone.ask("hello") == "heard hello"
        assert ["alone"] in (await fleet.hosts()).values()


async def test_a_fleet_that_another_driver_stopped_is_gone_for_its_first_one_too() -> None:
    async with Cluster(name="stopped", embedder="hash", hosts=1) as fleet:
        await fleet.spawn(Agent("ada", model=ECHO))
        await fleet.ask("ada", "hello")
        async with Cluster.attach("stopped") as other:
            await other.stop()
        async with asyncio.timeout(60):
            while await _answers(fleet):  # noqa: ASYNC110 - it ends in another process, a moment later
                await asyncio.sleep(0.1)
        with pytest.raises(PagefaultError):
            await fleet.ask("ada", "are you there?", timeout_s=60)


async def _answers(fleet: Cluster) -> bool:
    try:
        await fleet.hosts()
    except PagefaultError:
        return False
    return True
