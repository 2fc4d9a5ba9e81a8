"""Where time comes from.  The kernel is told; only hosts ask."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds since the Unix epoch, and waiting for them."""

    def now_ms(self) -> int: ...
    async def sleep_until(self, at_ms: int) -> None:
        """Return when ``now_ms() >= at_ms``."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_until(self, at_ms: int) -> None:
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110 - nobody could set an event: it is time we wait for
            await asyncio.sleep(min(left_ms, 3_600_000) / 1000)  # the clock may be set while we sleep
