"""The village: a plan from a seed, facts that travel only through memories, a score that can be lost."""

from __future__ import annotations

from typing import Any

import pytest

from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.village import Village, make_plan
from pagefault.cluster.worlds.village_mind import villager
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

TEMPLATE = {
    "model": "scripted:pagefault.cluster.worlds.village_mind:villager",
    "functions": ("send_message", "archival_memory_insert", "archival_memory_search", "send_to_agent"),
    "context_tokens": 1700,
    "reply_tokens": 256,
}


class Silence:
    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass


def forgetful(request: ModelRequest) -> Reply:
    """A villager who files nothing that somebody else says."""
    incoming = View(request).incoming
    if incoming is not None and incoming.text.startswith("Did you know?"):
        return call("archival_memory_insert", content="Somebody said something.")
    return villager(request)


async def live(village: Village, **changes: Any) -> Report:
    async with Local(embedder="hash") as fleet:
        refs = await fleet.spawn_many(village.agents({**TEMPLATE, **changes}))
        return await village.run(fleet, refs, Silence())


def test_a_seed_is_a_plan() -> None:
    assert make_plan(30, 4, 3, 2, 7) == make_plan(30, 4, 3, 2, 7)
    assert make_plan(30, 4, 3, 2, 7) != make_plan(30, 4, 3, 2, 8)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_told_was_known_before(seed: int) -> None:
    plan = make_plan(41, 6, 2, 2, seed)
    assert len(set(plan.names)) == 41
    knows = set(plan.known)
    for day in range(1, 7):
        today = [meeting for meeting in plan.meetings if meeting.day == day]
        met = [name for meeting in today for name in (meeting.teller, meeting.listener)]
        assert len(met) == len(set(met)), "nobody is at two meetings on one day"
        assert all((meeting.teller, meeting.fact) in knows for meeting in today)
        assert all((meeting.listener, meeting.fact) not in knows for meeting in today)
        knows |= {(meeting.listener, meeting.fact) for meeting in today}
    assert set(plan.questions) <= knows
    values: dict[str, set[str]] = {}
    for _, fact in knows:
        values.setdefault(fact.topic, set()).add(fact.value)
    assert all(len(found) == 1 for found in values.values()), "villagers never contradict each other"


def test_a_large_village_has_a_name_for_everybody() -> None:
    assert len(set(make_plan(2_000, 1, 1, 1, 1).names)) == 2_000


@pytest.mark.parametrize("field", ["agents", "days", "facts_each", "questions_each"])
def test_a_village_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"village\.{field}: found 0"):
        Village(**{field: 0})


def test_villagers_are_made_alike() -> None:
    agents = Village(agents=3).agents(TEMPLATE)
    assert all(isinstance(agent, Agent) for agent in agents)
    assert len({agent.name for agent in agents}) == 3
    assert len({agent.model_copy(update={"name": ""}).model_dump_json() for agent in agents}) == 1


async def test_everything_is_remembered_through_small_contexts() -> None:
    report = await live(Village(agents=12, days=5, seed=2))
    assert report.failed == ""
    assert (report.results["accuracy"], report.results["accuracy_heard"]) == (1.0, 1.0)
    assert report.results["questions"] == 24
    assert (report.results["overflows"], report.results["failed_chains"]) == (0, 0)
    assert 0 < report.results["context_tokens_max"] <= report.results["context_budget"] == 1444
    assert {row.name: row.value for row in report.rows}["answered right"] == "100.0%"


async def test_what_nobody_files_is_not_known_later() -> None:
    """The score is that of memory: the same plan with a mind that does not listen loses what was heard."""
    report = await live(Village(agents=12, days=5, seed=2), model=f"scripted:{__name__}:forgetful")
    assert report.results["accuracy_heard"] == 0.0
    assert 0.0 < report.results["accuracy"] < 1.0, "what they found out themselves is still there"


async def test_a_mind_that_fails_fails_the_run() -> None:
    report = await live(Village(agents=4, days=1), model="scripted:math:sqrt")
    assert report.results["accuracy"] == 0.0
    assert "chains failed; the first: " in report.failed
