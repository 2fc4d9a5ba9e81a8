"""Hibernation: the limit holds, nothing is lost or reordered, and an agent cannot tell that it slept."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagefault.policies import registry
from pagefault.policies.contract import PageFacts
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.eviction.selection import first_to_leave
from pagefault.runtime.errors import ConfigError, Overloaded, StoreUnavailable, UnknownName
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.frame import FRAME_BYTES, Frame
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.residency import FRAME_WAIT_MS, NEAR_MS, FrameSettings
from pagefault.runtime.kernel.invariants import check
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, Interrupt, ModelRequest, PageKind
from tests.runtime.host.naive_stores import NaiveStores
from tests.runtime.host.test_host import ADA, Fleet, message
from tests.runtime.host.test_waking import end, pause, said, sleeper

BOB = AgentId("bob")
MINUTE_MS = 60_000


class Limited(Fleet):
    """A fleet whose host has few frames."""

    def __init__(
        self,
        folder: Path,
        mind: Callable[[ModelRequest], Reply],
        stores: NaiveStores | None = None,
        **limits: Any,
    ) -> None:
        super().__init__(folder, mind, stores)
        self.host = Host(self.stores, self.host.workshop, self.router, self.clock, frames=FrameSettings(**limits))
        self.router.serve(self.host)


def townsfolk(request: ModelRequest) -> Reply:
    """Echoes; tells a neighbour what begins with ``tell``, asks one what begins with ``ask``, keeps what else."""
    view = View(request)
    incoming = view.incoming
    assert incoming is not None
    verb, _, rest = incoming.text.partition(" ")
    if view.result is None and verb in ("tell", "ask"):
        agent, _, text = rest.partition(" ")
        if verb == "tell":
            return call("send_to_agent", agent=agent, message=text)
        return call("call_agent", True, agent=agent, message=text, timeout_seconds=600)
    if verb == "keep" and view.result is None:
        return call("core_memory_append", True, label="human", content=rest)
    return say(f"heard {incoming.text}" if view.result is None else f"{verb}: {view.result.text}")


def plan(seed: int, agents: int, rounds: int) -> list[list[tuple[AgentId, str]]]:
    """Rounds of messages, several to an agent; in each round some tell or ask others."""
    chance = random.Random(seed)
    names = [AgentId(f"agent-{number}") for number in range(agents)]
    made = []
    for turn in range(rounds):
        one = []
        for number in range(agents // 2):
            to, other = chance.sample(names, 2)
            verb = chance.choice(("hello", "hello", f"tell {other}", f"ask {other}", "keep"))
            one.append((to, f"{verb} number {turn}.{number}"))
        made.append(one)
    return made


def citizen(number: int, context_tokens: int = 50_000) -> Agent:
    return Agent(
        f"agent-{number}",
        functions=("all",) if context_tokens > 5_000 else ("send_message", "core_memory_append"),
        blocks={"human": ""},
        context_tokens=context_tokens,
        reply_tokens=200,
    )


async def live(fleet: Fleet, rounds: list[list[tuple[AgentId, str]]], context_tokens: int) -> dict[AgentId, bytes]:
    """Let a town live and return every agent's context; messages of one sender to one agent go in order."""
    names = [await fleet.spawn(citizen(number, context_tokens)) for number in range(50)]

    async def post(to: AgentId, texts: Sequence[str]) -> None:
        for text in texts:
            interrupt = message(text, key=f"{to}/{text}")
            receipt = await fleet.host.deliver(to, interrupt)
            assert receipt.accepted, receipt.reason

    for one in rounds:
        by_agent: dict[AgentId, list[str]] = defaultdict(list)
        for to, text in one:
            by_agent[to].append(text)
        await asyncio.gather(*(post(to, texts) for to, texts in by_agent.items()))
        await settled(fleet)
    contexts = {}
    for name in names:
        frame = await fleet.host.frame(name)
        check(frame.state)
        contexts[name] = frame.state.context_bytes()
        await fleet.host.hibernate([name])
    return contexts


async def settled(fleet: Fleet) -> None:
    async with asyncio.timeout(30):
        while not (fleet.host.is_idle and fleet.router.is_idle):  # noqa: ASYNC110 - nothing here could set an event
            await asyncio.sleep(0)


def shown(fleet_frame: Frame) -> list[str]:
    """What outsiders said, in the order in which the agent was shown it."""
    texts = [part.text for part in fleet_frame.state.context.assemble().messages if part.role == "user"]
    return [text.split(" user] ", 1)[1] for text in texts if " user] " in text]


