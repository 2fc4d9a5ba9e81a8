"""What is published is sure to arrive, once each, though the host dies or stops on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import UNSENT
from pagefault.runtime.host.snapshots import decode_snapshot
from pagefault.runtime.kernel.effects import Publish
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, Interrupt, ModelRequest
from tests.runtime.host.naive_stores import NaiveStores
from tests.runtime.host.test_commit import closed, until
from tests.runtime.host.test_host import ADA, Fleet, message

HEARERS = [AgentId(f"h{number}") for number in range(5)]


class Library(NaiveStores):
    """Stores that do not say who hears a topic while the gate is shut."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = asyncio.Event()
        self.asked = 0
        self.failures = 0

    async def subscribers(self, topic: str) -> list[AgentId]:
        self.asked += 1
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the disk is full")
        return await super().subscribers(topic)


def publisher(request: ModelRequest) -> Reply:
    view = View(request)
    if request.agent != ADA:
        return nothing()
    return say(view.result.text) if view.result is not None else call("publish", True, topic="news", message="hear")


async def begun(stores: Library) -> Fleet:
    """A fleet in which ada publishes to five others and herself."""
    fleet = Fleet(Path(), publisher, stores)
    for name in (ADA, *HEARERS):
        await fleet.spawn(Agent(name, functions=("all",)))
        await stores.subscribe(name, "news")
    return fleet


async def heard(fleet: Fleet) -> list[int]:
    """How many chains each hearer has had."""
    return [(await fleet.host.inspect(name)).statistics["chains"] for name in HEARERS]


async def test_publishing_goes_on_in_the_next_activation_and_reaches_each_once(tmp_path: Path) -> None:
    stores = Library(tmp_path)
    first = await begun(stores)
    assert (await first.host.deliver(ADA, message("go"))).accepted
    await until(lambda: stores.asked > 0)
    await first.host._outgoing.close()  # as the death of its process would
    second = Fleet(tmp_path, publisher, stores)
    frame = await second.host.frame(ADA)
    stores.gate.set()
    await until(lambda: second.host.is_idle and second.router.is_idle and frame.state.phase is Phase.IDLE)
    assert await heard(second) == [1] * 5
    inspection = await second.host.inspect(ADA)
    assert inspection.statistics["chains"] == 1, "who publishes does not hear itself"
    assert "Published to 5 agents." in "".join(page.text for page in inspection.pages)
    await closed(first, second)


async def test_what_was_under_way_when_a_host_stopped_is_in_the_snapshot(tmp_path: Path) -> None:
    stores = Library(tmp_path)
    stores.gate.set()
    first = await begun(stores)
    never: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def stuck() -> bool:
        return await never

    def blocked(_sender: AgentId, _to: AgentId, _interrupt: Interrupt) -> asyncio.Task[bool]:
        return asyncio.get_running_loop().create_task(stuck())

    first.router.route = blocked  # type: ignore[method-assign,assignment]  # the way to the others is blocked
    assert (await first.answer(ADA, message("go"))).text == "Published to 5 agents."
    await first.host.close()
    activation = await stores.activate(ADA)
    assert activation.snapshot is not None
    (unsent,) = decode_snapshot(ADA, activation.snapshot)[UNSENT]
    assert isinstance(unsent, Publish)
    second = Fleet(tmp_path, publisher, stores)
    frame = await second.host.frame(ADA)
    await until(lambda: frame.is_at_rest and not frame.unsent and second.router.is_idle)
    assert await heard(second) == [1] * 5
    await closed(second)


async def test_publishing_is_not_redone_for_who_came_later(tmp_path: Path) -> None:
    stores = Library(tmp_path)
    stores.gate.set()
    first = await begun(stores)
    await first.answer(ADA, message("go"))
    await until(lambda: first.host.is_idle and first.router.is_idle)
    await first.spawn(Agent("late", functions=("all",)))
    await stores.subscribe(AgentId("late"), "news")
    second = Fleet(tmp_path, publisher, stores)  # the first one is taken for dead, and has saved no snapshot
    await second.host.frame(ADA)
    await until(lambda: second.host.is_idle and second.router.is_idle)
    assert await heard(second) == [1] * 5, "what they had was recognised"
    assert (await second.host.inspect(AgentId("late"))).statistics["chains"] == 0
    await closed(second)


async def test_a_journal_that_cannot_be_asked_is_told_to_the_model(tmp_path: Path) -> None:
    stores = Library(tmp_path)
    stores.gate.set()
    stores.failures = 1
    fleet = await begun(stores)
    assert "the disk is full" in (await fleet.answer(ADA, message("go"))).text
    assert await heard(fleet) == [0] * 5
    await closed(fleet)
