"""A village that talks for ever, at a gentle pace: what `pagefault ui --demo` shows, without a key or a server.

Its minds are Python functions, everything else is what any fleet has: mailboxes, contexts under a budget, pages that
leave and come back, agents that sleep.  It lives in this process, in a folder that is forgotten at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from pagefault.cluster.worlds.village import POSSESSIONS, QUALITIES, SUBJECTS, VALUES, villager_name
from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

VILLAGERS = 320
AWAKE_MAX = 260
"""Frames: more villagers than these are never resident, so some sleep."""
LATENCY_MS = 700.0
MEETINGS_PER_S = 10.0
FIRST_MEETINGS = 1_500
"""So many come quickly, so that there is something in their memories when people begin to look."""
FIRST_MEETINGS_PER_S = 90.0
FUNCTIONS = (
    "archival_memory_insert",
    "archival_memory_search",
    "call_agent",
    "page_in",
    "send_message",
    "send_to_agent",
)
FRIENDS = (1, 2, 3, 5, 8, 13)
"""Whom a villager meets: those who live so many houses on."""
WANDERS = 0.06
FACT = re.compile(r"(the \w+ of the \w+'s \w+) is ([\w-]+)")
PLACES = "well, market, mill, bakery, bridge, orchard, smithy, harbour, chapel, tavern".split(", ")
ASIDES = (
    "The rain has kept everybody indoors since Tuesday, and the road to the mill is more puddle than road by now.",
    "There was a fair beyond the bridge, with a man who could balance four plates and a very small dog on a ladder.",
    "My neighbour has painted his door twice this spring, and he is still not content with how it looks at dusk.",
    "The apples came early, so half the orchard smells of cider and the other half of children who ate too many.",
    "Somebody left a lantern burning on the jetty all night, and nobody will say who it was or what they waited for.",
    "The baker says that flour will be dear before the winter, and the miller says that bakers always say so.",
    "A letter came for the schoolmaster with a seal that nobody knew, and he has been humming ever since he read it.",
    "We tried the new bread oven at last; the first loaf was a stone, the second a sponge, the third was gone at once.",
)


@mind("neighbour")
def neighbour(request: ModelRequest) -> Reply:
    """One step of a villager: tells what it knows, keeps what it hears, looks up what has left its context."""
    view = View(request)
    if view.incoming is None:
        return nothing()
    text, author = view.incoming.text, view.incoming.author
    mood = zlib.crc32(f"{request.agent}/{text}".encode())
    if text.startswith("You meet "):
        return _at_a_meeting(view, text, mood)
    if text.endswith("?"):
        return _asked(view, text)
    fact = FACT.search(text)
    if view.result is not None or fact is None:
        return nothing()
    keep = call("archival_memory_insert", content=f"{fact[0]}, says {author}.")
    thank = call("send_to_agent", agent=author, message="Thank you, I had not heard that.")
    return [keep, thank] if mood % 5 == 0 else keep


def _at_a_meeting(view: View, text: str, mood: int) -> Reply:
    """What is wondered about is looked up: in a page that had to leave, by asking a friend, or in the archive."""
    friend = text.removeprefix("You meet ").partition(" at the ")[0]
    rumour = FACT.search(text)
    assert rumour is not None, "the village words its meetings"
    if view.result is None:
        handles = [line.id for line in view.lines if line.form == "handle"]
        if handles and mood % 3 == 0:
            return call("page_in", True, page_id=handles[mood % len(handles)])
        if mood % 7 == 0:
            return call("call_agent", agent=friend, message=f"What is {rumour[1]}?")
        return call("archival_memory_search", True, query=rumour[1])
    if view.result.name == "call_agent":
        return call("archival_memory_insert", content=f"{friend} on {rumour[1]}: {view.result.text[:120]}")
    known = [found for line in view.hits().lines if (found := FACT.search(line.text)) is not None]
    news = next((fact[0] for fact in known if fact[1] == rumour[1]), rumour[0])
    return call("send_to_agent", agent=friend, message=f"Did you know? {news}. {ASIDES[mood % len(ASIDES)]}")


def _asked(view: View, text: str) -> Reply:
    if view.result is None:
        return call("archival_memory_search", True, query=text)
    known = [found[0] for line in view.hits().lines if (found := FACT.search(line.text)) is not None]
    return say(known[0] if known else "I have not heard of it.")


@dataclass(frozen=True, slots=True)
class Pace:
    """How many live there, and how quickly they meet: ``first`` meetings at ``first_per_s``, then ``per_s``."""

    villagers: int = VILLAGERS
    awake_max: int = AWAKE_MAX
    latency_ms: float = LATENCY_MS
    per_s: float = MEETINGS_PER_S
    first: int = FIRST_MEETINGS
    first_per_s: float = FIRST_MEETINGS_PER_S
    seed: int = 1


DEMO = Pace()


@asynccontextmanager
async def living_village(pace: Pace = DEMO) -> AsyncIterator[Local]:
    """The village, from its first meeting until the block is left."""
    async with Local(durability="exit", frames=pace.awake_max) as fleet:
        await fleet.spawn_many(_villager(number, pace) for number in range(pace.villagers))
        life = asyncio.create_task(_live(fleet, pace), name="life in the village")
        try:
            yield fleet
        finally:
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life


def _villager(number: int, pace: Pace) -> Agent:
    return Agent(
        villager_name(number),
        model="scripted:pagefault.cluster.console.web.demo:neighbour",
        model_options={"latency_ms": pace.latency_ms},
        persona="I live in the village. I like to hear what is new, and I tell it to whoever wants to know.",
        functions=FUNCTIONS,
        context_tokens=3072,
        reply_tokens=256,
        policy=("lru", "s3fifo", "importance", "gdsf")[number % 4],
        write_back="handle",
        search_results=2,
    )


async def _live(fleet: Local, pace: Pace) -> None:
    chance = random.Random(pace.seed)  # noqa: S311 - a seeded world, not a secret
    for number in itertools.count():
        teller, interrupt = _meeting(number, pace.villagers, chance, fleet.host.clock.now_ms())
        with suppress(PagefaultError):  # a full mailbox: they meet another time
            await fleet.send(teller, interrupt)
        await asyncio.sleep(1 / (pace.first_per_s if number < pace.first else pace.per_s))


def _meeting(number: int, villagers: int, chance: random.Random, now_ms: int) -> tuple[AgentId, Interrupt]:
    """Somebody meets a neighbour, or now and then anybody; a few are out far more often than the others."""
    teller = int(villagers * chance.random() ** 1.5)
    friend = (teller + chance.choice(FRIENDS)) % villagers
    if chance.random() < WANDERS:
        friend = chance.randrange(villagers)
    if friend == teller:
        friend = (teller + 1) % villagers
    subject, possession, quality = chance.choice(SUBJECTS), chance.choice(POSSESSIONS), chance.choice(QUALITIES)
    wonders = f"the {quality} of the {subject}'s {possession}"
    rumour = f"whether {wonders} is {chance.choice(VALUES[quality])}"
    place, aside = chance.choice(PLACES), chance.choice(ASIDES)
    text = f"You meet {villager_name(friend)} at the {place}, who wonders {rumour}. {aside}"
    interrupt = Interrupt(
        id=InterruptId(f"meeting-{number}"),
        kind=InterruptKind.OBSERVATION,
        priority=Priority.WORLD,
        sender="village",
        text=text,
        created_ms=now_ms,
    )
    return AgentId(villager_name(teller)), interrupt
