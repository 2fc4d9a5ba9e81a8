"""What is durable, what is done, and in which order: the committer with a journal that can be made to fail."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from pagefault.runtime.errors import InternalError, StoreUnavailable, UnknownName
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host import commit
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import CODEC, UNSENT
from pagefault.runtime.host.snapshots import decode_snapshot
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel.pages import from_row
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority
from tests.runtime.host.naive_stores import NaiveStores
from tests.runtime.host.test_host import ADA, Fleet, message

BOB = AgentId("bob")


class SlowStores(NaiveStores):
    """Appends wait at a gate when it is shut; the archive can be made to fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = asyncio.Event()
        self.gate.set()
        self.began = asyncio.Event()
        self.flush_failure: Exception | None = None
        self.snapshot_failure: Exception | None = None

    async def append(self, group: Sequence[Append]) -> list[Exception | None]:
        self.began.set()
        await self.gate.wait()
        if self.snapshot_failure is not None and any(item.snapshot is not None for item in group):
            return [self.snapshot_failure] * len(group)
        return await super().append(group)

    async def flush(self) -> None:
        if self.flush_failure is not None:
            raise self.flush_failure


async def closed(*fleets: Fleet) -> None:
    for fleet in fleets:
        await fleet.host.close()
        await fleet.router.close()
    await fleets[0].stores.close()


