"""What the processes of ``crashpoints`` do: work until they die at a failpoint, then look at what is left.

Every process is a fork of one that has opened nothing.  The worker says beforehand what it is about to try and
afterwards what was acknowledged, through a pipe, so that whoever reads knows what was promised, and what could be
there without having been promised.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pagefault.runtime.failpoints import FAILPOINTS, armed
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import decode_event
from pagefault.runtime.host.services import Owner
from pagefault.runtime.host.thread_stores import ThreadStores
from pagefault.runtime.kernel.events import InterruptArrived
from pagefault.runtime.models.scripted import Reply, call, mind, say
from pagefault.runtime.models.view import View
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import (
    AgentId,
    ArchiveQuery,
    Interrupt,
    InterruptId,
    InterruptKind,
    ModelRequest,
    PageKind,
    Priority,
    Space,
)

JOURNAL_POINTS = tuple(name for name in FAILPOINTS if name.startswith("journal."))
HOST_POINTS = tuple(name for name in FAILPOINTS if not name.startswith("journal."))
AGENTS = tuple(AgentId(f"agent-{number}") for number in range(4))
ROUNDS = 10
"""Groups that a worker of the journal appends if it lives."""
MESSAGES = 6
"""Interrupts that a worker of the host sends if it lives."""
LIMIT_S = 60

Tell = Callable[..., None]


@dataclass(slots=True)
class Verdict:
    """What one look found: promises that were not kept, and things that nobody can have done."""

    lost: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    present: list[int] = field(default_factory=list)
    """Groups of the journal that were not acknowledged and are there all the same."""


def in_child(work: Callable[[Tell], None]) -> tuple[list[list[Any]], int]:
    """Run ``work`` in a fork; returns what it told, and the signal that ended it (0: none).

    Raises ``RuntimeError`` with its traceback if it failed in another way.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = [json.loads(line) for line in pipe.read().splitlines()]
    _, status = os.waitpid(child, 0)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if told and told[-1][0] == "failed":
        raise RuntimeError(told[-1][1])
    if ended_by not in (0, signal.SIGKILL) or (ended_by == 0 and os.WEXITSTATUS(status) != 0):
        raise RuntimeError(f"a worker ended with status {status}")
    return told, ended_by


def _be_child(work: Callable[[Tell], None], writing: int) -> None:
    def tell(*what: Any) -> None:
        os.write(writing, json.dumps(what).encode() + b"\n")

    code = 1
    try:
        signal.alarm(LIMIT_S)  # a child that hangs is a failure, and not a benchmark that never ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        work(tell)
        code = 0
    except BaseException:  # noqa: BLE001 - a fork must never go on with what its parent was doing
        tell("failed", traceback.format_exc())
    finally:
        os._exit(code)


def killed_at(name: str, hit: int, work: Callable[[Tell], None]) -> Callable[[Tell], None]:
    """``work`` that dies when ``name`` is reached for the ``hit``-th time."""

    def run(tell: Tell) -> None:
        left = hit

        def die() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        with armed(name, die):
            work(tell)

    return run


# --- the journal by itself


def payload(agent: str, seq: int, salt: str) -> bytes:
    """What the record of this number holds, of 10 to 3,000 bytes."""
    digest = hashlib.sha256(f"{agent}/{seq}/{salt}".encode()).digest()
    return digest[:10] + digest * (int.from_bytes(digest[:2], "big") % 94)