async def test_a_town_of_fifty_lives_in_four_frames_and_nothing_is_lost_or_reordered(tmp_path: Path) -> None:
    rounds = plan(7, 50, 12)
    sent: dict[AgentId, list[str]] = defaultdict(list)
    written: dict[AgentId, int] = defaultdict(int)
    for to, text in (each for one in rounds for each in one):
        sent[to].append(text)
        if text.startswith(("tell", "ask")):
            written[AgentId(text.split()[1])] += 1
    fleet = Limited(tmp_path, townsfolk, frames=4)
    await live(fleet, rounds, 50_000)
    for number in range(50):
        frame = await fleet.host.frame(AgentId(f"agent-{number}"))
        assert shown(frame) == sent[frame.id]
        arrived = [page for page in frame.state.context.pages() if page.page.author.startswith("agent-")]
        assert len([each for each in arrived if each.page.kind is PageKind.MESSAGE]) == written[frame.id]
        assert not frame.state.parked
    assert fleet.host.residency.resident_max == 4
    assert fleet.host.residency.hibernations > 100
    await end(fleet)


async def test_contexts_are_the_same_bytes_with_and_without_a_limit(tmp_path: Path) -> None:
    """Nobody writes to anybody here: what an agent hears then does not hang on who was quicker."""
    rounds = [[(to, text) for to, text in one if text.startswith(("hello", "keep"))] for one in plan(3, 50, 40)]
    free, tight = Fleet(tmp_path / "free", townsfolk), Limited(tmp_path / "tight", townsfolk, frames=4)
    wanted = await live(free, rounds, 2_000)
    assert await live(tight, rounds, 2_000) == wanted
    assert sum(b"paged out" in context for context in wanted.values()) > 5, "there was paging"
    assert tight.host.residency.hibernations > 100
    await end(free)
    await end(tight)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 5), st.sampled_from(("hello", "keep", "ask", "tell"))),
            st.tuples(st.just("sleep"), st.integers(0, 5), st.just("")),
            st.tuples(st.just("turns"), st.integers(1, 9), st.just("")),
            st.tuples(st.just("restart"), st.just(0), st.just("")),
        ),
        max_size=25,
    ),
    policy=st.sampled_from(("lru", "fifo", "s3fifo", "gdsf")),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_happens_each_interrupt_is_handled_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]], policy: str
) -> None:
    asyncio.run(_whatever(tmp_path_factory.mktemp("town"), steps, policy))


async def _whatever(folder: Path, steps: list[tuple[str, int, str]], policy: str) -> None:
    fleet = Limited(folder, townsfolk, frames=2, policy=policy)
    fleets = [fleet]
    names = [await fleet.spawn(citizen(number)) for number in range(6)]
    sent: dict[AgentId, list[str]] = defaultdict(list)
    tails: dict[AgentId, asyncio.Task[None]] = {}

    async def post(before: asyncio.Task[None] | None, to: AgentId, interrupt: Interrupt) -> None:
        if before is not None:
            await before
        for _ in range(100):
            try:
                assert (await fleets[-1].host.deliver(to, interrupt)).accepted
            except StoreUnavailable:  # that host is gone: to the next one, under the same id
                await asyncio.sleep(0)
            else:
                return
        raise AssertionError("never accepted")

    for number, (what, which, verb) in enumerate(steps):
        name = names[which % 6]
        if what == "send":
            other = names[(which + 1) % 6]
            text = f"{verb} {other} number {number}" if verb in ("ask", "tell") else f"{verb} number {number}"
            sent[name].append(text)
            tails[name] = asyncio.ensure_future(post(tails.get(name), name, message(text, key=f"k{number}")))
        elif what == "sleep":
            await fleets[-1].host.hibernate([name])
        elif what == "turns":
            for _ in range(which):
                await asyncio.sleep(0)
        else:
            await asyncio.gather(*tails.values())
            await fleets[-1].router.close()
            await fleets[-1].host.close()
            fleets.append(Limited(folder, townsfolk, fleet.stores, frames=2, policy=policy))
            fleets[-1].host.watch()
    await asyncio.gather(*tails.values())
    last = fleets[-1]
    await settled(last)
    assert all(each.host.residency.resident_max <= 2 for each in fleets)
    for name in names:
        assert shown(await last.host.frame(name)) == sent[name]
        await last.host.hibernate([name])
    await end(last, *fleets[:-1])


# --- who leaves, and when


async def resident(fleet: Fleet, *, count: int) -> None:
    """Return when so many agents are resident."""
    async with asyncio.timeout(10):
        while len(fleet.host.frames) != count:  # noqa: ASYNC110 - nothing here could set an event
            await asyncio.sleep(0)


