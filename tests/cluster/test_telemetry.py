"""A fleet's metrics over hosts, shards and Ray."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pagefault.cluster._ray_metrics import RayMeters
from pagefault.cluster.api import Cluster
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.telemetry.meters import Meters, Sample, totals
from pagefault.runtime.host.telemetry.table import METRICS

pytestmark = pytest.mark.usefixtures("ray_session")
ECHO = "scripted:tests.cluster.minds:echo"


def value(samples: list[Sample], name: str, **labels: str) -> Any:
    wanted = labels.items()
    chosen = [each for each in samples if each["name"] == name and wanted <= each["labels"].items()]
    return sum(each["value"] if "value" in each else sum(each["counts"]) for each in chosen)


async def test_every_host_and_shard_says_what_it_has_done_and_sums_are_the_fleets() -> None:
    async with Cluster(embedder="hash", hosts=2, shards=2) as fleet:
        agents = await fleet.spawn_many([Agent(f"agent-{number}", model=ECHO) for number in range(10)])
        for _ in range(3):
            await asyncio.gather(*(agent.ask("hello") for agent in agents))
        samples = await fleet.metrics()
        hosts = await fleet.hosts()
    for name, held in hosts.items():
        assert value(samples, "pagefault_steps_total", host=name) == 3 * len(held), "each host counts its own"
    summed = totals(samples, "host", "shard")
    assert value(summed, "pagefault_interrupts_total", priority="user", outcome="accepted") == 30
    assert value(summed, "pagefault_first_step_seconds") == 30
    assert value(summed, "pagefault_hosts") == 2
    assert value(summed, "pagefault_agents") == 10
    assert {each["labels"]["shard"] for each in samples if each["name"] == "pagefault_agents"} == {
        "store-00",
        "store-01",
    }


class Told:
    """What Ray is told, in place of its meters, which say nothing back."""

    def __init__(self) -> None:
        self.said: list[tuple[str, float, dict[str, str]]] = []

    def inc(self, amount: float, tags: dict[str, str]) -> None:
        self.said.append(("inc", amount, tags))

    def set(self, amount: float, tags: dict[str, str]) -> None:
        self.said.append(("set", amount, tags))

    def observe(self, amount: float, tags: dict[str, str]) -> None:
        self.said.append(("observe", amount, tags))


class Recording(RayMeters):
    def __init__(self, told: Told) -> None:
        super().__init__({"fleet": "town", "host": "host-1"})
        self._told = told

    def _made(self, name: str, tag_keys: tuple[str, ...]) -> Any:
        return self._told


def test_ray_is_told_of_growth_alone() -> None:
    told = Told()
    exporter, meters = Recording(told), Meters()
    whose = {"fleet": "town", "host": "host-1"}
    meters.add("pagefault_chains_total", "yielded", by=3)
    meters.put("pagefault_hosts", value=2)
    meters.observe("pagefault_archive_search_seconds", seconds=0.2)
    meters.observe("pagefault_archive_search_seconds", seconds=0.24)
    exporter.flush(meters.samples())
    assert told.said[:2] == [("inc", 3, {**whose, "outcome": "yielded"}), ("set", 2, whose)]
    assert [kind for kind, _, _ in told.said[2:]] == ["observe", "observe"]
    assert sum(amount for _, amount, _ in told.said[2:]) == pytest.approx(0.44)
    told.said.clear()
    meters.add("pagefault_chains_total", "yielded")
    meters.observe("pagefault_archive_search_seconds", seconds=0)
    exporter.flush(meters.samples())
    assert [(kind, amount) for kind, amount, _ in told.said] == [("inc", 1), ("set", 2), ("observe", 1e-9)]
    told.said.clear()
    exporter.flush(meters.samples())
    assert told.said == [("set", 2, whose)]


def test_ray_takes_every_metric_of_the_table(caplog: pytest.LogCaptureFixture) -> None:
    meters, exporter = Meters(), RayMeters({"fleet": "town", "host": "host-1"})
    for metric in METRICS:
        labels = ["some"] * len(metric.labels)
        if metric.kind == "histogram":
            meters.observe(metric.name, *labels, seconds=0.1)
        else:
            meters.add(metric.name, *labels)
    exporter.flush(meters.samples())
    assert set(exporter._meters) == {metric.name for metric in METRICS}
    for made in exporter._meters.values():
        assert made.info["name"].startswith("pagefault_")
        assert not made._discard_metric, "Ray found the name invalid"
    assert "iscarded" not in caplog.text
