"""A town in virtual time: ``python -m tests.runtime.host.living FOLDER SEED AGENTS HOURS`` prints what it left.

Its agents write to each other, call each other and each other's functions, publish, search and keep timers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
import sys
import time
from pathlib import Path

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.models.scripted import Act, Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

TABLES = ("agents", "heads", "snapshots", "records", "dead_letters", "subscriptions")
HOUR_S = 3_600
ENOUGH = 0.3
FRAMES = 60
"""Fewer than agents: who comes and goes must follow from the program, too."""


@function(effect="pure")
def weigh(thing: str) -> int:
    """Weigh something.

    Args:
        thing: What.
    """
    return len(thing)


def townsman(request: ModelRequest) -> Reply:
    """Does something that follows from what it sees."""
    view = View(request)
    incoming = view.incoming
    if view.result is not None or incoming is None:
        return say(f"so be it: {view.result.text[:40]}" if view.result is not None else "well")
    chance = random.Random(f"{request.agent} {incoming.text[:200]} {len(request.messages)}")
    other = f"t{chance.randrange(int(request.agent.partition('-')[2])):03d}-{request.agent.partition('-')[2]}"
    text = f"{chance.random():.6f} from {request.agent}"
    acts: list[Act] = [
        call("send_to_agent", agent=other, message=text),
        call("call_agent", agent=other, message=text, timeout_seconds=60),
        call("call_agent", agent=other, function="weigh", arguments=json.dumps({"thing": text})),
        call("set_timer", minutes=1 + chance.randrange(30), message=text, repeat=chance.random() < 0.3),
        call("subscribe", topic=f"topic/{chance.randrange(9)}"),
        call("conversation_search", True, query=text),
        call("weigh", True, thing=text),
        call("send_to_agent", agent="nobody", message=text),
    ]
    if incoming.author == "timer":  # not for what was heard, or one message would become a flood
        return call("publish", topic=f"topic/{chance.randrange(9)}", message=text)
    if chance.random() < ENOUGH:
        return say("enough")
    return chance.choice(acts)


async def town(clock: VirtualClock, folder: Path, agents: int, hours: float) -> None:
    """Let it live so long."""
    async with Local(
        folder, clock=clock, functions=[weigh], embedder="hash", durability="async", frames=FRAMES
    ) as fleet:
        model = "scripted:tests.runtime.host.living:townsman"
        made = [
            Agent(
                f"t{number:03d}-{agents}", model=model, functions=("all", "weigh"), exports=("weigh",), snapshot_steps=9
            )
            for number in range(agents)
        ]
        refs = await fleet.spawn_many(made)
        chance = random.Random(clock.seed)
        for ref in refs:
            await ref.send(f"good morning {chance.random()}")
        await asyncio.sleep(hours * HOUR_S)
        await fleet.idle()


def digest(folder: Path) -> dict[str, str]:
    """Of each of the journal's tables, and how many rows it has."""
    found = {}
    with sqlite3.connect(folder / "shards" / "00" / "journal.sqlite") as connection:
        for table in TABLES:
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - our own tables
            found[table] = f"{len(rows)} {hashlib.sha256(repr(rows).encode()).hexdigest()}"
    connection.close()
    return found


def main(folder: Path, seed: int, agents: int, hours: float) -> None:
    clock = VirtualClock(seed)
    began = time.perf_counter()
    clock.run(town(clock, folder, agents, hours))
    sys.stdout.write(json.dumps({**digest(folder), "now_ms": clock.now_ms()}) + "\n")
    sys.stderr.write(f"{time.perf_counter() - began:.1f} s\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