async def test_the_policy_is_plugged_in_by_name_and_sees_agents_as_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, bool]] = []

    class MostRecent(Lru):
        """Who was used last leaves first."""

        name = "most_recent"

        def on_insert(self, page: PageFacts, turn: int) -> None:
            seen.append((page.id, page.kind, page.tokens > 10_000))
            super().on_insert(page, turn)

        def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
            return first_to_leave(reversed(self._tokens.items()), tokens_needed, protected)

    monkeypatch.setattr(registry, "EVICTION", {**registry.EVICTION, "most_recent": MostRecent})
    for policy, stays in (("most_recent", "agent-0"), ("lru", "agent-5")):
        fleet = Limited(tmp_path / policy, townsfolk, frames=3, policy=policy)
        names = [await fleet.spawn(citizen(number)) for number in range(6)]
        for name in names:
            await fleet.answer(name, message("hello"))
            await settled(fleet)
        assert stays in fleet.host.frames
        assert not fleet.host.residency._policy.problem
        await end(fleet)
    assert seen == [(f"agent-{number}", "agent", True) for number in range(6)]


async def test_who_was_not_spoken_to_for_a_while_is_hibernated(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, townsfolk, idle_s=60)
    ada, bob = await fleet.spawn(citizen(1)), await fleet.spawn(citizen(2))
    await fleet.answer(ada, message("hello"))
    fleet.clock.advance(40_000)
    await fleet.answer(bob, message("hello"))
    for _ in range(2):
        fleet.clock.advance(15_000)
        await pause()
    await resident(fleet, count=1)
    assert list(fleet.host.frames) == [bob]
    for _ in range(3):
        fleet.clock.advance(15_000)
        await pause()
    await resident(fleet, count=0)
    assert (await fleet.answer(ada, message("awake?"))).text == "heard awake?"
    await end(fleet)


async def test_agents_leave_while_memory_is_short(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, townsfolk, memory_bytes=1_000)
    used = [500]
    fleet.host.residency._memory = lambda: used[0]
    names = [await fleet.spawn(citizen(number)) for number in range(16)]
    await asyncio.gather(*(fleet.answer(name, message("hello")) for name in names))
    fleet.clock.advance(5_000)
    await settled(fleet)
    assert len(fleet.host.frames) == 16
    used[0] = 1_500
    await pause()
    fleet.clock.advance(1_000)
    await resident(fleet, count=14)
    used[0] = 900
    await pause()
    fleet.clock.advance(1_000)
    await pause()
    assert len(fleet.host.frames) == 14
    await end(fleet)


async def test_the_bytes_of_all_agents_are_bounded(tmp_path: Path) -> None:
    limit = 5 * FRAME_BYTES
    fleet = Limited(tmp_path, townsfolk, frames_bytes=limit)
    names = [await fleet.spawn(citizen(number)) for number in range(20)]
    for _ in range(4):
        await asyncio.gather(*(fleet.answer(name, message("hello " * 50)) for name in names))
    await settled(fleet)
    assert sum(frame.size_bytes for frame in fleet.host.frames.values()) < limit
    assert fleet.host.residency.resident_max <= 5
    await end(fleet)


async def test_a_hibernated_agents_timer_rings(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, sleeper, frames=1)
    await fleet.spawn(Agent("ada", functions=("all",)))
    await fleet.spawn(Agent("bob", functions=("all",)))
    await fleet.answer(ADA, message("wake me"))
    fleet.clock.advance(4 * MINUTE_MS)
    await pause()
    await fleet.host.hibernate([ADA])
    assert not fleet.host.frames
    fleet.host.watch()
    ringing = asyncio.ensure_future(said(fleet, ADA, "ding"))
    await pause()
    fleet.clock.advance(1 * MINUTE_MS)
    await ringing
    await end(fleet)


async def test_an_agent_whose_timer_is_about_to_ring_is_spared_while_others_can_go(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, sleeper, frames=2)
    for name in ("ada", "bob", "carol", "dora"):
        await fleet.spawn(Agent(name, functions=("all",)))
    await fleet.answer(ADA, message("wake me"))
    fleet.clock.advance(5 * MINUTE_MS - NEAR_MS)
    for name in ("bob", "carol", "dora"):
        await fleet.answer(AgentId(name), message("wake me"))
        await settled(fleet)
        assert ADA in fleet.host.frames
    await end(fleet)


