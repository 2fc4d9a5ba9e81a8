"""The past again: every step's context byte for byte, divergence that is seen, and lives that begin in the middle."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pagefault.runtime.errors import AgentExists, ReplayDivergence, StoreCorrupt, UnknownAgent, UsageError
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.history import Changes, History, Moment, fork, open_history
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import CODEC, decode_event
from pagefault.runtime.host.services import Owner
from pagefault.runtime.host.thread_stores import ThreadStores
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.events import ModelReplied
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.scripted import Reply, call, mind, say
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.models.view import View
from pagefault.runtime.store import checkpoints
from pagefault.runtime.values import AgentId, Message, ModelReply, ModelRequest, PageId

WORDS = "harbour boat lantern winter promise letter garden window journey silver bridge shadow station".split()
SENT: list[tuple[Message, ...]] = []
ADA, EVE = AgentId("ada"), AgentId("eve")


@mind("test-diarist")
def diarist(request: ModelRequest) -> Reply | ModelReply:
    """Files every third thing it hears, looks up every fourth, and remembers what it was sent."""
    if request.purpose == "summarize":
        return ModelReply(text="It was about the harbour.")
    SENT.append(request.messages)
    view = View(request)
    if view.result is not None:
        return say("noted")
    text = view.incoming.text if view.incoming is not None else ""
    if len(text) % 3 == 0:
        return call("archival_memory_insert", True, content=text)
    if len(text) % 4 == 0:
        return call("conversation_search", True, query=text.split()[0])
    return say(f"I heard {text.split()[0]}")


def diary(name: str, **fields: object) -> Agent:
    return Agent(
        name,
        **{
            "model": "scripted:test-diarist",
            "persona": "I write things down.",
            "functions": ("send_message", "archival_memory_insert", "conversation_search", "archival_memory_search"),
            "context_tokens": 1600,
            "reply_tokens": 256,
            "policy": "lru",
            "write_back": "summarize",
            "snapshot_steps": 5,
            **fields,
        },
    )


@pytest.fixture(autouse=True)
def checkpoints_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_RECORDS", 20)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A fleet whose ada was told forty things, over two openings."""
    SENT.clear()
    chance = random.Random(5)
    for _ in range(2):
        async with Local(tmp_path, embedder="hash") as fleet:
            ref = await fleet.spawn(diary("ada"))
            for _ in range(20):
                await ref.ask(" ".join(chance.choice(WORDS) for _ in range(chance.randint(4, 40))))
    return tmp_path


@pytest.fixture
def workshop() -> Workshop:
    return Workshop(Registry(), BpeTokenCounter(), make_processor)


@pytest.fixture
async def stores(folder: Path) -> AsyncIterator[ThreadStores]:
    opened = ThreadStores.open(folder, embedder="hash")
    yield opened
    await opened.close()


async def history(workshop: Workshop, stores: ThreadStores, agent: AgentId = ADA) -> History:
    return await open_history(workshop, stores, agent)


async def test_every_step_was_sent_what_replaying_says(workshop: Workshop, stores: ThreadStores) -> None:
    past = await history(workshop, stores)
    assert len(SENT) > 50
    for step in range(1, len(SENT) + 1):
        moment = await past.at_step(step)
        assert moment.messages == SENT[step - 1]
        assert (moment.steps, moment.agent) == (step, ADA)
    assert (await past.at_step(0)).messages[0].text.startswith("You are ada")


