"""Live is the lab: a journal becomes a trace, and the same policy evicts the same pages in the same order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pagefault.policies.lab.files import read_trace, write_trace
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Op, Source
from pagefault.policies.registry import make_policy
from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.recording import Recording, recordings
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelReply, ModelRequest, Usage

WORDS = "harbour boat lantern winter promise letter garden window journey silver bridge shadow station".split()


@mind("test-restless")
def restless(request: ModelRequest) -> Reply | ModelReply:
    """Does with its memory whatever the message says: all that a policy can hear of."""
    if request.purpose == "summarize":
        return ModelReply(text="It was about boats.", usage=Usage(prompt_tokens=round(1.1 * request.prompt_tokens)))
    view = View(request)
    if view.result is not None:
        return say("done")
    order, _, _ = (view.incoming.text if view.incoming else "").partition(":")
    word, _, argument = order.partition(" ")
    if word in ("page_in", "page_out", "pin", "unpin"):
        return call(word, True, page_id=argument)
    if word == "search":
        return call("conversation_search", True, query=argument)
    return nothing()


@mind("test-counts-otherwise")
def counts_otherwise(request: ModelRequest) -> ModelReply:
    """A server that counts a fifth more tokens than we do."""
    return ModelReply(text="heard", usage=Usage(prompt_tokens=round(1.2 * request.prompt_tokens)))


def orders(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    made = []
    for number in range(count):
        page = f"p{chance.randint(1, 3 * number + 3)}"
        acts = [f"{act} {page}" for act in ("page_in", "page_in", "page_out", "pin", "unpin")]
        order = chance.choice(["note", "note", "note", *acts, f"search {chance.choice(WORDS)}"])
        made.append(f"{order}: " + " ".join(chance.choice(WORDS) for _ in range(chance.randint(3, 60))))
    return made


def recorded(folder: Path) -> list[Recording]:
    return list(recordings(folder, Workshop(Registry(), BpeTokenCounter(), make_processor)))


async def live(folder: Path, agent: Agent, texts: list[str]) -> list[str]:
    """Lives it, and returns the pages that its stream said were evicted."""
    evicted: list[str] = []
    async with Local(folder, embedder="hash") as fleet:
        ref = await fleet.spawn(agent)
        stream = fleet.host.listeners.stream(ref.id)
        for text in texts:
            await ref.ask(text)
        await fleet.idle()
        inspection = await ref.inspect()
        stream.close()
        async for step in stream:
            if step.kind == "flushed":
                evicted.extend(step.page_ids)
    assert inspection.statistics["flushes"] >= 3
    return evicted


@pytest.mark.parametrize("write_back", ["archive", "handle", "summarize", "drop"])
@pytest.mark.parametrize("policy", ["lru", "arc", "importance", "s3fifo"])
async def test_the_lab_evicts_what_was_evicted(tmp_path: Path, policy: str, write_back: str) -> None:
    agent = Agent(
        "ada",
        model="scripted:test-restless",
        functions=("all",),
        policy=policy,
        write_back=write_back,
        fetch="neighbours",
        context_tokens=4_600,
        reply_tokens=300,
    )
    evicted = await live(tmp_path / "fleet", agent, orders(7, 110))
    (recording,) = recorded(tmp_path / "fleet")
    assert recording.policy == policy
    assert list(recording.evictions) == evicted, "the journal tells what the stream told"
    ran = replay(recording.trace, make_policy(policy), recording.budget, tell_capacity=False)
    assert [page for _, page in ran.evictions] == evicted
    ops = set(recording.trace.events.op.tolist())
    assert {Op.INSERT, Op.REFERENCE, Op.CHECK, Op.LOOK, Op.PIN} <= ops
    assert recording.trace.source is Source.RECORDED
    if write_back != "drop":  # what was dropped is not found again
        assert Op.REMOVE in ops
        assert recording.trace.forms, "pages come back in another form than they came in"


async def test_a_recording_survives_its_files(tmp_path: Path) -> None:
    agent = Agent("ada", model="scripted:test-restless", context_tokens=4_600, reply_tokens=300)
    await live(tmp_path / "fleet", agent, orders(3, 80))
    (recording,) = recorded(tmp_path / "fleet")
    for name in ("trace.jsonl", "trace.jsonl.gz", "trace.parquet"):
        write_trace(recording.trace, tmp_path / name)
        again = read_trace(tmp_path / name)
        assert again.pages == recording.trace.pages
        assert again.events == recording.trace.events
        assert again.forms == recording.trace.forms
        ran = replay(again, make_policy("fifo"), recording.budget, tell_capacity=False)
        assert tuple(page for _, page in ran.evictions) == recording.evictions


async def test_ratings_are_part_of_a_recording(tmp_path: Path) -> None:
    agent = Agent(
        "ada",
        model="scripted:test-restless",
        policy="importance",
        scorer="model_rated",
        context_tokens=4_600,
        reply_tokens=300,
    )
    evicted = await live(tmp_path / "fleet", agent, [f"{text} {n % 9 + 1}" for n, text in enumerate(orders(5, 80))])
    (recording,) = recorded(tmp_path / "fleet")
    ran = replay(recording.trace, make_policy("importance"), recording.budget, tell_capacity=False)
    assert [page for _, page in ran.evictions] == evicted


async def test_what_retrieval_returned_is_no_reference(tmp_path: Path) -> None:
    agent = Agent("ada", model="scripted:test-restless", functions=("all",), context_tokens=4_600, reply_tokens=300)
    async with Local(tmp_path / "fleet", embedder="hash") as fleet:
        ada = await fleet.spawn(agent)
        for number in range(12):
            await ada.ask(f"note: the boat number {number}")
            await ada.ask("search boat: where is it?")
        hits = (await ada.inspect()).statistics["page_hits"]
    (recording,) = recorded(tmp_path / "fleet")
    ops = recording.trace.events.op.tolist()
    assert hits > 10, "what was found was resident too"
    assert ops.count(Op.LOOK) >= hits
    assert recording.trace.references == 0


async def test_what_the_server_counts_is_part_of_a_recording(tmp_path: Path) -> None:
    agent = Agent(
        "ada",
        model="scripted:test-counts-otherwise",
        functions=("send_message",),
        context_tokens=2_000,
        reply_tokens=200,
    )
    evicted = await live(tmp_path / "fleet", agent, orders(11, 90))
    (recording,) = recorded(tmp_path / "fleet")
    scales = recording.trace.events.value[recording.trace.events.op == Op.SCALE]
    assert scales.tolist()[-1] > 1100
    ran = replay(recording.trace, make_policy("fifo"), recording.budget, tell_capacity=False)
    assert [page for _, page in ran.evictions] == evicted


async def test_the_last_resort_is_part_of_a_recording(tmp_path: Path) -> None:
    """Newest pages so large that a flush which spares them is not enough."""
    agent = Agent(
        "ada",
        model="scripted:test-restless",
        functions=("send_message",),
        context_tokens=1_200,
        reply_tokens=200,
        keep_last_pages=12,
        write_back="archive",
    )
    evicted = await live(tmp_path / "fleet", agent, [f"note: {' '.join(WORDS * 9)}" for _ in range(30)])
    (recording,) = recorded(tmp_path / "fleet")
    assert Op.CLEAR in recording.trace.events.op.tolist()
    ran = replay(recording.trace, make_policy("fifo"), recording.budget, tell_capacity=False)
    assert sorted(page for _, page in ran.evictions) == sorted(recording.evictions)
    assert set(evicted) <= set(recording.evictions)


def test_a_folder_without_journals_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="holds no journal"):
        recorded(tmp_path)


async def test_a_fork_is_recorded_from_its_birth(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash") as fleet:
        ref = await fleet.spawn(
            Agent("ada", model="scripted:test-restless", policy="fifo", context_tokens=2400, reply_tokens=256)
        )
        for order in orders(3, 40):
            await ref.ask(order)
        born = [page.id for page in (await fleet.inspect("ada")).pages if page.fidelity == "full"]
        await fleet.fork("ada", "eve")
        for order in orders(4, 40):
            await fleet.ask("eve", order)
    workshop = Workshop(Registry(), BpeTokenCounter(), make_processor)
    ada, eve = recordings(tmp_path, workshop)
    assert (ada.agent, eve.agent) == ("ada", "eve")
    assert born
    assert [page.id for page in eve.trace.pages[: len(born)]] == born, "they are there before anything happens"
    assert eve.evictions
