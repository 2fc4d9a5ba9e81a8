"""Agents that go from one host to another while they are spoken to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.local_router import LocalRouter
from pagefault.runtime.host.moving import MovedError
from pagefault.runtime.host.records import decode_event, encode_definition
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.events import FunctionReturned, InterruptArrived, ModelReplied
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.scripted import Reply, ScriptedProcessor, call, say
from pagefault.runtime.models.tokens import ByteTokenCounter
from pagefault.runtime.models.view import View
from pagefault.runtime.store.protocols import WORK
from pagefault.runtime.testing.clock import ManualClock
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority
from tests.runtime.host.naive_stores import NaiveStores

ADA = AgentId("ada")


class Two:
    """Two hosts on one store, and a function that returns when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.stores = NaiveStores(folder)
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.runs = 0
        self.hosts = [self._host(), self._host()]

    def _host(self) -> Host:
        registry = Registry()

        @function(effect="once")
        async def slow() -> str:
            """Take its time."""
            self.runs += 1
            self.begun.set()
            await self.may_end.wait()
            return "done"

        registry.add(slow)

        def mind(request: ModelRequest) -> Reply:
            view = View(request)
            if view.incoming is not None and view.incoming.text == "work" and view.result is None:
                return call("slow", True)
            return say(view.result.text if view.result is not None else f"heard {view.incoming.text}")  # type: ignore[union-attr]  # a step begins with something incoming

        def processor(settings: ModelSettings) -> Processor:
            return ScriptedProcessor(mind)

        router = LocalRouter()
        host = Host(self.stores, Workshop(registry, ByteTokenCounter(), processor), router, ManualClock())
        router.serve(host)
        return host

    async def journal(self) -> list[object]:
        return [decode_event(ADA, data) for _, data in await self.stores.records(ADA)]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    made = Two(tmp_path)
    definition = Agent("ada", functions=("send_message", "slow"), mailbox_max=5_000).definition()
    await made.stores.register([(ADA, encode_definition(definition))])
    yield made
    made.may_end.set()
    for host in made.hosts:
        await host.close()


def message(text: str, key: str) -> Interrupt:
    return Interrupt(InterruptId(key), InterruptKind.MESSAGE, Priority.USER, "user", text, created_ms=1)


async def settled(host: Host) -> None:
    async with asyncio.timeout(10):
        while not host.is_idle:  # noqa: ASYNC110 - a host tells nobody that it is idle
            await asyncio.sleep(0)


async def test_who_has_left_is_saved_and_whoever_asks_is_sent_on(two: Two) -> None:
    here, there = two.hosts
    await here.deliver(ADA, message("one", "m1"))
    await settled(here)
    assert await here.moving.hand_over([ADA], "host-2", 5) == []
    assert ADA not in here.frames
    with pytest.raises(MovedError, match="host-2"):
        await here.deliver(ADA, message("two", "m2"))
    with pytest.raises(MovedError):
        await here.inspect(ADA)
    activation_records = len(await two.journal())
    receipt = await there.deliver(ADA, message("one", "m1"))
    assert receipt.duplicate
    assert len((await two.stores.activate(ADA)).records) <= len(await two.journal()) - activation_records, (
        "a snapshot stands for what happened before the move"
    )


async def test_a_busy_agent_ends_what_it_has_begun_and_goes_before_its_next_step(two: Two) -> None:
    here, there = two.hosts
    await here.deliver(ADA, message("work", "m1"))
    await two.begun.wait()
    leaving = asyncio.create_task(here.moving.hand_over([ADA], "host-2", 30))
    late = asyncio.create_task(here.deliver(ADA, message("late", "m2")))
    await asyncio.sleep(0.01)
    assert not leaving.done()
    assert not late.done()
    two.may_end.set()
    assert await leaving == [(ADA, WORK)], "its chain goes on elsewhere, though nobody speaks to it"
    with pytest.raises(MovedError):
        await late
    events = await two.journal()
    assert any(isinstance(event, FunctionReturned) for event in events)
    assert sum(isinstance(event, ModelReplied) for event in events) == 1, "the next call was not begun here"
    there.expect([(ADA, WORK)])
    await settled(there)
    assert two.runs == 1
    assert sum(isinstance(event, ModelReplied) for event in await two.journal()) >= 2


async def test_nobody_waits_for_an_agent_that_does_not_come_to_rest(two: Two) -> None:
    here, there = two.hosts
    future = here.listeners.answer(ADA, InterruptId("m1"))
    await here.deliver(ADA, message("work", "m1"))
    await two.begun.wait()
    assert await here.moving.hand_over([ADA], "host-2", 0.05) == [(ADA, WORK)]
    with pytest.raises(MovedError):
        await future
    answer = there.listeners.answer(ADA, InterruptId("m1"))
    assert (await there.deliver(ADA, message("work", "m1"))).duplicate
    assert "outcome" in (await answer).text, "the function may have run: that is said, and it is not run again"
    assert two.runs == 1


async def test_whoever_comes_back_is_taken_again(two: Two) -> None:
    here, there = two.hosts
    await here.deliver(ADA, message("one", "m1"))
    await here.moving.hand_over([ADA], "host-2", 5)
    await there.deliver(ADA, message("two", "m2"))
    await there.moving.hand_over([ADA], "host-1", 5)
    here.moving.arrived([ADA])
    assert (await here.deliver(ADA, message("three", "m3"))).accepted
    await settled(here)
    texts = [event.interrupt.text for event in await two.journal() if isinstance(event, InterruptArrived)]
    assert texts == ["one", "two", "three"]


async def test_messages_of_one_sender_stay_in_order_over_many_moves(two: Two) -> None:
    """A sender that goes to the other host with the first message that is sent on, as routers do."""
    hosts = {"host-1": two.hosts[0], "host-2": two.hosts[1]}
    place, over = "host-1", False

    async def send() -> None:
        nonlocal place
        for number in range(0, 600, 6):
            batch = [message(f"{number + each}", f"m{number + each}") for each in range(6)]
            while batch:
                found = await asyncio.gather(
                    *(hosts[place].deliver(ADA, each) for each in batch), return_exceptions=True
                )
                failed = [each for each, result in zip(batch, found, strict=True) if isinstance(result, Exception)]
                assert failed == batch[len(batch) - len(failed) :], "what was refused is the end of the batch"
                moved = [result for result in found if isinstance(result, MovedError)]
                assert len(moved) == len(failed)
                if moved:
                    place = moved[0].to
                    await asyncio.sleep(0)
                batch = failed

    async def move() -> None:
        while not over:
            for source, target in (("host-1", "host-2"), ("host-2", "host-1")):
                await hosts[source].moving.hand_over([ADA], target, 5)
                hosts[target].moving.arrived([ADA])
                await asyncio.sleep(0.01)

    moving = asyncio.create_task(move())
    await send()
    over = True
    await moving
    journal = await two.journal()
    texts = [int(event.interrupt.text) for event in journal if isinstance(event, InterruptArrived)]
    assert sorted(set(texts)) == list(range(600))
    assert list(dict.fromkeys(texts)) == list(range(600))


async def test_a_stream_of_an_agent_ends_where_it_leaves(two: Two) -> None:
    here, _ = two.hosts
    await here.deliver(ADA, message("one", "m1"))
    stream = here.listeners.stream(ADA)
    await here.moving.hand_over([ADA], "host-2", 5)
    while not (await stream.take(100, 1))[1]:
        pass
    assert not here.listeners.is_watched(ADA)
