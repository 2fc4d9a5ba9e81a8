"""A conversation with one agent, on a terminal or through a pipe."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from pagefault.cluster.console.check import NO_BUDGET, check_agent
from pagefault.cluster.console.show import say
from pagefault.runtime.errors import AgentFailed, ModelError, Overloaded
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.budget.settings import Plan

LEAVE = ("/quit", "/exit", "/bye")
SHOWN_STEPS = frozenset(
    {"function_called", "function_failed", "page_fault", "paged_in", "flushed", "pressure", "summarized"}
)


async def chat_with(
    template: Mapping[str, Any],
    folder: Path,
    console: Console,
    errors: Console,
    show_steps: bool,
    budget: Plan = NO_BUDGET,
) -> bool:
    """Read lines until the input ends or ``/quit``; print what the agent says.

    Returns whether it went well: ``False`` when there was nothing but failures.  What the agent says goes to
    ``console``, all else to ``errors``.
    """
    agent = Agent(**{"functions": ("all",), **template})
    await check_agent(agent, budget)
    async with Local(folder, endpoints=budget.endpoints, budget=budget.settings) as fleet:
        ref = await fleet.spawn(agent)
        watching = asyncio.create_task(_watch(ref, errors)) if show_steps else None
        try:
            went_well = await _converse(ref, console, errors)
        finally:
            if watching is not None:
                watching.cancel()
    say(errors, f"{agent.name} remembers; its memory is in {folder}")
    return went_well


async def _converse(ref: AgentRef, console: Console, errors: Console) -> bool:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a pipe may bring anything
    if sys.stdin.isatty():
        say(errors, f"Talking with {ref.id}. /quit ends.")
    answered = failed = 0
    while True:
        line = await _next_line(sys.stdin.isatty())
        if line is None or line.strip() in LEAVE:
            return answered > 0 or failed == 0
        if not line.strip():
            continue
        try:
            answer = await ref.ask(line)
        except (AgentFailed, Overloaded, ModelError) as error:
            failed += 1
            say(errors, f"error: {error}")
        except TimeoutError:
            failed += 1
            say(errors, "error: no answer in time; the agent goes on with it")
        else:
            answered += 1
            console.print(answer or "(no words)", highlight=False, markup=False, soft_wrap=True)


async def _next_line(prompting: bool) -> str | None:
    """A line of standard input.  Its thread is not the loop's: a read cannot be broken off, and the end of the
    loop would wait for it."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str | None] = loop.create_future()

    def settle(text: str | None) -> None:
        if not line.done():
            line.set_result(text)

    def read() -> None:
        text = _read_line(prompting)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, text)

    threading.Thread(target=read, name="pagefault-input", daemon=True).start()
    return await line


def _read_line(prompting: bool) -> str | None:
    try:
        return input("> " if prompting else "")
    except EOFError:
        return None


async def _watch(ref: AgentRef, errors: Console) -> None:
    async for step in ref.stream():
        if step.kind in SHOWN_STEPS:
            pages = f" {', '.join(step.page_ids)}" if step.page_ids else ""
            say(errors, f"  {step.kind.replace('_', ' ')}{pages} {step.text}")
