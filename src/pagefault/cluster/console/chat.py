"""A conversation with one agent, on a terminal or through a pipe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pagefault.runtime.errors import AgentFailed, ModelError, Overloaded
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.local import Local

LEAVE = ("/quit", "/exit", "/bye")
SHOWN_STEPS = frozenset(
    {"function_called", "function_failed", "page_fault", "paged_in", "flushed", "pressure", "summarized"}
)


async def chat_with(template: Mapping[str, Any], folder: Path, console: Console, show_steps: bool) -> None:
    """Read lines until the input ends or ``/quit``; print what the agent says."""
    agent = Agent(**{"functions": ("all",), **template})
    async with Local(folder) as fleet:
        ref = await fleet.spawn(agent)
        watching = asyncio.create_task(_watch(ref, console)) if show_steps else None
        try:
            await _converse(ref, console)
        finally:
            if watching is not None:
                watching.cancel()
    console.print(f"[dim]{agent.name} remembers; its memory is in {folder}[/dim]")


async def _converse(ref: AgentRef, console: Console) -> None:
    if sys.stdin.isatty():
        console.print(f"[dim]Talking with {ref.id}. /quit ends.[/dim]")
    while True:
        line = await asyncio.to_thread(_read_line, sys.stdin.isatty())
        if line is None or line.strip() in LEAVE:
            return
        if not line.strip():
            continue
        try:
            answer = await ref.ask(line)
        except (AgentFailed, Overloaded, ModelError) as error:
            console.print(f"error: {error}", style="red", highlight=False, markup=False)
            continue
        console.print(answer or "(no words)", highlight=False, markup=False)


def _read_line(prompting: bool) -> str | None:
    try:
        return input("> " if prompting else "")
    except EOFError:
        return None


async def _watch(ref: AgentRef, console: Console) -> None:
    async for step in ref.stream():
        if step.kind in SHOWN_STEPS:
            pages = f" {', '.join(step.page_ids)}" if step.page_ids else ""
            console.print(
                f"  {step.kind.replace('_', ' ')}{pages} {step.text}", style="dim", highlight=False, markup=False
            )
