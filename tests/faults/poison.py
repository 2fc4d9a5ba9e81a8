"""A fleet in a process that dies of what it is told: ``python -m tests.faults.poison FOLDER AGENTS``.

One life after another, each a fork of a process that has opened nothing, until one comes to rest; then a line of JSON
says how many lives there were, and what became of every interrupt.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

MESSAGES = 10
LIVES_MAX = 60
DEADLY = ("exit", "segv", "kill", "exit_idempotent")
TOLD = {1: "raise", 3: "hang", 5: "memory"}
"""What a function may do without its process dying of it: the agent of this number is told to, and its model hears."""


def _die(how: str) -> str:
    if how == "exit":
        os._exit(3)
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "raise":
        raise RuntimeError("no")
    if how == "hang":
        time.sleep(2)
    return str(len(bytearray(1 << 60))) if how == "memory" else "lived"


@function(effect="once")
def do(how: str) -> str:
    """Do something.

    Args:
        how: What.
    """
    return _die(how)


@function(effect="idempotent", timeout_ms=100)
def do_again(how: str) -> str:
    """Do something that may be done twice.

    Args:
        how: What.
    """
    return _die(how)


def obedient(request: ModelRequest) -> Reply:
    """Does what it is told, and does it again when nobody knows whether it happened."""
    view = View(request)
    incoming = view.incoming
    told = incoming.text.split()[-1] if incoming is not None else ""
    if view.result is not None and "outcome unknown" not in view.result.text:
        return say(f"done: {view.result.text[:30]}")
    if told in ("exit_idempotent", "hang"):
        return call("do_again", heartbeat=True, how=told.partition("_")[0])
    return call("do", heartbeat=True, how=told)


def told_to(agent: int, number: int) -> str:
    """What message ``number`` tells an agent to do: its first is poison."""
    if number == 0:
        return DEADLY[agent % len(DEADLY)]
    return TOLD.get(agent, "live") if number == 5 else "live"


async def live(folder: Path, agents: int) -> dict[str, object]:
    """Send everything (what was sent before is recognised), and wait until all is at rest."""
    model = "scripted:tests.faults.poison:obedient"
    async with Local(folder, embedder="hash", functions=[do, do_again]) as fleet:
        made = [
            Agent(f"agent-{n:02d}", model=model, functions=("send_message", "do", "do_again")) for n in range(agents)
        ]
        refs = await fleet.spawn_many(made)
        sends = [
            ref.send(Interrupt(InterruptId(f"m{agent}-{number}"), InterruptKind.MESSAGE, Priority.USER, "user", text))
            for agent, ref in enumerate(refs)
            for number in range(MESSAGES)
            for text in [f"please {told_to(agent, number)}"]
        ]
        await asyncio.gather(*sends)
        await fleet.idle()
        answers = {}
        for agent, ref in enumerate(refs):
            for number in range(MESSAGES):
                again = Interrupt(
                    InterruptId(f"m{agent}-{number}"), InterruptKind.MESSAGE, Priority.USER, "user", "asked again"
                )
                answer = await fleet.answer(ref.id, again)
                answers[f"{agent}-{number}"] = [answer.outcome, answer.text]
        letters = await fleet.dead_letters()
        return {"answers": answers, "letters": [[each.to, each.interrupt.text, each.why] for each in letters]}


def main(folder: Path, agents: int) -> None:
    """Live again and again."""
    for lives in range(1, LIVES_MAX + 1):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            result = asyncio.run(live(folder, agents))
            (folder / "result.json").write_text(json.dumps({**result, "lives": lives}))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            sys.stdout.write((folder / "result.json").read_text())
            return
    sys.exit(f"it still dies after {LIVES_MAX} lives")


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(exist_ok=True)
    main(Path(sys.argv[1]), int(sys.argv[2]))