async def test_the_last_record_is_the_agent_that_lives(workshop: Workshop, folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        living = await fleet.inspect(ADA)
    stores = ThreadStores.open(folder, embedder="hash")
    past = await history(workshop, stores)
    moment = await past.at_record(past.last_seq)
    shown = moment.inspection(workshop)
    assert (shown.digest, shown.tokens, shown.pages) == (living.digest, living.tokens, living.pages)
    assert len((await stores.past(ADA)).checkpoints) >= 3
    await stores.close()


async def test_what_is_not_in_the_past_is_refused(workshop: Workshop, stores: ThreadStores) -> None:
    past = await history(workshop, stores)
    with pytest.raises(UsageError, match=rf"step: found 9999, allowed: 0 to {len(SENT)}"):
        await past.at_step(9999)
    with pytest.raises(UsageError, match="step: found -1"):
        await past.at_step(-1)
    with pytest.raises(UsageError, match=rf"record: found {past.last_seq + 1}, allowed: 0 to {past.last_seq}"):
        await past.at_record(past.last_seq + 1)
    with pytest.raises(UnknownAgent):
        await history(workshop, stores, EVE)


async def test_a_life_that_was_recorded_truly_verifies(workshop: Workshop, stores: ThreadStores) -> None:
    past = await history(workshop, stores)
    kept = (await stores.past(ADA)).checkpoints
    assert await past.verify() == len(kept) >= 3


async def test_another_past_than_was_lived_diverges(workshop: Workshop, stores: ThreadStores) -> None:
    """The first reply says something else than it did when it was lived: the next kept snapshot does not fit."""
    genuine = stores.some_records

    async def forged(agent: AgentId, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        rows = []
        for seq, data in await genuine(agent, after_seq, limit):
            event = decode_event(agent, data)
            if isinstance(event, ModelReplied) and seq < 10:
                reply = ModelReply(text="forged", usage=event.reply.usage)
                data = CODEC.encode(ModelReplied(event.at_ms, event.call_id, reply))  # noqa: PLW2901 - as read
            rows.append((seq, data))
        return rows

    stores.some_records = forged  # type: ignore[method-assign]  # as if the journal said so
    past = await history(workshop, stores)
    with pytest.raises(ReplayDivergence, match=r"ada: record \d+ cannot follow what came before"):
        await past.verify()


async def test_a_word_that_differs_is_found_at_the_next_kept_snapshot(workshop: Workshop, stores: ThreadStores) -> None:
    genuine = stores.some_records

    async def forged(agent: AgentId, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        rows = await genuine(agent, after_seq, limit)
        return [(seq, data.replace(b"I heard", b"I h3ard") if seq < 30 else data) for seq, data in rows]

    stores.some_records = forged  # type: ignore[method-assign]  # as if the journal said so
    past = await history(workshop, stores)
    with pytest.raises(ReplayDivergence, match=r"ada: after record \d+, state\.[a-z]+.* as .*I heard.* as .*I h3ard"):
        await past.verify()


async def test_a_damaged_checkpoint_is_no_past(workshop: Workshop, folder: Path) -> None:
    connection = sqlite3.connect(folder / "shards" / "00" / "journal.sqlite")
    connection.execute("UPDATE checkpoints SET data = substr(data, 1, 100)")
    connection.commit()
    connection.close()
    stores = ThreadStores.open(folder, embedder="hash")
    past = await history(workshop, stores)
    with pytest.raises(StoreCorrupt, match="checksum"):
        await past.at_step(len(SENT))
    await stores.close()


async def forked(workshop: Workshop, stores: ThreadStores, step: int, changes: Changes | None = None) -> Moment:
    moment = await (await history(workshop, stores)).at_step(step)
    assert await fork(workshop, stores, moment, EVE, changes) == EVE
    return moment


async def test_a_fork_begins_as_the_other_was_and_goes_its_own_way(workshop: Workshop, folder: Path) -> None:
    stores = ThreadStores.open(folder, embedder="hash")
    moment = await forked(workshop, stores, 30)
    await stores.close()
    async with Local(folder, embedder="hash") as fleet:
        before = await fleet.inspect(ADA)
        eve = await fleet.inspect(EVE)
        queue = [message for message in moment.state.context.assemble().messages[1:] if message.role == "user"]
        assert [message for message in eve.messages[1:] if message.role == "user"] == queue
        assert (eve.phase, eve.summary, eve.statistics["steps"]) == ("idle", moment.state.context.summary, 30)
        sent = len(SENT)
        assert await fleet.ask(EVE, "what now") in ("noted", "I heard what")
        assert (await fleet.inspect(ADA)).digest == before.digest
    stores = ThreadStores.open(folder, embedder="hash")
    past = await history(workshop, stores, EVE)
    assert (await past.at_step(31)).messages == SENT[sent]
    assert (await past.at_step(31)).agent == EVE
    await stores.close()


async def test_a_fork_remembers_what_the_other_knew_then_and_not_what_came_later(
    workshop: Workshop, stores: ThreadStores
) -> None:
    moment = await forked(workshop, stores, 30)
    then, later = range(1, moment.state.ordinal + 1), range(moment.state.ordinal + 1, moment.state.ordinal + 40)
    ada = await stores.load(Owner("default", ADA), [PageId(f"p{number}") for number in then])
    eve = await stores.load(Owner("default", EVE), [PageId(f"p{number}") for number in then])
    assert [(page.id, page.text) for page in eve] == [(page.id, page.text) for page in ada]
    assert len(eve) > 20
    assert await stores.load(Owner("default", EVE), [PageId(f"p{number}") for number in later]) == []
    await stores.forget(Owner("default", EVE), [eve[0].id])
    assert await stores.load(Owner("default", ADA), [eve[0].id]) == ada[:1]


async def test_a_fork_may_have_another_policy_persona_and_model(workshop: Workshop, folder: Path) -> None:
    stores = ThreadStores.open(folder, embedder="hash")
    changes = Changes(policy="s3fifo", persona="I forget nothing.", model="scripted:nothing", context_tokens=3200)
    await forked(workshop, stores, 30, changes)
    await stores.close()
    async with Local(folder, embedder="hash") as fleet:
        eve = await fleet.inspect(EVE)
        assert dict(eve.blocks)["persona"] == "I forget nothing."
        assert eve.prompt_limit > (await fleet.inspect(ADA)).prompt_limit
        assert (await fleet.answer(EVE, "hello")).outcome == "yielded"


async def test_forks_that_cannot_be_leave_nothing(workshop: Workshop, stores: ThreadStores) -> None:
    moment = await forked(workshop, stores, 3)
    with pytest.raises(AgentExists, match="'eve' is registered already"):
        await fork(workshop, stores, moment, EVE)
    with pytest.raises(UsageError, match="persona: found 5000 characters"):
        await fork(workshop, stores, moment, AgentId("zoe"), Changes(persona="x" * 5000))
    with pytest.raises(UsageError, match="policy"):
        await fork(workshop, stores, moment, AgentId("zoe"), Changes(policy="lru", policy_options={"nonsense": 1}))
    assert await stores.agents() == [ADA, EVE]
