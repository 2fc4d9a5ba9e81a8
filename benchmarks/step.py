"""CPU of one step of the whole path, beside LangGraph with its SQLite checkpointer.

A step here is: an interrupt is accepted, the context is assembled and counted, a scripted model answers at
once with a call of ``send_message``, the call runs, the pager keeps an 8k context full (every page that
enters pushes others out), the journal commits (``sync``, real SQLite), and the pages are embedded and
written to the real archive.  Many agents run in one host, as they do in practice, so commits are shared.

LangGraph's is what a user would write instead: one node, a state of 100 messages, a checkpoint a step.

Both are measured in CPU time of the whole process, threads included, in turns.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks._report import Options, read_options, report
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, mind, say
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

AGENTS = 32
MESSAGES = 100
CONTEXT_TOKENS = 8192
WORDS = (
    "river market lantern winter promise harbour letter garden window journey silver evening bridge shadow music "
    "morning station picture island forest engine question answer mountain kitchen"
).split()


def text_of(chance: random.Random, words: int = 45) -> str:
    """A message of about 50 tokens."""
    return " ".join(chance.choice(WORDS) for _ in range(words))


@mind("benchmark-step")
def answer_at_once(_: ModelRequest) -> Reply:
    """A model of no latency that always does the same."""
    return say("I will remember that and come back to it tomorrow.")


def messages_for(agents: list[AgentId], chance: random.Random, numbers: itertools.count[int]) -> list[Interrupt]:
    """One interrupt an agent, made before the clock runs: writing them is the benchmark's work, not a step's."""
    return [
        Interrupt(InterruptId(f"b{next(numbers)}"), InterruptKind.MESSAGE, Priority.USER, "user", text_of(chance))
        for _ in agents
    ]


async def fill(fleet: Local, agents: list[AgentId], chance: random.Random, numbers: itertools.count[int]) -> None:
    """Fill every context to its budget, so that each step measured pages."""
    while True:
        await one_round(fleet, agents, messages_for(agents, chance, numbers))
        inspection = await fleet.inspect(agents[0])
        if inspection.statistics["flushes"] >= 2:
            return


async def one_round(fleet: Local, agents: list[AgentId], interrupts: list[Interrupt]) -> None:
    """Every agent takes one step, all at once."""

    async def one(agent: AgentId, interrupt: Interrupt) -> None:
        answer = await fleet.answer(agent, interrupt)
        assert answer.outcome == "yielded", answer
        assert answer.text, "a step said nothing"

    await asyncio.gather(*(one(agent, interrupt) for agent, interrupt in zip(agents, interrupts, strict=True)))


def langgraph_step(folder: Path, chance: random.Random) -> Callable[[str], None]:
    """One invocation of the graph that a user would write instead."""

    def node(state: MessagesState) -> dict[str, Any]:
        messages: list[Any] = [AIMessage("I will remember that and come back to it tomorrow.")]
        over = len(state["messages"]) + 1 - MESSAGES
        messages += [RemoveMessage(id=str(old.id)) for old in state["messages"][: max(0, over)]]
        return {"messages": messages}

    builder = StateGraph(MessagesState)
    builder.add_node("model", node)
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    connection = sqlite3.connect(folder / "langgraph.sqlite", check_same_thread=False)
    graph = builder.compile(checkpointer=SqliteSaver(connection))
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.update_state(config, {"messages": [HumanMessage(text_of(chance)) for _ in range(MESSAGES)]})

    def step(text: str) -> None:
        graph.invoke({"messages": [HumanMessage(text)]}, config)

    return step


async def measure(options: Options) -> dict[str, Any]:
    """Both sides, a round of ours and a step of theirs in turns, in a process tuned as those of hosts are."""
    tune_collector()
    chance = random.Random(options.seed)
    numbers = itertools.count()
    rounds = 60 if options.quick else 300
    ours: list[float] = []
    walls: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="pagefault-step-") as folder:
        other = langgraph_step(Path(folder), chance)
        async with Local(Path(folder) / "fleet") as fleet:
            made = [
                Agent(
                    f"agent-{number}",
                    model="scripted:benchmark-step",
                    functions=("send_message", "core_memory_append", "conversation_search", "archival_memory_insert"),
                    context_tokens=CONTEXT_TOKENS,
                    policy="lru",
                    write_back="handle",
                )
                for number in range(AGENTS)
            ]
            agents = [ref.id for ref in await fleet.spawn_many(made)]
            await fill(fleet, agents, chance, numbers)
            other(text_of(chance))
            for _ in range(rounds):
                interrupts, text = messages_for(agents, chance, numbers), text_of(chance)
                wall, cpu = time.perf_counter(), time.process_time()
                await one_round(fleet, agents, interrupts)
                ours.append((time.process_time() - cpu) / AGENTS * 1e6)
                walls.append((time.perf_counter() - wall) / AGENTS * 1e6)
                cpu = time.process_time()
                other(text)
                theirs.append((time.process_time() - cpu) * 1e6)
            tokens = [(await fleet.inspect(agent)).tokens for agent in agents]
    p50 = statistics.median(ours)
    langgraph_p50 = statistics.median(theirs)
    return {
        "step_us_p50": round(p50, 1),
        "step_us_p99": round(statistics.quantiles(ours, n=100)[98], 1),
        "steps_per_s": round(1e6 / statistics.mean(walls), 1),
        "langgraph_us_p50": round(langgraph_p50, 1),
        "ratio": round(langgraph_p50 / p50, 2),
        "step_wall_us_p50": round(statistics.median(walls), 1),
        "agents": AGENTS,
        "context_tokens_p50": int(statistics.median(tokens)),
    }


def main() -> None:
    """Measure both sides in turns and print the table."""
    options = read_options("step", "CPU of one step of the whole path, beside LangGraph with SQLite.")
    results = asyncio.run(measure(options))
    rows = [
        ("step p50", f"{results['step_us_p50']:,.0f} µs", f"CPU a step, {AGENTS} agents in one host (aim: 300)"),
        ("step p99", f"{results['step_us_p99']:,.0f} µs", "over rounds of all agents"),
        ("steps a second", f"{results['steps_per_s']:,.0f}", "by the clock"),
        ("LangGraph p50", f"{results['langgraph_us_p50']:,.0f} µs", "CPU a step: one node, 100 messages, SQLite"),
        ("ratio", f"{results['ratio']:.1f}", "LangGraph over Pagefault (aim: 12)"),
        ("context", f"{results['context_tokens_p50']:,} tokens", f"of {CONTEXT_TOKENS:,}, kept full by the pager"),
    ]
    report("step", options, results, rows, ("langgraph", "langgraph-checkpoint-sqlite", "qdrant-edge-py"))


if __name__ == "__main__":
    main()
