"""The host on a real journal: commits before effects, recovery, fencing, failures, timers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pagefault.runtime.errors import StaleEpoch, StoreUnavailable, UnknownAgent
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.local_router import LocalRouter
from pagefault.runtime.host.records import Answer, encode_definition
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.scripted import Reply, ScriptedProcessor, call, nothing, say
from pagefault.runtime.models.tokens import ByteTokenCounter
from pagefault.runtime.models.view import View
from pagefault.runtime.testing.clock import ManualClock
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority
from tests.runtime.host.naive_stores import NaiveStores

ADA = AgentId("ada")
NUMBERS = itertools.count(1)


def echo(request: ModelRequest) -> Reply:
    incoming = View(request).incoming
    return say(f"heard {incoming.text}") if incoming is not None else nothing()


def message(text: str = "hello", key: str = "", **fields: object) -> Interrupt:
    made = {"kind": InterruptKind.MESSAGE, "priority": Priority.USER, "sender": "user", "created_ms": 1, **fields}
    return Interrupt(InterruptId(key or f"m{next(NUMBERS)}"), text=text, **made)  # type: ignore[arg-type]  # a test's shorthand


class Fleet:
    """A host with its parts at hand."""

    def __init__(
        self, folder: Path, mind: Callable[[ModelRequest], Reply] = echo, stores: NaiveStores | None = None
    ) -> None:
        self.stores = stores or NaiveStores(folder)
        self.clock = ManualClock()
        self.router = LocalRouter()
        self.registry = Registry()

        def processor(settings: ModelSettings) -> Processor:
            return ScriptedProcessor(mind)

        self.host = Host(self.stores, Workshop(self.registry, ByteTokenCounter(), processor), self.router, self.clock)
        self.router.serve(self.host)

    async def spawn(self, agent: Agent) -> AgentId:
        definition = agent.definition()
        await self.stores.register([(definition.id, encode_definition(definition))])
        return definition.id

    async def answer(self, agent: AgentId, interrupt: Interrupt) -> Answer:
        future = self.host.listeners.answer(agent, interrupt.id)
        receipt = await self.host.deliver(agent, interrupt)
        assert receipt.accepted, receipt.reason
        return await future


@asynccontextmanager
async def opened(folder: Path, mind: Callable[[ModelRequest], Reply] = echo) -> AsyncIterator[Fleet]:
    fleet = Fleet(folder, mind)
    try:
        yield fleet
    finally:
        await fleet.router.close()
        await fleet.host.close()
        await fleet.stores.close()


async def test_an_agent_answers_and_comes_back_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as fleet:
        await fleet.spawn(Agent("ada"))
        assert (await fleet.answer(ADA, message("one"))).text == "heard one"
        assert (await fleet.answer(ADA, message("two"))).text == "heard two"
        before = await fleet.host.inspect(ADA)
    async with opened(tmp_path) as fleet:
        after = await fleet.host.inspect(ADA)
        assert after.digest == before.digest
        assert after.messages == before.messages
        assert after.epoch > before.epoch
        assert (await fleet.answer(ADA, message("three"))).text == "heard three"


async def test_a_killed_host_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.spawn(Agent("ada"))
    for number in range(30):
        await fleet.answer(ADA, message(f"number {number}"))
    before = await fleet.host.inspect(ADA)
    # The process dies here: nothing is closed or saved, and another host takes over.
    second = Fleet(tmp_path, stores=fleet.stores)
    after = await second.host.inspect(ADA)
    assert after.digest == before.digest
    assert (await second.answer(ADA, message("more"))).text == "heard more"
    await second.host.close()
    await fleet.stores.close()


async def test_a_stale_activation_commits_nothing_and_delivers_nothing(tmp_path: Path) -> None:
    first = Fleet(tmp_path)
    await first.spawn(Agent("ada"))
    await first.answer(ADA, message("before"))
    second = Fleet(tmp_path, stores=first.stores)
    await second.answer(ADA, message("after"))
    records = await first.stores.records(ADA)
    with pytest.raises(StaleEpoch):
        await first.answer(ADA, message("too late"))
    assert await first.stores.records(ADA) == records
    assert ADA not in first.host.frames
    await second.host.close()
    await first.stores.close()


async def test_nothing_is_delivered_before_it_is_durable(tmp_path: Path) -> None:
    async with opened(tmp_path) as fleet:
        await fleet.spawn(Agent("ada"))
        await fleet.answer(ADA, message("warm up"))
        fleet.stores.failure = StoreUnavailable("the disk is full")
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await fleet.answer(ADA, message("lost", key="lost"))
        fleet.stores.failure = None
        assert (await fleet.answer(ADA, message("lost", key="lost"))).text == "heard lost"
        texts = [part.text for part in (await fleet.host.inspect(ADA)).messages]
        assert sum("lost" in text and "user" in text for text in texts) == 1


async def test_the_same_interrupt_takes_effect_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as fleet:
        await fleet.spawn(Agent("ada"))
        await fleet.answer(ADA, message("only once", key="k"))
        steps = (await fleet.host.inspect(ADA)).statistics["steps"]
        receipt = await fleet.host.deliver(ADA, message("only once", key="k"))
        assert receipt.duplicate
        assert not receipt.under_way
        assert receipt.page_id == "p1"
        assert (await fleet.host.inspect(ADA)).statistics["steps"] == steps


async def test_a_once_function_is_not_run_again_after_a_crash(tmp_path: Path) -> None:
    began = asyncio.Event()
    runs: list[str] = []

    @function(effect="once")
    async def launch(target: str) -> str:
        """Launch.

        Args:
            target: At what.
        """
        runs.append(target)
        began.set()
        await asyncio.Event().wait()
        return "never"

    def mind(request: ModelRequest) -> Reply:
        result = View(request).result
        if result is None:
            return call("launch", True, target="moon")
        return say(result.text)

    first = Fleet(tmp_path, mind)
    first.registry.add(launch)
    await first.spawn(Agent("ada", functions=("send_message", "launch")))
    asking = asyncio.ensure_future(first.answer(ADA, message("go", key="go")))
    await began.wait()
    second = Fleet(tmp_path, mind, stores=first.stores)
    second.registry.add(launch)
    told = second.host.listeners.answer(ADA, InterruptId("go"))
    await second.host.frame(ADA)
    assert "outcome unknown" in (await told).text
    assert runs == ["moon"]
    asking.cancel()
    await second.host.close()
    await first.stores.close()


async def test_an_agent_finds_what_it_has_just_written(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> Reply:
        view = View(request)
        if view.result is None:
            return [
                call("archival_memory_insert", content="the vault code is 7731"),
                call("archival_memory_search", True, query="vault code"),
            ]
        return say(view.hits().lines[0].text if view.hits().lines else "nothing found")

    async with opened(tmp_path, mind) as fleet:
        await fleet.spawn(Agent("ada"))
        assert "7731" in (await fleet.answer(ADA, message("keep it"))).text


async def test_timers_wake_an_agent(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> Reply:
        incoming = View(request).incoming
        assert incoming is not None
        if incoming.author == "timer":
            return say("ding")
        return call("set_timer", minutes=5, message="ring")

    async with opened(tmp_path, mind) as fleet:
        await fleet.spawn(Agent("ada", functions=("all",)))
        await fleet.answer(ADA, message("wake me"))
        stream = fleet.host.listeners.stream(ADA)
        await asyncio.sleep(0)
        fleet.clock.advance(5 * 60_000)
        async for step in stream:
            if step.kind == "message":
                assert step.text == "ding"
                break
        stream.close()


async def test_agents_write_to_each_other_and_wait_for_answers(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> Reply:
        view = View(request)
        incoming = view.incoming
        assert incoming is not None
        if view.agent == "bob":
            return say(f"bob says {incoming.text.upper()}")
        if view.result is None:
            return call("call_agent", True, agent="bob", message="well?", timeout_seconds=60)
        return say(view.result.text)

    async with opened(tmp_path, mind) as fleet:
        await fleet.spawn(Agent("ada", functions=("all",)))
        await fleet.spawn(Agent("bob", functions=("all",)))
        assert "bob says WELL?" in (await fleet.answer(ADA, message("ask bob"))).text


async def test_a_message_to_nobody_is_told_to_its_sender(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> Reply:
        view = View(request)
        if view.result is None:
            return call("call_agent", True, agent="nobody", message="well?", timeout_seconds=60)
        return say(view.result.text)

    async with opened(tmp_path, mind) as fleet:
        await fleet.spawn(Agent("ada", functions=("all",)))
        assert "there is no such agent" in (await fleet.answer(ADA, message("ask"))).text
        with pytest.raises(UnknownAgent):
            await fleet.host.deliver(AgentId("nobody"), message())


async def test_many_agents_share_a_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as fleet:
        names = [await fleet.spawn(Agent(f"agent-{number}")) for number in range(64)]
        fleet.stores.groups.clear()
        answers = await asyncio.gather(*(fleet.answer(name, message("hi")) for name in names))
        assert {answer.text for answer in answers} == {"heard hi"}
        assert max(fleet.stores.groups) >= 32


async def test_snapshots_shorten_recovery(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.spawn(Agent("ada", snapshot_steps=4))
    for number in range(20):
        await fleet.answer(ADA, message(f"number {number}"))
    await fleet.host.committer.settled()
    before = await fleet.host.inspect(ADA)
    activation = await fleet.stores.activate(ADA)
    assert activation.snapshot is not None
    assert len(activation.records) < 20
    second = Fleet(tmp_path, stores=fleet.stores)
    assert (await second.host.inspect(ADA)).digest == before.digest
    await second.host.close()
    await fleet.stores.close()
