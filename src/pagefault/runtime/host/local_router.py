"""Brings interrupts from agent to agent within one host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.routing import carry
from pagefault.runtime.values import AgentId, Interrupt, Priority


class LocalRouter:
    """Every agent is in the same host, which is set once it is made."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._tasks: set[asyncio.Task[bool]] = set()
        self._last: dict[tuple[AgentId, AgentId, Priority], asyncio.Task[bool]] = {}

    def serve(self, host: Host) -> None:
        """Deliver to this host."""
        self._host = host

    def route(self, sender: AgentId, to: AgentId, interrupt: Interrupt) -> asyncio.Task[bool]:
        """See :class:`~pagefault.runtime.host.services.Router`.  What one agent sends another at one priority goes
        in order: each waits until the one before it is settled."""
        if self._host is None:
            raise UsageError("the router has no host yet")
        key = (sender, to, interrupt.priority)
        work = partial(carry, self._host.deliver, self._host.bury, self._host.clock, sender, to, interrupt)
        task = asyncio.get_running_loop().create_task(_after(self._last.get(key), work))
        self._last[key] = task
        self._tasks.add(task)

        def ended(done: asyncio.Task[bool]) -> None:
            self._tasks.discard(done)
            if self._last.get(key) is done:
                del self._last[key]

        task.add_done_callback(ended)
        return task

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    async def close(self) -> None:
        """Stop trying; what was committed is routed again when its sender is next activated."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _after(before: asyncio.Task[bool] | None, work: Callable[[], Awaitable[bool]]) -> bool:
    if before is not None:
        await asyncio.wait([before])
    return await work()
