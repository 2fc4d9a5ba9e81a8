"""Virtual time: a day passes in the time that its work takes, and twice the same run is twice the same journal.

Time stands still while anybody has anything to do.  When all wait, it jumps to when the first of them goes on.  So
runs are as fast as the machine, and the order of what happens follows from the program alone, if nothing but
the event loop decides on it: a fleet with this clock uses no threads.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from pagefault.runtime.errors import ConfigError, UsageError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START_MS = 1_700_000_000_000
_NS = 1_000_000_000


class VirtualClock:
    """Implements :class:`~pagefault.runtime.host.clock.Clock` for :class:`~pagefault.runtime.host.local.Local`.

    Write ``clock.run(main())`` where a program in real time has ``asyncio.run(main())``; in ``main``, sleeping
    (``asyncio.sleep``, :meth:`sleep_until`) is what lets time pass.  ``seed`` takes the place of the chance in ids
    that a fleet gives out; a folder is taken up again with the same clock, or a later ``start_ms``.  Minds must be
    scripted or replayed: while a connection is open or a thread at work, time passes as it really does, since nobody
    knows when an answer will come.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for a negative seed or start.
    """

    def __init__(self, seed: int = 0, start_ms: int = START_MS) -> None:
        for name, value in (("seed", seed), ("start_ms", start_ms)):
            if type(value) is not int or value < 0:
                raise ConfigError(name, value, "a whole number from 0")
        self.seed = seed
        self._start_ms = start_ms
        self._passed_ns = 0
        self._tokens = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def token(self) -> str:
        """What is by chance elsewhere: a short text that this clock gives out once."""
        self._tokens += 1
        return f"{self.seed:x}-{self.now_ms():x}-{self._tokens:x}"

    def now_ms(self) -> int:
        return self._start_ms + self._passed_ns // 1_000_000

    async def sleep_until(self, at_ms: int) -> None:
        """Return when ``now_ms() >= at_ms``."""
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110 - nobody could set an event: it is time we wait for
            await asyncio.sleep(left_ms / 1000)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in this clock's time; further runs go on where the last one ended.

        Raises what ``main`` raises, and ``RuntimeError`` inside a running loop.
        """
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            return runner.run(main)

    def check_loop(self) -> None:
        """Raise :class:`~pagefault.runtime.errors.UsageError` unless this clock's time rules the running loop."""
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("a fleet with a VirtualClock runs in its time: write clock.run(main()), not asyncio.run")

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = _VirtualLoop(self)
        return self._loop

    def seconds(self) -> float:
        """Since the beginning."""
        return self._passed_ns / _NS

    def pass_time(self, seconds: float) -> None:
        """Let time pass; the loop does so when all wait."""
        self._passed_ns += max(1, round(seconds * _NS))


class _VirtualSelector(selectors.DefaultSelector):
    """Where a loop would wait for time to pass, time passes instead."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        is_connected = len(self.get_map()) > 1  # to more than the loop's own pipe
        ready = super().select(timeout if is_connected or self.threads_at_work else 0)
        if not ready:
            self._clock.pass_time(timeout)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._waiting = _VirtualSelector(clock)
        super().__init__(self._waiting)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As its base; until the thread has ended, time passes as it really does, as while a connection is open."""
        future = super().run_in_executor(executor, func, *args)
        self._waiting.threads_at_work += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: asyncio.Future[Any]) -> None:
        self._waiting.threads_at_work -= 1

    def time(self) -> float:
        """The clock's time; see :meth:`asyncio.loop.time`."""
        return self._clock.seconds()
