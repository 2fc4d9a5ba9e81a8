"""A conversation with one agent, on a terminal or through a pipe."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from pagefault.cluster.console.check import NO_BUDGET, check_agent
from pagefault.cluster.console.show import say
from pagefault.cluster.plain_text import printable
from pagefault.runtime.errors import AgentFailed, ModelError, Overloaded
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.listeners import WITHDRAWN, WORDS
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, Priority

SILENCE = "(no words)"
WORDS_WAIT_S = 1.0
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
            answer = await _ask(ref, line, console, errors)
        except (AgentFailed, Overloaded, ModelError) as error:
            failed += 1
            say(errors, f"error: {error}")
        except TimeoutError:
            failed += 1
            say(errors, "error: no answer in time; the agent goes on with it")
        else:
            answered += 1
            if answer is not None:
                _print(console, answer)


async def _ask(ref: AgentRef, line: str, console: Console, errors: Console) -> str | None:
    """What of the answer is still to be printed: on a terminal its words are printed as they come."""
    if not console.is_terminal:
        return await ref.ask(line) or SILENCE
    key = InterruptId(f"chat-{os.urandom(8).hex()}")
    shown = _Shown(console, errors)
    began = asyncio.Event()
    watching = asyncio.create_task(_show_words(ref, key, shown, began))
    try:
        await began.wait()
        answer = await ref.ask(Interrupt(key, InterruptKind.MESSAGE, Priority.USER, "user", line))
        with suppress(TimeoutError):  # what did not come by then is printed from the answer
            async with asyncio.timeout(WORDS_WAIT_S):
                await watching
    finally:
        watching.cancel()
    return shown.rest(answer)


def _print(console: Console, text: str, end: str = "\n") -> None:
    console.print(printable(text), end=end, highlight=False, markup=False, soft_wrap=True)


class _Shown:
    """What is on the terminal of an answer that is still coming: the words of the message that is being said."""

    def __init__(self, console: Console, errors: Console) -> None:
        self._console = console
        self._errors = errors
        self._open = ""
        self._messages = 0

    def words(self, text: str) -> None:
        self._open += text
        _print(self._console, text, end="")

    def withdrawn(self) -> None:
        self._open = ""
        self._console.print()
        say(self._errors, "  (withdrawn: that answer was not finished)")

    def message(self, text: str) -> None:
        """This was said."""
        _print(self._console, self._left(text))
        self._messages += 1
        self._open = ""

    def rest(self, answer: str) -> str | None:
        """What of a whole answer is not there yet; nothing if it was all said."""
        return None if self._messages else self._left(answer or SILENCE)

    def _left(self, text: str) -> str:
        if text.startswith(self._open):
            return text[len(self._open) :]
        return f"\n{text}" if self._open else text


async def _show_words(ref: AgentRef, key: InterruptId, shown: _Shown, began: asyncio.Event) -> None:
    steps = ref.stream(words=True)
    began.set()
    async for step in steps:
        if step.cause != key:
            continue
        if step.kind == WORDS:
            shown.words(step.text)
        elif step.kind == WITHDRAWN:
            shown.withdrawn()
        elif step.kind == "message":
            shown.message(step.text)
        elif step.kind == "ended":
            return


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
