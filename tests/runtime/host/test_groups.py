"""Topics, broadcasts, dead letters and calls of exported functions, on a whole fleet in one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pagefault.runtime.errors import ConfigError, UnknownAgent, UsageError
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import Step
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.store.mail import TOPICS_MAX
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

HERE = "scripted:tests.runtime.host.test_groups"
STOCK: list[str] = []


@function(effect="once")
def lookup(key: str) -> str:
    """Look something up.

    Args:
        key: What.
    """
    STOCK.append(key)
    return f"{key} is 42"


def doing(request: ModelRequest) -> Reply:
    """Does the call that it is told as JSON, and says what came of it; agents' words it keeps to itself."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    if view.incoming is None or view.incoming.author != "user" or not view.incoming.text.startswith("{"):
        return nothing()
    wanted = json.loads(view.incoming.text.splitlines()[0])
    return call(wanted.pop("do"), wanted.pop("beat", True), **wanted)


def do(name: str, **arguments: object) -> str:
    return json.dumps({"do": name, **arguments})


def agent(name: str, **fields: object) -> Agent:
    return Agent(name, model=f"{HERE}:doing", functions=("all", "lookup"), **fields)


async def heard(fleet: Local, name: str) -> list[str]:
    """What agents have said to one, as its context has it."""
    await fleet.idle()
    inspection = await fleet.inspect(name)
    return [page.text for page in inspection.pages if page.kind == "message" and page.author != "user"]


async def fleet_of(fleet: Local, *names: str) -> None:
    await fleet.spawn_many(agent(name) for name in names)


