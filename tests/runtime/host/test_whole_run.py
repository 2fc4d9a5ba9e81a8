"""A whole run again: exact for one that was lived, and not for one that lacks a message or was forged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.thread_stores import ThreadStores
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest


@mind("test-gossip")
def gossip(request: ModelRequest) -> Reply:
    """Tells the next one what a user said; whoever hears it keeps it."""
    incoming = View(request).incoming
    if incoming is None or incoming.author != "user":
        return nothing()
    return (call("send_to_agent", agent=incoming.text.split()[0], message=incoming.text), say("told"))


async def live(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        functions = ("send_message", "send_to_agent", "publish", "subscribe")
        for name in ("ada", "bob", "eve"):
            await fleet.spawn(Agent(name, model="scripted:test-gossip", functions=functions, snapshot_steps=1))
        await fleet.ask("ada", "bob the well is dry")
        await fleet.ask("bob", "eve the well is dry")
        await fleet.ask("eve", "nobody the well is dry")
        await fleet.idle()


async def test_a_run_that_was_lived_is_exact(tmp_path: Path) -> None:
    await live(tmp_path)
    seen = []
    async with Local(tmp_path, embedder="hash", watch=False) as fleet:
        found = await fleet.replay_run(advance=lambda: seen.append(1))
        some = await fleet.replay_run("a")
    assert found.is_exact, found
    assert (found.agents, found.messages, len(seen)) == (3, 3, 3)
    assert found.events > 9
    assert (some.agents, some.messages, some.undelivered) == (1, 1, [])


async def test_a_message_that_never_arrived_is_named(tmp_path: Path) -> None:
    await live(tmp_path)
    stores = ThreadStores.open(tmp_path, embedder="hash")
    await stores.close()
    connection = sqlite3.connect(tmp_path / "shards" / "00" / "journal.sqlite")
    (eve,) = connection.execute("SELECT id FROM agents WHERE name = 'eve'").fetchone()
    connection.execute("DELETE FROM records WHERE agent = ?", (eve,))
    connection.execute("DELETE FROM snapshots WHERE agent = ?", (eve,))
    connection.execute("DELETE FROM checkpoints WHERE agent = ?", (eve,))
    connection.execute("UPDATE heads SET next_seq = 1, wake_ms = NULL WHERE agent = ?", (eve,))
    connection.commit()
    connection.close()
    async with Local(tmp_path, embedder="hash", watch=False) as fleet:
        found = await fleet.replay_run()
    assert not found.is_exact
    assert [to for to, _ in found.undelivered] == ["eve"]


async def test_a_damaged_past_is_noted_and_the_others_are_looked_at(tmp_path: Path) -> None:
    await live(tmp_path)
    connection = sqlite3.connect(tmp_path / "shards" / "00" / "journal.sqlite")
    connection.execute(
        "UPDATE records SET data = x'00' WHERE agent = (SELECT id FROM agents WHERE name = 'ada') AND seq = 1"
    )
    connection.commit()
    connection.close()
    async with Local(tmp_path, embedder="hash", watch=False) as fleet:
        found = await fleet.replay_run()
    assert list(found.diverged) == ["ada"]
    assert "checksum" in found.diverged[next(iter(found.diverged))]
    assert found.agents == 3