async def test_a_chain_that_awaits_a_reply_sleeps_with_its_agent(tmp_path: Path) -> None:
    """With one frame, who asks must leave for the one that is asked."""
    fleet = Limited(tmp_path, townsfolk, frames=1)
    names = [await fleet.spawn(citizen(number)) for number in range(3)]
    answer = await fleet.answer(names[0], message(f"ask {names[1]} hello number 1"))
    assert answer.text.startswith("ask: ")
    assert "heard hello number 1" in answer.text
    assert fleet.host.residency.resident_max == 1
    await end(fleet)


async def test_agents_with_calls_under_way_keep_their_frames_and_others_are_told_to_come_again(
    tmp_path: Path,
) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    @function(effect="pure")
    async def hold() -> str:
        """Wait."""
        began.set()
        await go.wait()
        return "done"

    def mind(request: ModelRequest) -> Reply:
        return say("held") if View(request).result is not None else call("hold", True)

    fleet = Limited(tmp_path, mind, frames=1)
    fleet.registry.add(hold)
    for name in ("ada", "bob"):
        await fleet.spawn(Agent(name, functions=("send_message", "hold")))
    held = asyncio.ensure_future(fleet.answer(ADA, message("go")))
    await began.wait()
    await fleet.host.hibernate([ADA])
    assert list(fleet.host.frames) == [ADA]
    refused = asyncio.ensure_future(fleet.answer(BOB, message("go", key="same")))
    await pause()
    fleet.clock.advance(FRAME_WAIT_MS)
    with pytest.raises(Overloaded, match="all frames of this host were busy for 30 s"):
        await refused
    again = asyncio.ensure_future(fleet.answer(BOB, message("go", key="same")))
    await pause()
    go.set()
    assert (await held).text == "held"
    assert (await again).text == "held"
    await end(fleet)


async def test_an_agent_that_cannot_be_saved_stays(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, townsfolk, frames=4)
    ada = await fleet.spawn(citizen(1))
    await fleet.answer(ada, message("hello"))
    fleet.stores.failure = StoreUnavailable("the disk is full")
    await fleet.host.hibernate([ada])
    fleet.stores.failure = None
    assert list(fleet.host.frames) == [ada]
    assert (await fleet.answer(ada, message("still there?"))).text == "heard still there?"
    await end(fleet)


async def test_an_agent_that_is_spoken_to_while_it_is_saved_stays(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, townsfolk, frames=4)
    ada = await fleet.spawn(citizen(1))
    await fleet.answer(ada, message("hello"))
    flushing, go = asyncio.Event(), asyncio.Event()

    async def flush() -> None:
        flushing.set()
        await go.wait()

    fleet.stores.flush = flush  # type: ignore[method-assign]  # a slow archive
    saving = asyncio.ensure_future(fleet.host.hibernate([ada]))
    await flushing.wait()
    asking = asyncio.ensure_future(fleet.answer(ada, message("still there?")))
    await pause()
    go.set()
    await saving
    assert (await asking).text == "heard still there?"
    assert fleet.host.residency.hibernations == 0
    await settled(fleet)
    before = (await fleet.host.inspect(ada)).digest
    await fleet.host.hibernate([ada])
    assert not fleet.host.frames
    assert (await fleet.host.inspect(ada)).digest == before
    await end(fleet)


async def test_whoever_waits_for_a_frame_when_the_host_stops_is_told_so(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, townsfolk, frames=1)
    await fleet.host.residency.admit()
    waiting = asyncio.ensure_future(fleet.host.residency.admit())
    await pause()
    await end(fleet)
    with pytest.raises(StoreUnavailable, match="stopping"):
        await waiting


async def test_who_gives_up_waiting_leaves_the_frame_to_others(tmp_path: Path) -> None:
    fleet = Limited(tmp_path, townsfolk, frames=1)
    residency = fleet.host.residency
    await residency.admit()
    waits = [asyncio.ensure_future(residency.admit()) for _ in range(3)]
    await pause()
    residency.refund()
    waits[0].cancel()
    waits[1].cancel()
    await pause()
    assert waits[2].done()
    residency.refund()
    await end(fleet)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"frames": 0}, "frames: found 0, allowed: a whole number above 0"),
        ({"frames": True}, "frames: found True"),
        ({"frames_bytes": -1}, "frames_bytes: found -1"),
        ({"memory_bytes": 1.5}, "memory_bytes: found 1.5"),
        ({"idle_s": 0}, "idle_s: found 0, allowed: seconds above 0"),
        ({"idle_s": "soon"}, "idle_s: found 'soon'"),
        ({"policy_options": {"no_such": 1}}, "frames_policy"),
    ],
)
def test_wrong_settings_are_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        FrameSettings(**fields)


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(UnknownName, match=r"frames_policy: .*no_such"):
        FrameSettings(policy="no_such")