async def test_what_is_published_reaches_who_is_subscribed_but_not_who_published(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash", functions=[lookup]) as fleet:
        await fleet_of(fleet, "ann", "bob", "cid", "dora")
        for name in ("ann", "bob", "cid"):
            assert await fleet.ask(name, do("subscribe", topic="team/red")) == "Subscribed to team/red."
        assert await fleet.topics() == {"team/red": 3}
        assert await fleet.ask("ann", do("publish", topic="team/red", message="go")) == "Published to 2 agents."
        assert await heard(fleet, "bob") == await heard(fleet, "cid") == ["go"]
        assert await heard(fleet, "ann") == await heard(fleet, "dora") == []
        await fleet.ask("bob", do("unsubscribe", topic="team/red"))
        assert await fleet.topics("bob") == {}
        assert await fleet.subscribers("team/red") == ["ann", "cid"]
        assert await fleet.ask("dora", do("publish", topic="nobody/hears", message="go")) == "Published to 0 agents."


async def test_the_program_publishes_and_broadcasts_and_the_same_again_reaches_each_once(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash") as fleet:
        await fleet.spawn_many(Agent(f"a{number:02d}") for number in range(30))
        for number in range(0, 30, 3):
            await fleet.subscribe(f"a{number:02d}", "thirds")
        await fleet.subscribe("a00", "thirds")
        interrupt = Interrupt(InterruptId("news-1"), InterruptKind.OBSERVATION, Priority.WORLD, "world", "it rains")
        assert await fleet.publish("thirds", interrupt) == 10
        assert await fleet.publish("thirds", interrupt) == 10
        assert await fleet.broadcast("good night", prefix="a1") == 10
        assert await fleet.broadcast("good night") == 30
        await fleet.idle()
        steps = [(await fleet.inspect(f"a{number:02d}")).statistics["chains"] for number in range(30)]
        assert steps == [1 + (number % 3 == 0) + (10 <= number < 20) for number in range(30)]


async def test_names_of_topics_and_their_number_are_limited(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash", functions=[lookup]) as fleet:
        await fleet_of(fleet, "ann")
        for number in range(TOPICS_MAX):
            await fleet.subscribe("ann", f"t{number}")
        steps: list[Step] = []
        stream = fleet.stream("ann")
        watching = asyncio.ensure_future(watch(stream, steps))
        await asyncio.sleep(0)
        told = await fleet.ask("ann", do("subscribe", topic="another"))
        assert told == f"You have {TOPICS_MAX} topics, which is the limit; unsubscribe from one first."
        with pytest.raises(UsageError, match=f"ann: found {TOPICS_MAX} topics, which is the limit"):
            await fleet.subscribe("ann", "another")
        with pytest.raises(ConfigError, match="topic: found 'two words', allowed: 1 to 100 letters"):
            await fleet.publish("two words", "hm")
        with pytest.raises(UnknownAgent):
            await fleet.subscribe("nobody", "t1")
        watching.cancel()
        assert [step.text for step in steps if step.kind == "topic_limit"] == ["another"]


async def watch(stream: AsyncIterator[Step], steps: list[Step]) -> None:
    note = steps.append  # one by one: the stream has no end
    async for step in stream:
        note(step)


def test_a_message_to_a_mailbox_that_stays_full_is_a_dead_letter_and_can_be_sent_again(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with Local(tmp_path, clock=clock, embedder="hash", functions=[lookup]) as fleet:
            await fleet.spawn_many([agent("ann"), agent("bob", mailbox_max=1)])
            closed = Interrupt(
                InterruptId("mask"), InterruptKind.MASK, Priority.OPERATOR, "operator", mask=(Priority.AGENT,)
            )
            await fleet.send("bob", closed)
            steps: list[Step] = []
            watching = asyncio.ensure_future(watch(fleet.stream("ann"), steps))
            await asyncio.sleep(0)
            for number in range(3):
                await fleet.ask("ann", do("send_to_agent", agent="bob", message=f"number {number}"))
            await fleet.ask("ann", do("send_to_agent", agent="nobody", message="anyone?"))
            await asyncio.sleep(60)
            letters = await fleet.dead_letters()
            assert [(each.to, each.interrupt.text) for each in letters[::-1]] == [
                ("nobody", "anyone?"),
                ("bob", "number 1"),
                ("bob", "number 2"),
            ]
            assert [each.to for each in await fleet.dead_letters(to="bob", limit=1)] == ["bob"]
            assert len([step for step in steps if step.kind == "dead_letter"]) == 3
            told = [page.text for page in (await fleet.inspect("ann")).pages if page.author == "system"]
            assert len(told) == 3
            assert await fleet.resend([each.id for each in letters]) == []
            opened = Interrupt(InterruptId("open"), InterruptKind.MASK, Priority.OPERATOR, "operator")
            await fleet.send("bob", opened)
            await fleet.idle()
            sent = await fleet.resend([letters[0].id])
            await fleet.idle()
            sent += await fleet.resend([letters[1].id, "no such letter"])
            assert sent == [letters[0].id, letters[1].id]
            assert await heard(fleet, "bob") == ["number 0", "number 2", "number 1"]
            assert await fleet.discard([letters[2].id]) == 1
            assert await fleet.dead_letters() == []
            with pytest.raises(ConfigError, match="limit: found 0"):
                await fleet.dead_letters(0)
            watching.cancel()

    clock.run(main())


async def test_dead_letters_outlive_the_fleet(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash", functions=[lookup]) as fleet:
        await fleet_of(fleet, "ann")
        await fleet.ask("ann", do("send_to_agent", agent="bob", message="are you there?"))
        await fleet.idle()
    async with Local(tmp_path, embedder="hash", functions=[lookup]) as fleet:
        (letter,) = await fleet.dead_letters()
        assert letter.why == "there is no such agent"
        await fleet_of(fleet, "bob")
        assert await fleet.resend([letter.id]) == [letter.id]
        assert await heard(fleet, "bob") == ["are you there?"]


async def test_an_agent_calls_a_function_of_another_without_its_model(tmp_path: Path) -> None:
    STOCK.clear()
    async with Local(tmp_path, embedder="hash", functions=[lookup], frames=1) as fleet:
        await fleet.spawn_many([agent("ann"), agent("bob", exports=("lookup",)), agent("cid")])
        asked = do("call_agent", beat=None, agent="bob", function="lookup", arguments='{"key": "x"}')
        assert await fleet.ask("ann", asked) == "bob answers: x is 42"
        assert STOCK == ["x"]
        bob = await fleet.inspect("bob")
        assert bob.statistics["model_calls"] == 0
        assert [page.text for page in bob.pages] == ['called lookup({"key": "x"}); OK: x is 42']
        wrong = do("call_agent", beat=None, agent="cid", function="lookup", arguments='{"key": "x"}')
        assert (await fleet.ask("ann", wrong)).startswith("cid exports no function 'lookup'; it exports none")


async def test_a_reply_finds_a_caller_that_has_no_frame_any_more(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash", frames=1) as fleet:
        await fleet.spawn(Agent("ann", model=f"{HERE}:forwarding", functions=("all",)))
        await fleet.spawn(Agent("bob", model=f"{HERE}:forwarding", functions=("all",)))
        await fleet.spawn(Agent("cid", model=f"{HERE}:forwarding", functions=("all",)))
        answer = await fleet.ask("ann", "bob cid: hello", timeout_s=30)
        assert answer == "cid says hello"
        assert fleet.host.residency.hibernations >= 2
        circle = await fleet.ask("ann", "bob cid ann: hello", timeout_s=30)
        assert "ann waits for your answer itself (ann > bob > cid > ann)" in circle


def forwarding(request: ModelRequest) -> Reply:
    """``bob cid: words`` goes to bob, who brings it to cid, who says it."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text.rpartition("answers: ")[2])
    if view.incoming is None:
        return nothing()
    way, _, words = view.incoming.text.splitlines()[0].partition(": ")
    first, _, rest = way.partition(" ")
    if first == "":
        return say(f"{request.agent} says {words}")
    return call("call_agent", agent=first, message=f"{rest}: {words}")
