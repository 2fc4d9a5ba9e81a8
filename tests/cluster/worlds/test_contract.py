"""What worlds share: outcomes are counted, and work that fails takes nothing along."""

from __future__ import annotations

import asyncio

import pytest

from pagefault.cluster.worlds.contract import Outcomes, Totals, together
from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import as_interrupt
from pagefault.runtime.host.local import Local
from pagefault.runtime.values import AgentId

WELL, ILL = AgentId("well"), AgentId("ill")


async def test_results_come_in_order() -> None:
    async def later(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await together(later(turns) for turns in (3, 0, 2)) == [3, 0, 2]


async def test_the_first_error_ends_the_rest_before_it_is_raised() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiting")

    async def fail() -> None:
        raise StoreUnavailable("the disk is full")

    with pytest.raises(StoreUnavailable, match="the disk is full"):
        await together([wait(), fail()])
    assert ended == ["waiting"]


async def test_outcomes_of_a_real_fleet() -> None:
    outcomes = Outcomes()
    async with Local(embedder="hash") as fleet:
        await fleet.spawn_many(
            [Agent("well", model="scripted:tests.cluster.minds:echo"), Agent("ill", model="scripted:math:sqrt")]
        )
        event = as_interrupt("hello", "first", 1)
        said = await outcomes.answer(fleet, WELL, event)
        assert (said.text, said.outcome) == ("heard hello", "yielded")
        again = await outcomes.answer(fleet, WELL, event)
        assert (again.text, again.outcome) == ("heard hello", "yielded"), "whoever asks again hears what was said"
        assert outcomes.problem(Totals()) == ""
        for number in range(3):
            await outcomes.answer(fleet, ILL, as_interrupt("hello", f"{number}", 1))
    assert (outcomes.chains, outcomes.failed) == (5, 3)
    assert outcomes.problem(Totals()).startswith("3 of 5 chains failed; the first: ill: model_failed: ")


def test_an_overflow_fails_a_run_whatever_else_went_well() -> None:
    assert Outcomes(10).problem(Totals({"overflows": 2})) == "the context was over its budget 2 times"
    assert Outcomes(10, 5).problem(Totals()) == ""
