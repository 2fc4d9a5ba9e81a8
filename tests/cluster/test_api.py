"""Cluster on a real Ray: placement, answers across processes, recovery of a host that was killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.api import Cluster
from pagefault.policies.lab.replay import replay
from pagefault.policies.registry import make_policy
from pagefault.runtime.errors import AgentExists, AgentFailed, ConfigError, StoreUnavailable, UnknownAgent, UnknownName
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.recording import recordings
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter

pytestmark = pytest.mark.usefixtures("ray_session")
ECHO = "scripted:tests.cluster.minds:echo"


@function(effect="pure")
def add(first: int, second: int) -> int:
    """Add two numbers.

    Args:
        first: One.
        second: The other.
    """
    return first + second


async def test_agents_answer_from_hosts_of_their_own_and_from_shared_ones() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        packed = await fleet.spawn_many([Agent(f"packed-{number}", model=ECHO) for number in range(20)])
        alone = await fleet.spawn(Agent("alone", model=ECHO), placement="dedicated")
        answers = await asyncio.gather(*(ref.ask("hello") for ref in [*packed, alone]))
        assert set(answers) == {"heard hello"}
        hosts = await fleet.hosts()
        assert ["alone"] in hosts.values(), "a dedicated agent has a host to itself"
        assert sorted(len(agents) for agents in hosts.values()) == [1, 20]
        inspection = await alone.inspect()
        assert inspection.phase == "idle"
        assert inspection.statistics["steps"] == 1
        assert await fleet.agents("packed-1") == [
            f"packed-{number}" for number in sorted(map(str, (1, *range(10, 20))))
        ]


async def test_a_fleet_comes_back_from_its_folder(tmp_path: Path) -> None:
    async with Cluster(tmp_path / "fleet", embedder="hash", shards=2, hosts=2) as fleet:
        refs = await fleet.spawn_many(
            [Agent(f"agent-{number}", model="scripted:tests.cluster.minds:keeper") for number in range(6)]
        )
        await asyncio.gather(*(ref.send(f"the secret of {ref.id} is {len(ref.id)}") for ref in refs))
        await fleet.idle()
        before = [(await ref.inspect()).digest for ref in refs]
    async with Cluster(tmp_path / "fleet", embedder="hash", shards=2, hosts=1) as fleet:
        refs = [fleet.agent(ref.id) for ref in refs]
        assert [(await ref.inspect()).digest for ref in refs] == before
        assert "the secret of agent-3" in await refs[3].ask("what is the secret?")


@pytest.mark.soak
async def test_pages_at_hand_in_the_hosts_tier_are_not_asked_of_the_archive() -> None:
    tiers = [{"name": "host", "capacity_tokens": 50_000, "policy": "fifo"}]
    async with Cluster(embedder="hash", hosts=1, tiers=tiers) as fleet:
        reader = await fleet.spawn(
            Agent(
                "reader",
                model="scripted:tests.cluster.minds:page_turner",
                functions=("send_message", "page_in"),
                context_tokens=2_000,
                reply_tokens=200,
                write_back="archive",
            )
        )
        for number in range(60):
            await reader.ask(f"note {number}: " + "something that takes room, " * 6)
        assert "note 1:" in await reader.ask("open p2")
        statistics = await fleet.tier_statistics()
    assert (statistics["host"]["hits"], statistics["archive"]["hits"]) == (1, 0)
    assert statistics["host"]["inserted"] > 10


@pytest.mark.soak
async def test_the_lab_evicts_what_a_cluster_evicted(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    async with Cluster(folder, embedder="hash", hosts=2, shards=2) as fleet:
        made = [
            Agent(
                f"reader-{number}",
                model="scripted:tests.cluster.minds:page_turner",
                functions=("send_message", "page_in"),
                context_tokens=1_600,
                reply_tokens=200,
                policy="arc" if number % 2 else "lru",
                write_back="handle",
            )
            for number in range(4)
        ]
        readers = await fleet.spawn_many(made)
        for number in range(60):
            text = f"open p{number}" if number % 5 == 4 else f"note {number}: " + "something that takes room, " * 5
            await asyncio.gather(*(reader.ask(text) for reader in readers))
        evicted = {reader.id: (await reader.inspect()).statistics["evictions"] for reader in readers}
    found = list(recordings(folder, Workshop(Registry(), BpeTokenCounter(), make_processor)))
    assert [recording.agent for recording in sorted(found, key=lambda each: each.agent)] == sorted(evicted)
    for recording in found:
        ran = replay(recording.trace, make_policy(recording.policy), recording.budget, tell_capacity=False)
        assert tuple(page for _, page in ran.evictions) == recording.evictions
        assert len(recording.evictions) == evicted[recording.agent] > 10


@pytest.mark.soak
async def test_agents_of_different_hosts_call_each_other() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        await fleet.spawn(Agent("bob", model=ECHO), placement="dedicated")
        ada = await fleet.spawn(Agent("ada", model="scripted:tests.cluster.minds:caller", functions=("all",)))
        assert "bob answers: heard well?" in await ada.ask("bob")
        assert "no such agent" in await ada.ask("nobody")


async def test_functions_of_the_program_run_in_hosts() -> None:
    async with Cluster(embedder="hash", hosts=1, functions=[add]) as fleet:
        ref = await fleet.spawn(
            Agent("ada", model="scripted:tests.cluster.minds:tool_user", functions=("send_message", "add"))
        )
        assert "5" in await ref.ask("add them")


async def test_agents_of_a_killed_host_wake_elsewhere_and_nothing_acknowledged_is_lost() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        ref = await fleet.spawn(Agent("ada", model=ECHO))
        for number in range(5):
            await ref.ask(f"number {number}")
        before = await ref.inspect()
        os.kill(await fleet.host_pid("ada"), signal.SIGKILL)
        assert (await ref.inspect()).digest == before.digest
        os.kill(await fleet.host_pid("ada"), signal.SIGKILL)
        assert await ref.ask("still there?") == "heard still there?"
        after = await ref.inspect()
        assert after.epoch > before.epoch
        assert after.statistics["steps"] == before.statistics["steps"] + 1


@pytest.mark.soak
async def test_steps_stream_as_they_happen() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        ref = await fleet.spawn(Agent("ada", model=ECHO))
        await ref.ask("first")
        seen = []

        async def watch() -> None:
            async for step in ref.stream():
                seen.append((step.kind, step.text))
                if step.kind == "ended":
                    return

        watching = asyncio.create_task(watch())
        while not watching.done():
            await ref.ask("again")
            await asyncio.wait([watching], timeout=0.05)
        assert ("message", "heard again") in seen
        assert seen[-1] == ("ended", "yielded")


async def test_what_is_wrong_is_said_before_anything_is_made() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        with pytest.raises(UnknownName, match="no_such_policy"):
            await fleet.spawn_many([Agent("good", model=ECHO), Agent("bad", model=ECHO, policy="no_such_policy")])
        assert await fleet.agents() == []
        with pytest.raises(UnknownAgent):
            await fleet.send("nobody", "hello")
        await fleet.spawn(Agent("ada", model=ECHO))
        await fleet.spawn(Agent("ada", model=ECHO))
        with pytest.raises(AgentExists):
            await fleet.spawn(Agent("ada", model=ECHO, persona="another"))
        broken = await fleet.spawn(Agent("broken", model="scripted:tests.cluster.test_api:not_a_mind"))
        with pytest.raises(AgentFailed, match="model_failed"):
            await broken.ask("hello")


def not_a_mind(request: object) -> object:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"placement": "everywhere"}, "placement"), ({"shards": 0}, "shards"), ({"hosts": 0}, "hosts")],
)
def test_wrong_settings(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Cluster(**fields)  # type: ignore[arg-type]  # wrong on purpose


async def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StoreUnavailable, match="file"):
        async with Cluster(blocked / "fleet", embedder="hash"):
            pass


def test_only_bytes_and_plain_values_cross(ray_session: None) -> None:
    assert _ray.cpu_count() == 4
