"""The gate on a real loop: whoever gives up at whatever moment leaves nothing behind."""

from __future__ import annotations

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from pagefault.runtime.errors import ModelRefused
from pagefault.runtime.models.budget.calls import End
from pagefault.runtime.models.budget.gate import Gate, local_gate
from pagefault.runtime.models.budget.limits import Limits
from pagefault.runtime.models.budget.settings import budget_plan
from pagefault.runtime.values import AgentId, Message, ModelRequest, Priority

MODEL = "openai:m"


def request(agent: str = "a", prompt_tokens: int = 50) -> ModelRequest:
    return ModelRequest(AgentId(agent), (Message("user", "x"),), (), prompt_tokens, 50, priority=Priority.WORLD)


def gate_of(**limits: int) -> Gate:
    return local_gate(budget_plan([{"name": "e", "models": ["m"], **limits}]))


@pytest.mark.parametrize("seed", range(5))
async def test_giving_up_leaves_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)
    gate = gate_of(concurrency=3)
    most = now = ended = 0

    async def call(agent: str) -> None:
        nonlocal most, now, ended
        grant = await gate.enter(request(agent), MODEL)
        now += 1
        most = max(most, now)
        try:
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
            ended += 1
        finally:
            now -= 1
            gate.leave(grant.number, End("answered", 10, 10))

    tasks = [asyncio.create_task(call(f"agent-{number % 7}")) for number in range(200)]
    for _ in range(60):
        chance.choice(tasks).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert ended == 200 - cancelled
    assert 0 < cancelled <= 60
    assert most == 3
    assert gate.core.depth == 0
    assert not gate.core.under_way
    assert not gate._waiters
    limits = gate.core.capacities["e"]
    assert isinstance(limits, Limits)
    assert limits.slots == 0


async def test_calls_go_on_when_time_has_made_room() -> None:
    gate = gate_of(requests_per_minute=6_000, concurrency=1_000)
    granted = [await gate.enter(request(), MODEL) for _ in range(240)]
    begun_s = asyncio.get_running_loop().time()
    granted += [await gate.enter(request(), MODEL) for _ in range(10)]
    assert asyncio.get_running_loop().time() - begun_s >= 0.05, "10 more at 96 a second"
    assert len({each.number for each in granted}) == 250


async def test_limits_that_are_hit_are_said_once_in_a_while() -> None:
    gate = gate_of(tokens_per_minute=99)
    with capture_logs() as said:
        for _ in range(5):
            with pytest.raises(ModelRefused, match="never fits: 99 tokens a minute"):
                await gate.enter(request(), MODEL)
    assert [each["event"] for each in said] == ["budget_large"]
