"""Brings interrupts from agent to agent within one host."""

from __future__ import annotations

import asyncio

from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.routing import carry
from pagefault.runtime.values import AgentId, Interrupt


class LocalRouter:
    """Every agent is in the same host, which is set once it is made."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._tasks: set[asyncio.Task[bool]] = set()

    def serve(self, host: Host) -> None:
        """Deliver to this host."""
        self._host = host

    def route(self, sender: AgentId, to: AgentId, interrupt: Interrupt) -> asyncio.Task[bool]:
        """See :class:`~pagefault.runtime.host.services.Router`."""
        if self._host is None:
            raise UsageError("the router has no host yet")
        work = carry(self._host.deliver, self._host.bury, self._host.clock, sender, to, interrupt)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    async def close(self) -> None:
        """Stop trying; what was committed is routed again when its sender is next activated."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