class JournalLine:
    """One journal, worked on by one process after another, and what it must hold."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.sqlite"
        self._certain: dict[tuple[AgentId, int], str] = {}  # the salt of each record that is durable
        self._tried: list[tuple[int, list[tuple[AgentId, int, str]]]] = []

    def cycle(self, name: str, hit: int, salt: str) -> tuple[Verdict, bool]:
        """A worker that dies at a failpoint, then a look; and whether it died."""
        told, ended_by = in_child(killed_at(name, hit, lambda tell: self._work(tell, salt)))
        acked = {number for what, number, *_ in told if what == "acked"}
        self._tried = []
        for what, number, *more in told:
            if what == "trying":
                rows = [(agent, seq, salt) for agent, first, count in more[0] for seq in range(first, first + count)]
                if number in acked:
                    self._certain |= {(agent, seq): given for agent, seq, given in rows}
                else:
                    self._tried.append((number, rows))
        (found,), _ = in_child(self._look)
        verdict = Verdict(*found[1:])
        for number, rows in self._tried:
            if number in verdict.present:
                self._certain |= {(agent, seq): given for agent, seq, given in rows}
        return verdict, ended_by != 0

    def _work(self, tell: Tell, salt: str) -> None:
        chance = random.Random(salt)
        journal = SqliteJournal(self._path)
        journal.register_many([(agent, b"definition") for agent in AGENTS])
        found = {agent: journal.activate(agent) for agent in AGENTS}
        next_seq = {agent: found[agent].next_seq for agent in AGENTS}
        for number in range(ROUNDS):
            group = []
            for agent in chance.sample(AGENTS, chance.randint(1, len(AGENTS))):
                first, count = next_seq[agent], chance.randint(1, 3)
                records = tuple(payload(agent, seq, salt) for seq in range(first, first + count))
                group.append(Append(agent, found[agent].epoch, first, records))
                next_seq[agent] = first + count
            tell("trying", number, [[each.agent, each.first_seq, len(each.records)] for each in group])
            results = journal.append(group)
            assert results == [None] * len(group), results
            tell("acked", number)
        journal.close()

    def _look(self, tell: Tell) -> None:
        journal = SqliteJournal(self._path)
        journal.register_many([(agent, b"definition") for agent in AGENTS])  # the first worker may have died before
        there: dict[tuple[AgentId, int], bytes] = {}
        for agent in AGENTS:
            activation = journal.activate(agent)
            there |= {(agent, seq): data for seq, data in enumerate(activation.records, activation.snapshot_seq + 1)}
            assert [*enumerate(activation.records, 1)] == list(journal.records(agent))
        journal.close()
        verdict = Verdict()
        for (agent, seq), salt in self._certain.items():
            if there.pop((agent, seq), None) != payload(agent, seq, salt):
                verdict.lost.append(f"{agent}/{seq}")
        for number, rows in self._tried:
            found = [there.pop((agent, seq), None) == payload(agent, seq, salt) for agent, seq, salt in rows]
            if all(found):
                verdict.present.append(number)
            elif any(found):
                verdict.phantom.append(f"half of group {number}")
        verdict.phantom += [f"{agent}/{seq}" for agent, seq in there]
        tell("found", verdict.lost, verdict.phantom, verdict.present)


# --- a whole host


@mind("benchmark-clerk")
def clerk(request: ModelRequest) -> Reply:
    """Notes what it is told, once, and says so."""
    view = View(request)
    if view.results:
        return say("noted")
    return call("note", heartbeat=True, text=view.incoming.text if view.incoming is not None else "")


class HostLine:
    """One folder in which agents live, one process after another, and what they were told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes = folder.parent / f"{folder.name}-notes.txt"
        self._acked: dict[str, str] = {}  # interrupt -> agent
        self._tried: dict[str, str] = {}

    def cycle(self, name: str, hit: int, salt: str) -> tuple[Verdict, bool]:
        """As :meth:`JournalLine.cycle`."""
        told, ended_by = in_child(killed_at(name, hit, lambda tell: asyncio.run(self._work(tell, salt))))
        for what, *more in told:
            (self._acked if what == "acked" else self._tried)[more[1]] = more[0]
        (found,), _ = in_child(lambda tell: asyncio.run(self._look(tell)))
        return Verdict(*found[1:]), ended_by != 0

    def _fleet(self) -> Local:
        notes = self._notes

        @function(effect="once")
        def note(text: str) -> str:
            """Write a text down.

            Args:
                text: What to write.
            """
            with notes.open("ab", buffering=0) as file:
                file.write(text.encode() + b"\n")
            return "written"

        return Local(self._folder, embedder="hash", functions=[note])

    async def _work(self, tell: Tell, salt: str) -> None:
        async with self._fleet() as fleet:
            agents = [
                Agent(agent, model="scripted:benchmark-clerk", functions=("send_message", "note")) for agent in AGENTS
            ]
            refs = await fleet.spawn_many(agents)

            async def send(number: int) -> None:
                agent, key = refs[number % len(refs)].id, f"{salt}-{number}"
                tell("trying", agent, key)
                message = Interrupt(InterruptId(key), InterruptKind.MESSAGE, Priority.USER, "user", f"remember {key}.")
                await fleet.send(agent, message)
                tell("acked", agent, key)

            await asyncio.gather(*(send(number) for number in range(MESSAGES)))
            await fleet.idle()

    async def _look(self, tell: Tell) -> None:
        verdict = Verdict()
        async with self._fleet() as fleet:
            await fleet.idle()  # what was under way goes on by itself
            for agent in await fleet.agents():
                inspection = await fleet.inspect(agent)  # which wakes it: what its journal has, its memory gets
                if inspection.phase != "idle" or inspection.waiting or inspection.suspended:
                    verdict.lost.append(f"{agent} is {inspection.phase}, {inspection.waiting} wait")
        stores = ThreadStores.open(self._folder, embedder="hash")
        for agent in await stores.agents():
            await self._look_at(verdict, stores, agent)
        await stores.close()
        lines = Counter(self._notes.read_text().splitlines()) if self._notes.exists() else Counter[str]()
        verdict.phantom += [f"{text!r} was noted {count} times" for text, count in lines.items() if count > 1]
        tell("found", verdict.lost, verdict.phantom, [])

    async def _look_at(self, verdict: Verdict, stores: ThreadStores, agent: AgentId) -> None:
        events = [decode_event(agent, data) for _, data in await stores.records(agent)]
        arrived = Counter(str(event.interrupt.id) for event in events if isinstance(event, InterruptArrived))
        verdict.phantom += [f"{agent}/{key}" for key in arrived if key not in self._tried]
        for key, to in {**self._tried, **self._acked}.items():
            if to != agent:
                continue
            if key in self._acked and not arrived[key]:
                verdict.lost.append(f"{agent}/{key}")
            if arrived[key] > 1:
                verdict.phantom.append(f"{agent}/{key} arrived {arrived[key]} times")
            text, spaces = f"remember {key}.", (Space.RECALL.value,)
            query = ArchiveQuery(text, spaces, mode="substring", kinds=(PageKind.MESSAGE,))
            found = (await stores.search(Owner("default", agent), query)).total
            if found < arrived[key]:
                verdict.lost.append(f"{agent}/{key} is not found in memory")
            if found > arrived[key]:
                verdict.phantom.append(f"{agent}/{key} is in memory {found} times, arrived {arrived[key]} times")
