"""Leases with real clocks: gates of several hosts in this process, and hosts on Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pagefault.cluster.api import Cluster
from pagefault.cluster.scheduler.budget import BudgetLedger
from pagefault.cluster.scheduler.budget_leases import LeasedGate
from pagefault.cluster.wire import pack, unpack
from pagefault.runtime.errors import BudgetExceeded, Overloaded
from pagefault.runtime.host.config import Agent
from pagefault.runtime.models.budget.calls import End
from pagefault.runtime.models.budget.gate import monotonic_ms
from pagefault.runtime.models.budget.settings import Plan, budget_plan
from pagefault.runtime.testing.fake_openai import Answer, Call, FakeOpenAI
from pagefault.runtime.testing.fake_openai_http import Exchange
from pagefault.runtime.values import AgentId, Message, ModelRequest, Priority

MODEL = "openai:m"


def request(agent: str, priority: Priority = Priority.USER) -> ModelRequest:
    return ModelRequest(AgentId(agent), (Message("user", "hello"),), (), 50, 50, priority=priority)


def ledger_of(plan: Plan) -> Callable[[bytes], Awaitable[bytes]]:
    ledger = BudgetLedger(plan)

    async def exchange(message: bytes) -> bytes:
        await asyncio.sleep(0.001)
        return pack(ledger.exchange(monotonic_ms(), unpack(message)))

    return exchange


@dataclass
class Calls:
    """Calls that go through gates, and how many were under way at once."""

    now: int = 0
    most: int = 0
    order: list[str] = field(default_factory=list)

    async def call(self, leased: LeasedGate, agent: str, priority: Priority = Priority.USER) -> None:
        grant = await leased.gate.enter(request(agent, priority), MODEL)
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(agent)
        await asyncio.sleep(0.005)
        self.now -= 1
        leased.gate.leave(grant.number, End("answered", 50, 20))


async def test_gates_of_several_hosts_share_what_there_is() -> None:
    plan = budget_plan([{"name": "e", "models": ["m"], "concurrency": 4}])
    exchange = ledger_of(plan)
    gates = [LeasedGate(plan, f"host-{number}", exchange) for number in range(3)]
    calls = Calls()
    await asyncio.gather(*(calls.call(gate, f"agent-{n}") for gate in gates for n in range(20)))
    assert len(calls.order) == 60
    assert 2 <= calls.most <= 4
    for gate in gates:
        await gate.close()


async def test_an_exchange_that_fails_is_made_again() -> None:
    plan = budget_plan([{"name": "e", "models": ["m"]}])
    exchange = ledger_of(plan)
    failures = iter([Overloaded("not yet"), ConnectionError("lost")])

    async def flaky(message: bytes) -> bytes:
        for failure in failures:
            raise failure
        return await exchange(message)

    leased = LeasedGate(plan, "host", flaky, (ConnectionError,))
    async with asyncio.timeout(10):
        await Calls().call(leased, "agent")
    await leased.close()


async def one_after_another(calls: Calls, *gates: LeasedGate) -> None:
    for number in range(20):
        await calls.call(gates[number % len(gates)], f"agent-{number}")


async def test_limits_of_agents_and_of_the_run_hold_across_hosts() -> None:
    plan = budget_plan([{"name": "e", "models": ["m"]}], {"tokens_max": 1_000, "agent_tokens_max": 200})
    exchange = ledger_of(plan)
    first, second = (LeasedGate(plan, f"host-{number}", exchange) for number in range(2))
    calls = Calls()
    await calls.call(first, "mover")
    await calls.call(first, "mover")
    await asyncio.sleep(0.6)  # two exchanges: the ledger has to hear of it, as it has long before an agent moves
    with pytest.raises(BudgetExceeded, match="agent mover has spent 140 tokens"):
        await calls.call(second, "mover")
    with pytest.raises(BudgetExceeded, match=r"the run has .* tokens left"):
        await one_after_another(calls, first, second)
    assert 7 <= len(calls.order) <= 14, "100 may be spent with each, and 70 is"
    for gate in (first, second):
        await gate.close()


@pytest.mark.usefixtures("ray_session")
@pytest.mark.soak
async def test_hosts_on_ray_keep_one_limit_together_and_end_with_the_run_s_tokens() -> None:
    at_once = most = 0

    class Slow:
        async def perform(self, exchange: Exchange, usage: Any) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.02)
            at_once -= 1
            said = Call("send_message", '{"message": "hi", "request_heartbeat": false}')
            await Answer("", [said]).perform(exchange, usage)

    with FakeOpenAI(respond=lambda _: Slow()) as server:
        endpoints = [{"name": "e", "models": ["m"], "base_url": server.base_url, "concurrency": 3}]
        budget = {"tokens_max": 200_000}
        async with Cluster(hosts=2, embedder="hash", endpoints=endpoints, budget=budget) as fleet:
            refs = await fleet.spawn_many([Agent(f"agent-{number}", model=MODEL) for number in range(24)])
            answers = await asyncio.gather(*(ref.ask("hello") for ref in refs))
            assert set(answers) == {"hi"}
            assert sorted(map(len, (await fleet.hosts()).values())) == [12, 12]
            assert 2 <= most <= 3
            said = await fleet.budget_statistics()
            assert said["e"]["factor"] == 1.0
            assert said["run"]["tokens"] >= 24 * 100
            outcomes: set[str] = set()
            async with asyncio.timeout(60):
                while "budget" not in outcomes:
                    results = await asyncio.gather(*(fleet.answer(ref.id, "again") for ref in refs))
                    outcomes |= {result.outcome for result in results}
            assert outcomes <= {"yielded", "budget"}
