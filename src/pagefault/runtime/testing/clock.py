"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class ManualClock:
    """Implements :class:`~pagefault.runtime.host.clock.Clock`; ``advance`` is the only way time passes."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now_ms(self) -> int:
        """The time that was set."""
        return self._now_ms

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until somebody advances the clock so far."""
        if at_ms <= self._now_ms:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at_ms, next(self._numbers), future))
        await future

    def advance(self, by_ms: int) -> None:
        """Let time pass; whoever sleeps until then wakes, in order."""
        self._now_ms += by_ms
        while self._sleepers and self._sleepers[0][0] <= self._now_ms:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
