"""Who must be awake though nobody speaks to it: sleepers whose timers are due, and work that was under way.

The journal says, agent by agent, when that is (:attr:`~pagefault.runtime.store.protocols.Append.wake_ms`).
A host keeps the next minutes of it in memory, so that a timer rings in time, and whoever knows the journal
tells it the rest: :meth:`Waking.watch` for a host that is alone, the scheduler for those of a cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import structlog

from pagefault.runtime.errors import Overloaded, PagefaultError, StoreError, StoreUnavailable
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.services import Stores
from pagefault.runtime.host.timers import Timers
from pagefault.runtime.store.protocols import WORK
from pagefault.runtime.values import AgentId

LOOK_MS = 60_000
"""Between two looks into the journal."""
HORIZON_MS = 2 * LOOK_MS
"""Times further off are left to the journal: a host remembers few of its sleepers."""
WAKERS_MAX = 32
"""Agents that are woken at once; the others wait their turn, and whoever is spoken to does not wait for them."""
PAUSE_MS = 1_000
PAUSE_MAX_MS = 30_000

log = structlog.get_logger(__name__)


class Waking:
    """Wakes agents of one host.  ``activate`` gives an agent its frame; what it raises is dealt with here:
    an agent that cannot be activated now is tried again, and one that cannot be at all is logged."""

    def __init__(self, clock: Clock, activate: Callable[[AgentId], Awaitable[object]]) -> None:
        self._clock = clock
        self._activate = activate
        self._timers: Timers | None = None
        self._asleep: dict[AgentId, int] = {}
        self._waiting: dict[AgentId, None] = {}
        self._wakers = 0
        self._pausing = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = False
        self._closed = False

    def use(self, timers: Timers) -> None:
        """The timers that ring for those who sleep; they call :meth:`rung`."""
        self._timers = timers

    @property
    def is_busy(self) -> bool:
        """Whether somebody is being woken, or waits for it, be it for what was not there the last time."""
        return bool(self._waiting or self._wakers or self._pausing or self._looking)

    def asleep(self, agent: AgentId, wake_ms: int | None) -> None:
        """This agent has no frame (any more), and must be awake at ``wake_ms``."""
        if wake_ms is not None and wake_ms - self._clock.now_ms() <= HORIZON_MS and self._timers is not None:
            self._asleep[agent] = wake_ms
            self._timers.add(agent, wake_ms)

    def awake(self, agent: AgentId) -> None:
        """This agent has a frame."""
        self._asleep.pop(agent, None)

    def leave(self, agent: AgentId) -> int | None:
        """This agent lives in another host from now on.  Returns when it must be awake there, if that is known."""
        wake_ms = self._asleep.pop(agent, None)
        if agent in self._waiting:
            del self._waiting[agent]
            return WORK
        return wake_ms

    def rung(self, agent: AgentId) -> None:
        """A timer rang for an agent that has no frame; it may have been stopped since it was set."""
        wake_ms = self._asleep.get(agent)
        if wake_ms is not None and wake_ms <= self._clock.now_ms():
            self.now(agent)

    def expect(self, due: Iterable[tuple[AgentId, int]]) -> None:
        """What the journal says of agents without a frame: those that are due are woken, soon after each other."""
        now_ms = self._clock.now_ms()
        for agent, wake_ms in due:
            if wake_ms <= now_ms:
                self.now(agent)
            else:
                self.asleep(agent, wake_ms)

    def now(self, agent: AgentId) -> None:
        """Wake an agent as soon as there is room."""
        if self._closed:
            return
        self._waiting[agent] = None
        if self._wakers < WAKERS_MAX:
            self._wakers += 1
            self._spawn(self._wake_them())

    def later(self, agent: AgentId, pause_ms: int = PAUSE_MS) -> None:
        """Wake an agent after a pause: what it needs is not there now."""
        if not self._closed:
            self._pausing += 1
            self._spawn(self._wake_after(agent, pause_ms))

    def watch(self, stores: Stores, mine: Callable[[AgentId], bool]) -> None:
        """Begin to look into the journal: at once for all work and timers, then now and then for timers.

        ``mine`` says whether an agent has a frame already, and needs nobody to wake it.
        """
        self._looking = True
        self._spawn(self._look(stores, mine))

    async def close(self) -> None:
        """Wake nobody any more."""
        self._closed = True
        self._waiting.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- tasks

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="pagefault-waking")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, stores: Stores, mine: Callable[[AgentId], bool]) -> None:
        from_ms = WORK
        while True:
            pause_ms = LOOK_MS
            until_ms = self._clock.now_ms() + HORIZON_MS
            try:
                due = await stores.due(until_ms, from_ms)
            except StoreError as error:
                log.warning("journal_not_asked", problem=str(error))
                pause_ms = PAUSE_MS
            else:
                self.expect((agent, wake_ms) for agent, wake_ms in due if not mine(agent))
                self._looking = False
                from_ms = until_ms + 1  # who works or sleeps until then does so here
            await self._clock.sleep_until(self._clock.now_ms() + pause_ms)

    async def _wake_them(self) -> None:
        try:
            while self._waiting:
                agent = next(iter(self._waiting))
                del self._waiting[agent]
                await self._wake(agent, PAUSE_MS)
        finally:
            self._wakers -= 1

    async def _wake_after(self, agent: AgentId, pause_ms: int) -> None:
        try:
            await self._clock.sleep_until(self._clock.now_ms() + pause_ms)
            await self._wake(agent, min(2 * pause_ms, PAUSE_MAX_MS))
        finally:
            self._pausing -= 1

    async def _wake(self, agent: AgentId, pause_ms: int) -> None:
        try:
            await self._activate(agent)
        except (StoreUnavailable, Overloaded) as error:
            log.warning("woken_later", agent=agent, problem=str(error))
            self.later(agent, pause_ms)
        except PagefaultError as error:
            self._asleep.pop(agent, None)
            log.error("not_woken", agent=agent, problem=str(error))
