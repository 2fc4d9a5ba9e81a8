"""The budget around real calls: a fake server over HTTP, and a fleet in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from pagefault.runtime.errors import (
    BudgetExceeded,
    ConfigError,
    ModelBusy,
    ModelError,
    ModelRefused,
    ModelUnavailable,
)
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import Answer as Outcome
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.models.budget.gate import Gate, local_gate
from pagefault.runtime.models.budget.processor import budgeted
from pagefault.runtime.models.budget.settings import budget_plan
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.scripted import Reply, mind, say
from pagefault.runtime.testing.fake_openai import Answer, Call, FakeOpenAI, Hang, Status, busy
from pagefault.runtime.values import (
    AgentId,
    FunctionSchema,
    Interrupt,
    InterruptId,
    InterruptKind,
    Message,
    ModelRequest,
    Priority,
)

MODEL = "openai:any"


@pytest.fixture
def servers() -> Iterator[tuple[FakeOpenAI, FakeOpenAI]]:
    with ExitStack() as stack:
        yield stack.enter_context(FakeOpenAI()), stack.enter_context(FakeOpenAI())


async def until(condition: Callable[[], bool]) -> None:
    """The server lives in another thread: there is no event of this loop to wait for."""
    while not condition():  # noqa: ASYNC110  as said
        await asyncio.sleep(0.002)


def request(agent: str = "a", system: str = "s", priority: Priority = Priority.USER, **changes: Any) -> ModelRequest:
    messages = (Message("system", system), Message("user", "hello"))
    return ModelRequest(AgentId(agent), messages, (), 20, 50, priority=priority, **changes)


def processor_for(
    *tables: dict[str, Any], options: tuple[tuple[str, str], ...] = (), **budget: Any
) -> tuple[Processor, Gate]:
    plan = budget_plan([{"models": ["any"], **table} for table in tables], budget)
    gate = local_gate(plan)
    return budgeted(plan, gate, make_processor)(ModelSettings(MODEL, options)), gate


def table(server: FakeOpenAI, name: str = "one", **more: Any) -> dict[str, Any]:
    return {"name": name, "base_url": server.base_url, **more}


async def test_a_call_is_granted_sent_and_paid(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    processor, gate = processor_for(table(servers[0], price_in=10.0, price_out=100.0, tokens_per_minute=10_000))
    servers[0].then(Answer("four words of answer"))
    reply = await processor.reply(request())
    assert reply.text == "four words of answer"
    spent = gate.core.spend.run
    assert spent.tokens == reply.usage.prompt_tokens + reply.usage.reply_tokens
    assert spent.money == pytest.approx((10 * reply.usage.prompt_tokens + 100 * reply.usage.reply_tokens) / 1e6)
    assert not gate.core.under_way
    await processor.close()


async def test_never_more_at_once_than_the_endpoint_takes(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    at_once = most = 0

    class Slow:
        async def perform(self, exchange: Any, usage: Any) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.02)
            at_once -= 1
            await Answer("done").perform(exchange, usage)

    servers[0].then(*(Slow() for _ in range(12)))
    processor, gate = processor_for(table(servers[0], concurrency=3))
    await asyncio.gather(*(processor.reply(request(f"agent-{number}")) for number in range(12)))
    assert most == 3
    assert gate.core.counts.answered == 12
    await processor.close()


async def test_a_429_stops_everybody_until_the_server_wants_more(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    server = servers[0]
    server.then(busy(retry_after="0.3"))
    processor, gate = processor_for(table(server))
    assert (await processor.reply(request("first"))).attempts == 2
    loop = asyncio.get_running_loop()
    server.then(busy(retry_after="0.3"))
    task = asyncio.create_task(processor.reply(request("second")))
    await until(lambda: len(server.requests) >= 3)
    begun = loop.time()
    await asyncio.gather(task, processor.reply(request("third")))
    assert loop.time() - begun >= 0.25, "a call that had nothing to do with the refusal waits too"
    assert gate.core.counts.busy == 2
    assert len(server.requests) == 5
    await processor.close()


async def test_a_busy_endpoint_is_left_for_another(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    first, second = servers
    processor, _ = processor_for(table(first), table(second, "two"))
    for server in servers:
        server.then(busy(retry_after="30"))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    home = first if not (await _where(processor, servers)) else second
    assert loop.time() - begun < 5, "the other one was asked at once"
    assert len(home.requests) == 1
    await processor.close()


async def _where(processor: Processor, servers: tuple[FakeOpenAI, FakeOpenAI]) -> int:
    """The place of the server that was asked first; the other one does not refuse any more."""
    task = asyncio.create_task(processor.reply(request()))
    await until(lambda: any(server.requests for server in servers))
    asked = 0 if servers[0].requests else 1
    servers[1 - asked].clear()
    await task
    return asked


async def test_calls_fail_over_from_an_endpoint_that_is_down_and_come_back(
    servers: tuple[FakeOpenAI, FakeOpenAI],
) -> None:
    first, second = servers
    processor, gate = processor_for(table(first), table(second, "two"))
    systems = [f"system {number}" for number in range(40)]
    await asyncio.gather(*(processor.reply(request(system, system)) for system in systems))
    assert min(len(server.requests) for server in servers) >= 8, "each has its prompts"
    first.then(*(Status(503) for _ in range(1_000)))
    before = len(second.requests)
    replies = await asyncio.gather(*(processor.reply(request(system, system)) for system in systems))
    assert len(replies) == 40
    assert len(second.requests) - before == 40
    assert gate.core.counts.down >= 1
    first.clear()
    while gate.core.health["one"].down_since_ms is not None:
        await asyncio.gather(*(processor.reply(request(system, system)) for system in systems))
        await asyncio.sleep(0.05)
    await processor.close()


async def test_prompts_that_begin_alike_go_to_one_endpoint(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    processor, _ = processor_for(table(servers[0], concurrency=2), table(servers[1], "two", concurrency=2))
    await asyncio.gather(*(processor.reply(request(f"agent-{number}", "shared")) for number in range(20)))
    assert sorted(len(server.requests) for server in servers) == [0, 20]
    await processor.close()


async def test_an_account_that_is_closed_is_left_for_another(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    for server in servers:
        server.then(Status(429, "no credit", "insufficient_quota"))
    processor, _ = processor_for(table(servers[0]), table(servers[1], "two"))
    await _where(processor, servers)
    await processor.close()
    alone, _ = processor_for(table(servers[0]))
    servers[0].then(Status(401))
    with pytest.raises(ModelRefused):
        await alone.reply(request())
    await alone.close()


async def test_a_server_that_stays_down_fails_the_call(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    servers[0].then(*(Status(500) for _ in range(10)))
    processor, _ = processor_for(table(servers[0]), options=(("attempts_max", "2"),))
    with pytest.raises(ModelUnavailable) as caught:
        await processor.reply(request())
    assert caught.value.attempts == len(servers[0].requests) == 2
    waiting, _ = processor_for(table(servers[0]), down_wait_ms_max=1)
    with pytest.raises(ModelUnavailable, match="one: down for 1 ms or more"):
        await waiting.reply(request())
    await processor.close()
    await waiting.close()


async def test_stepping_down_to_another_wire_form_takes_a_grant_of_its_own() -> None:
    with FakeOpenAI(tools=False, respond=lambda _: Answer('{"calls": []}')) as server:
        processor, gate = processor_for(table(server))
        schema = FunctionSchema("f", "does f", '{"type":"object","properties":{},"required":[]}')
        asked = ModelRequest(AgentId("a"), (Message("user", "x"),), (schema,), 20, 50)
        with suppress(ModelError):  # what it makes of the answer is not the matter here
            await processor.reply(asked)
        assert len(server.requests) >= 2
        assert gate.core.counts.granted == len(server.requests)
        await processor.close()


async def test_a_cancelled_call_leaves_no_trace(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    servers[0].then(Hang())
    processor, gate = processor_for(table(servers[0], concurrency=1))
    hanging = asyncio.create_task(processor.reply(request("first")))
    await until(lambda: bool(servers[0].requests))
    waiting = asyncio.create_task(processor.reply(request("second")))
    await asyncio.sleep(0)
    waiting.cancel()
    hanging.cancel()
    await asyncio.gather(waiting, hanging, return_exceptions=True)
    assert gate.core.depth == 0
    assert not gate.core.under_way
    assert (await processor.reply(request("third"))).text == "OK", "the slot is free again"
    await processor.close()


async def test_spending_ends_at_its_limits(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    processor, gate = processor_for(table(servers[0]), tokens_max=300, agent_tokens_max=120)
    await processor.reply(request("first"))
    await processor.reply(request("first"))
    with pytest.raises(BudgetExceeded, match=r"agent first has spent .*: budget\.agent_tokens_max = 120"):
        await _again_and_again(processor, "first")
    with pytest.raises(BudgetExceeded, match=r"the run has .* tokens left, .*: budget\.tokens_max = 300"):
        await _again_and_again(processor, *(f"agent-{number}" for number in range(100)))
    assert gate.core.spend.run.tokens <= 300
    await processor.close()


async def _again_and_again(processor: Processor, *agents: str) -> None:
    for number in range(100):
        await processor.reply(request(agents[number % len(agents)]))


async def test_a_full_queue_refuses_and_says_when_to_come_back(servers: tuple[FakeOpenAI, FakeOpenAI]) -> None:
    servers[0].then(Hang())
    processor, _ = processor_for(table(servers[0], concurrency=1), queue_max=2)
    hanging = asyncio.create_task(processor.reply(request("hanging")))
    await until(lambda: bool(servers[0].requests))
    low = [asyncio.create_task(processor.reply(request(name, priority=Priority.BACKGROUND))) for name in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(ModelBusy, match=r"2 calls wait already \(budget\.queue_max\); try again in 1000 ms"):
        await processor.reply(request("late", priority=Priority.BACKGROUND))
    urgent = asyncio.create_task(processor.reply(request("urgent", priority=Priority.USER)))
    with pytest.raises(ModelBusy, match="more urgent calls have filled the queue"):
        await low[1]
    hanging.cancel()
    assert (await urgent).text == "OK"
    assert (await low[0]).text == "OK"
    await processor.close()


def test_models_that_no_endpoint_serves() -> None:
    plan = budget_plan([{"name": "one", "models": ["gpt-*"]}])
    make = budgeted(plan, local_gate(plan), make_processor)
    with pytest.raises(ConfigError, match=r"model\.name: found 'openai:any', allowed: a model that an endpoint serves"):
        make(ModelSettings(MODEL))
    assert make(ModelSettings("scripted:nothing")).name == "scripted:nothing"
    clash = budget_plan([{"name": "one", "models": ["any"], "base_url": "http://here/v1"}])
    make = budgeted(clash, local_gate(clash), make_processor)
    with pytest.raises(ConfigError, match=r"model\.base_url: found 'http://there/v1', allowed: what endpoint 'one'"):
        make(ModelSettings(MODEL, (("base_url", "http://there/v1"),)))


async def test_a_fleet_pays_from_one_budget_and_its_chains_end_with_it() -> None:
    answer = Answer("", [Call("send_message", '{"message": "hi", "request_heartbeat": false}')])
    with FakeOpenAI(respond=lambda _: answer) as server:
        endpoints = [{"name": "one", "models": ["any"], "base_url": server.base_url}]
        async with Local(embedder="hash", endpoints=endpoints, budget={"tokens_max": 30_000}) as fleet:
            refs = await fleet.spawn_many([Agent(f"agent-{number}", model=MODEL) for number in range(8)])
            assert await refs[0].ask("hello") == "hi"
            results: list[Outcome] = []
            while not any(result.outcome == "budget" for result in results):
                results = await asyncio.gather(*(fleet.answer(ref.id, "hello") for ref in refs))
            failed = next(result for result in results if result.outcome == "budget")
            assert "budget.tokens_max = 30000" in failed.message
            said = await fleet.budget_statistics()
            assert 0 < said["run"]["tokens"] <= 30_000
            assert said["one"] == {"under_way": 0, "factor": 1.0, "times_busy": 0}


async def test_a_user_does_not_wait_behind_the_background_of_the_same_agent() -> None:
    order: list[str] = []
    go_on = asyncio.Event()

    async def slow(asked: ModelRequest) -> Reply:
        order.append(f"{asked.agent} {asked.priority.name.lower()}")
        await go_on.wait()
        return say("done")

    mind("budget-slow")(slow)
    endpoints = [{"name": "one", "models": ["scripted:budget-slow"], "concurrency": 1}]
    async with Local(embedder="hash", endpoints=endpoints) as fleet:
        await fleet.spawn_many([Agent(name, model="scripted:budget-slow") for name in "abc"])

        def message(agent: str) -> Interrupt:
            name = InterruptId(f"{agent}-background")
            return Interrupt(name, InterruptKind.MESSAGE, Priority.BACKGROUND, "batch", "go on")

        for agent in "abc":
            await fleet.send(agent, message(agent))
            await until(lambda: len(order) == 1)
        answer = asyncio.create_task(fleet.ask("c", "hello"))
        await until(lambda: len(fleet.host.frames[AgentId("c")].state.mailbox) == 1)
        go_on.set()
        assert await answer == "done"
        await fleet.idle()
    assert order[:2] == ["a background", "c background"], "b came before, but nobody waits for b"
    assert sorted(order[2:]) == ["b background", "c user"]
