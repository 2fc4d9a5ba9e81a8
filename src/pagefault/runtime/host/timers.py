"""Wakes agents when they asked for it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from pagefault.runtime.host.clock import Clock
from pagefault.runtime.values import AgentId


class Timers:
    """One task for all timers of a host."""

    def __init__(self, clock: Clock, wake: Callable[[AgentId], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._heap: list[tuple[int, AgentId]] = []
        self._set: set[tuple[int, AgentId]] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, agent: AgentId, at_ms: int) -> None:
        key = (at_ms, agent)
        if key in self._set:
            return
        self._set.add(key)
        heapq.heappush(self._heap, key)
        if self._heap[0] == key:
            if self._task is not None:
                self._task.cancel()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="pagefault-timers")

    def next_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    async def _run(self) -> None:
        while self._heap:
            await self._clock.sleep_until(self._heap[0][0])
            now_ms = self._clock.now_ms()
            while self._heap and self._heap[0][0] <= now_ms:
                key = heapq.heappop(self._heap)
                self._set.discard(key)
                self._wake(key[1])

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