async def until(done: Callable[[], bool]) -> None:
    """Let the loop run until something has happened."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - nothing here could set an event
            await asyncio.sleep(0)


def sender(request: ModelRequest) -> Reply:
    incoming = View(request).incoming
    if request.agent == "bob":
        return say("got it")
    assert incoming is not None
    return call("send_to_agent", agent="bob", message=incoming.text)


async def test_a_message_under_way_when_a_fleet_stops_arrives_after_it_comes_back(tmp_path: Path) -> None:
    first = Fleet(tmp_path, sender)
    await first.spawn(Agent("ada", functions=("all",)))
    await first.spawn(Agent("bob", functions=("all",)))
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def stuck() -> None:
        await never

    def blocked(_sender: AgentId, _to: AgentId, _interrupt: Interrupt) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(stuck())

    first.router.route = blocked  # type: ignore[method-assign,assignment]  # the way to bob is blocked
    await first.answer(ADA, message("the secret"))
    await first.host.close()
    activation = await first.stores.activate(ADA)
    assert activation.snapshot is not None
    assert not activation.records
    second = Fleet(tmp_path, sender, stores=first.stores)
    await second.host.frame(ADA)
    await until(lambda: second.router.is_idle and second.host.is_idle)
    assert "the secret" in str((await second.host.inspect(BOB)).messages)
    never.cancel()
    frame = second.host.frames[ADA]
    assert cast("dict[str, object]", CODEC.decode(frame.snapshot()))[UNSENT] == []
    await closed(second)


async def test_an_archive_that_is_down_puts_snapshots_off_and_commits_go_on(tmp_path: Path) -> None:
    stores = SlowStores(tmp_path)
    fleet = Fleet(tmp_path, stores=stores)
    await fleet.spawn(Agent("ada", snapshot_steps=1))
    stores.flush_failure = StoreUnavailable("the archive is down")
    for number in range(5):
        assert (await fleet.answer(ADA, message(f"{number}"))).outcome == "yielded"
    await fleet.host.committer.settled()
    stores.flush_failure = None
    assert (await fleet.answer(ADA, message("again"))).text == "heard again"
    await fleet.host.committer.settled()
    assert (await stores.activate(ADA)).snapshot is not None
    await closed(fleet)


async def test_a_snapshot_that_cannot_be_written_does_not_end_the_activation(tmp_path: Path) -> None:
    stores = SlowStores(tmp_path)
    fleet = Fleet(tmp_path, stores=stores)
    await fleet.spawn(Agent("ada", snapshot_steps=1))
    stores.snapshot_failure = StoreUnavailable("too large")
    await fleet.answer(ADA, message("one"))
    await fleet.host.committer.settled()
    frame = fleet.host.frames[ADA]
    await fleet.answer(ADA, message("two"))
    assert fleet.host.frames[ADA] is frame
    await closed(fleet)


async def test_an_effect_that_cannot_be_performed_fails_its_own_agent_only(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.spawn(Agent("ada"))
    await fleet.spawn(Agent("bob"))
    perform = fleet.host.committer._perform

    def broken(frame: object, seq: int, effect: fx.AnyEffect) -> None:
        if frame is fleet.host.frames.get(ADA) and isinstance(effect, fx.Accept):
            raise RuntimeError("on purpose")
        perform(frame, seq, effect)  # type: ignore[arg-type]  # it is one

    fleet.host.committer._perform = broken  # a fault that nobody foresaw
    asked = [fleet.host.deliver(name, message("x")) for name in (ADA, BOB)]
    async with asyncio.timeout(10):
        failed, received = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(failed, InternalError)
    assert not isinstance(received, BaseException)
    assert received.accepted
    assert (await fleet.answer(BOB, message("on"))).text == "heard on"
    await closed(fleet)


async def test_a_model_that_is_gone_fails_its_own_agent_only(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.spawn(Agent("ada", model="scripted:gone"))
    await fleet.spawn(Agent("bob"))
    make = fleet.host.workshop._make_processor

    def some(settings: object) -> object:
        if "gone" in str(settings):
            raise UnknownName("no such mind: gone")
        return make(settings)  # type: ignore[arg-type]  # as it came

    fleet.host.workshop._make_processor = some  # type: ignore[assignment]  # as after a restart without the mind
    async with asyncio.timeout(10):
        with pytest.raises(UnknownName, match="gone"):
            await fleet.host.deliver(ADA, message("x"))
        assert (await fleet.answer(BOB, message("on"))).text == "heard on"
    await closed(fleet)


async def test_an_agent_that_breaks_while_it_wakes_fails_who_wakes_it(tmp_path: Path) -> None:
    first = Fleet(tmp_path)
    await first.spawn(Agent("ada"))
    await first.answer(ADA, message("one"))
    second = Fleet(tmp_path, stores=first.stores)
    revive = second.host.workshop.revive

    def broken(activation: object) -> object:
        revived = revive(activation)  # type: ignore[arg-type]  # it is one
        revived.state.phase = cast("object", "nonsense")  # type: ignore[assignment]  # any bug of ours
        return revived

    second.host.workshop.revive = broken  # type: ignore[method-assign,assignment]  # as above
    async with asyncio.timeout(10):
        with pytest.raises(InternalError):
            await second.host.deliver(ADA, message("two"))
    await closed(second)


async def test_who_waits_when_a_host_closes_is_told(tmp_path: Path) -> None:
    started = asyncio.Event()

    @function(effect="pure")
    async def wait() -> str:
        """Wait."""
        started.set()
        await asyncio.Event().wait()
        return ""

    fleet = Fleet(tmp_path, lambda _: call("wait", True))
    fleet.registry.add(wait)
    await fleet.spawn(Agent("ada", functions=("wait",)))
    asking = asyncio.ensure_future(fleet.answer(ADA, message("x")))
    await started.wait()
    await closed(fleet)
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable):
            await asking


async def test_a_search_does_not_wait_for_what_enters_after_it(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> Reply:
        view = View(request)
        if view.result is None:
            return call("conversation_search", True, query="x")
        return say("found")

    stores = SlowStores(tmp_path)
    fleet = Fleet(tmp_path, mind, stores=stores)
    await fleet.spawn(Agent("ada", functions=("all",), mailbox_max=1000))
    frame = await fleet.host.frame(ADA)
    ended = asyncio.ensure_future(fleet.answer(ADA, message("look")))
    numbers = itertools.count()
    append = NaiveStores.append

    async def flooded(group: Sequence[Append]) -> list[Exception | None]:
        results = await append(stores, group)
        receipts.append(asyncio.ensure_future(fleet.host.deliver(ADA, message("more", key=f"flood{next(numbers)}"))))
        while not frame._records:  # noqa: ASYNC110 - the next event enters before this commit ends
            await asyncio.sleep(0)
        return results

    receipts: list[asyncio.Future[object]] = []
    stores.append = flooded  # type: ignore[method-assign]  # somebody speaks to the agent without pause
    await until(lambda: ended.done() or next(numbers) > 5_000)
    stores.append = append.__get__(stores)  # type: ignore[method-assign]  # quiet again
    assert ended.done(), "a flood of messages starved the search"
    await until(lambda: fleet.host.is_idle)
    await asyncio.gather(*receipts, return_exceptions=True)
    await closed(fleet)


async def test_a_function_that_was_cancelled_before_it_could_begin_never_runs(tmp_path: Path) -> None:
    runs: list[str] = []

    @function(effect="once")
    def launch() -> str:
        """Launch."""
        runs.append("launched")
        return "launched"

    stores = SlowStores(tmp_path)
    fleet = Fleet(tmp_path, lambda _: call("launch", True), stores=stores)
    fleet.registry.add(launch)
    await fleet.spawn(Agent("ada", functions=("launch",)))
    frame = await fleet.host.frame(ADA)
    stores.gate.clear()
    asking = asyncio.ensure_future(fleet.answer(ADA, message("go", key="go")))
    await until(lambda: frame.state.outstanding is not None and frame.state.outstanding.kind == "function")
    stop = message("stop", priority=Priority.OPERATOR, kind=InterruptKind.CANCEL, target=InterruptId("go"))
    stopping = asyncio.ensure_future(fleet.host.deliver(ADA, stop))
    await until(lambda: frame.state.outstanding is None)
    stores.gate.set()
    assert (await asking).outcome == "cancelled"
    await stopping
    await until(lambda: fleet.host.is_idle)
    assert runs == []
    await closed(fleet)


async def test_what_an_agent_accepted_is_done_though_its_store_failed_for_a_moment(tmp_path: Path) -> None:
    began = asyncio.Event()
    go_on = asyncio.Event()

    @function(effect="pure")
    async def slow() -> str:
        """Be slow."""
        began.set()
        await go_on.wait()
        return "done"

    def mind(request: ModelRequest) -> Reply:
        return say("done") if View(request).result is not None else call("slow", True)

    fleet = Fleet(tmp_path, mind)
    fleet.registry.add(slow)
    await fleet.spawn(Agent("ada", functions=("send_message", "slow")))
    assert (await fleet.host.deliver(ADA, message("work", key="work"))).accepted
    await began.wait()
    fleet.stores.failure = StoreUnavailable("the disk is full")
    go_on.set()
    await until(lambda: ADA not in fleet.host.frames)
    fleet.stores.failure = None
    stream = fleet.host.listeners.stream(ADA)
    await asyncio.sleep(0)
    fleet.clock.advance(1_000)
    async with asyncio.timeout(10):
        async for step in stream:
            if step.kind == "ended":
                assert step.cause == "work"
                break
    stream.close()
    await closed(fleet)


async def test_a_long_tail_without_steps_gets_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "TAIL_RECORDS_MAX", 20)
    fleet = Fleet(tmp_path, lambda _: nothing())
    await fleet.spawn(Agent("ada", snapshot_steps=1000))
    for _ in range(30):
        await fleet.host.deliver(ADA, message("same", key="same"))
    await fleet.host.committer.settled()
    assert (await fleet.stores.activate(ADA)).snapshot is not None
    await closed(fleet)


async def test_what_lives_that_ended_too_early_have_left_is_lived_again_once(tmp_path: Path) -> None:
    """Each life dies before its snapshot is saved: the one after them saves one as soon as it is awake."""
    stores = SlowStores(tmp_path)
    stores.flush_failure = StoreUnavailable("the archive is down")
    for life in range(4):
        fleet = Fleet(tmp_path, stores=stores)
        if not life:
            await fleet.spawn(Agent("ada", snapshot_steps=10))
        for number in range(6):
            await fleet.answer(ADA, message(f"{life} {number}"))
        await fleet.host.committer.settled()
        fleet.host.committer.due = lambda _: None  # type: ignore[method-assign,assignment]  # it is dead
    activation = await stores.activate(ADA)
    assert activation.snapshot is None
    assert len(activation.records) > 10 * commit.TAIL_RECORDS_A_STEP
    stores.flush_failure = None
    survivor = Fleet(tmp_path, stores=stores)
    await survivor.host.frame(ADA)
    await until(lambda: survivor.host.is_idle)
    await survivor.host.committer.settled()
    activation = await stores.activate(ADA)
    assert activation.snapshot is not None
    assert not activation.records
    await closed(survivor)


async def test_while_the_archive_is_down_snapshots_are_tried_now_and_then(tmp_path: Path) -> None:
    stores = SlowStores(tmp_path)
    fleet = Fleet(tmp_path, stores=stores)
    await fleet.spawn(Agent("ada", snapshot_steps=10))
    tries = 0

    async def flush() -> None:
        nonlocal tries
        tries += 1
        raise StoreUnavailable("the archive is down")

    stores.flush = flush  # type: ignore[method-assign]  # counted
    for number in range(100):
        await fleet.answer(ADA, message(f"{number}"))
    await fleet.host.committer.settled()
    assert 5 <= tries <= 20, "a hundred steps are due for ten"
    stores.flush = lambda: asyncio.sleep(0)  # type: ignore[method-assign]  # it is up again
    await closed(fleet)


async def test_groups_are_bounded_and_nobody_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "GROUP_MAX", 3)
    fleet = Fleet(tmp_path)
    names = [await fleet.spawn(Agent(f"agent-{number}")) for number in range(10)]
    answers = await asyncio.gather(*(fleet.answer(name, message("hi")) for name in names))
    assert {answer.text for answer in answers} == {"heard hi"}
    assert max(fleet.stores.groups) <= 3
    await closed(fleet)


async def test_two_who_wait_for_one_answer_both_get_it_and_one_may_leave(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.spawn(Agent("ada"))
    one, two, three = (fleet.host.listeners.answer(ADA, InterruptId("k")) for _ in range(3))
    one.cancel()
    fleet.host.listeners.drop_answer(ADA, InterruptId("k"), one)
    await fleet.host.deliver(ADA, message("x", key="k"))
    assert (await two).text == (await three).text == "heard x"
    assert not fleet.host.listeners._answers
    assert not fleet.host.listeners._said
    await closed(fleet)


async def test_nothing_goes_out_whose_record_did_not_become_durable(tmp_path: Path) -> None:
    stores = SlowStores(tmp_path)
    fleet = Fleet(tmp_path, sender, stores=stores)
    await fleet.spawn(Agent("ada", functions=("all",)))
    await fleet.spawn(Agent("bob", functions=("all",)))
    sent: list[str] = []
    route = fleet.router.route

    def spied(sender: AgentId, to: AgentId, interrupt: Interrupt) -> asyncio.Task[bool]:
        sent.append(interrupt.text)
        return route(sender, to, interrupt)

    fleet.router.route = spied  # type: ignore[method-assign]  # a spy
    frame = await fleet.host.frame(ADA)
    stores.gate.clear()
    asking = asyncio.ensure_future(fleet.answer(ADA, message("psst")))
    await until(lambda: frame.state.statistics.steps == 1)
    stores.failure = StoreUnavailable("the disk is full")
    stores.gate.set()
    with pytest.raises(StoreUnavailable):
        await asking
    await until(lambda: ADA not in fleet.host.frames and fleet.router.is_idle)
    assert sent == []
    assert not fleet.host.is_idle, "what it had accepted is tried again"
    stores.failure = None
    await closed(fleet)


async def test_a_snapshot_stands_for_what_is_archived_and_committed_and_for_nothing_else(tmp_path: Path) -> None:
    stores = SlowStores(tmp_path)
    fleet = Fleet(tmp_path, stores=stores)
    await fleet.spawn(Agent("ada", snapshot_steps=1))
    order: list[str] = []
    missing: list[int] = []
    uncommitted: list[int] = []
    receipts: list[asyncio.Future[object]] = []
    append = stores.append

    async def flush() -> None:
        order.append("flush")
        if not receipts:  # something enters while the archive is written
            frame = fleet.host.frames[ADA]
            receipts.append(asyncio.ensure_future(fleet.host.deliver(ADA, message("meanwhile", key="meanwhile"))))
            await until(lambda: not frame.is_committed)

    async def watched(group: Sequence[Append]) -> list[Exception | None]:
        for item in group:
            if item.snapshot is not None:
                order.append("snapshot")
                rows = decode_snapshot(item.agent, item.snapshot)["entries"]
                stored = {(ADA, shown.page.id) for shown in map(from_row, rows) if shown.stored}
                assert stored
                missing.append(len(stored - stores.pages.keys()))
                uncommitted.append(len(fleet.host.frames[ADA]._records))
        return await append(group)

    stores.flush = flush  # type: ignore[method-assign]  # the archive is slow
    stores.append = watched  # type: ignore[method-assign]  # a look at what is written
    await fleet.answer(ADA, message("one"))
    await until(lambda: fleet.host.is_idle and "snapshot" in order)
    await fleet.host.committer.settled()
    await asyncio.gather(*receipts)
    assert order[0] == "flush"
    assert set(missing) == {0}, "every page that a snapshot knows of is in the archive"
    assert set(uncommitted) == {0}, "what is not committed is not in a snapshot"
    await closed(fleet)
