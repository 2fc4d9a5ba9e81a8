"""Processes of a simulation: all on one thread and one event loop, in virtual time, and yet each can die alone.

Whatever a process does begins in its own context (:mod:`contextvars`), which tasks and callbacks inherit.  The loop
looks there before it runs anything: what belongs to a dead process is dropped without running another line, as
``SIGKILL`` would have it, and what belongs to a stopped one is kept until it goes on, as ``SIGSTOP`` would.
"""

from __future__ import annotations

import asyncio
import selectors
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.virtual import VirtualClock

T = TypeVar("T")

TASKS_KEPT = 4_096
"""Tasks that are remembered before those that have ended are forgotten."""

_PROCESS: ContextVar[Process | None] = ContextVar("simulated_process", default=None)


class SimulatedCrash(BaseException):
    """The process that runs has just died.  Not an ``Exception``: nothing that a process does can survive it."""


class Stuck(Exception):
    """Everybody waits, and nobody for the time to pass: nothing will ever happen any more."""


class ProcessClock(VirtualClock):
    """The simulation's time as one process sees it: its clock may be wrong by ``offset_ms``."""

    def __init__(self, base: VirtualClock) -> None:
        super().__init__(base.seed)
        self._base = base
        self.offset_ms = 0

    def now_ms(self) -> int:
        return self._base.now_ms() + self.offset_ms


class Process:
    """One process: ``name`` says what it is, ``node`` where it runs."""

    def __init__(self, name: str, clock: VirtualClock, node: str = "") -> None:
        self.name = name
        self.node = node
        self.clock = ProcessClock(clock)
        self.is_dead = False
        self.is_stopped = False
        self._held: list[_Call] = []

    def __repr__(self) -> str:
        return self.name

    def context(self) -> Context:
        """A new context of this process: what runs in it belongs to the process."""
        context = copy_context()
        context.run(_PROCESS.set, self)
        return context

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something in this process."""
        return asyncio.get_running_loop().create_task(work, context=self.context())

    def kill(self) -> None:
        """Nothing of this process runs any more."""
        self.is_dead = True
        self._held.clear()

    def stop(self) -> None:
        """Nothing of this process runs until it goes on."""
        self.is_stopped = True

    def go_on(self) -> None:
        """What would have run meanwhile runs now, in its order."""
        self.is_stopped = False
        held, self._held = self._held, []
        for call in held:
            call.again()

    def hold(self, call: _Call) -> None:
        """Keep what was to run for when the process goes on."""
        self._held.append(call)


def running_process() -> Process | None:
    """The process whose code runs, if it is anybody's."""
    return _PROCESS.get()


def this_process() -> Process:
    """The process that whoever asks belongs to.  Raises :class:`~pagefault.runtime.errors.UsageError` for none."""
    process = _PROCESS.get()
    if process is None:
        raise UsageError("this_process: found nobody's code, allowed: code that a Process has started")
    return process


class _Call:
    """A callback of a process, asked whether it may run when its time has come."""

    __slots__ = ("_arguments", "_callback", "_context", "_loop", "_process", "handle")

    def __init__(
        self,
        loop: SimulatedLoop,
        process: Process,
        context: Context,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
    ) -> None:
        self._loop = loop
        self._process = process
        self._context = context
        self._callback = callback
        self._arguments = arguments
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        if self._process.is_dead:
            return
        if self._process.is_stopped:
            self._process.hold(self)
        else:
            self._callback(*self._arguments)

    def again(self) -> None:
        """The process goes on: run, unless that was cancelled meanwhile, also by what runs before."""
        if self.handle is None or not self.handle.cancelled():
            again = self._loop.call_soon(self._again, context=self._context)
            del again

    def _again(self) -> None:
        if self.handle is None or not self.handle.cancelled():
            self._callback(*self._arguments)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in a clock's time, without threads and connections, that knows of processes."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._kept: list[asyncio.Task[Any]] = []
        self._kept_max = TASKS_KEPT
        super().__init__(_Waiting(clock))
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """The clock's time; see :meth:`asyncio.loop.time`."""
        return self._clock.seconds()

    def call_soon(  # type: ignore[override]  # what is called with what, the base class checks
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See :meth:`asyncio.loop.call_soon`."""
        context = context if context is not None else copy_context()
        process = context.get(_PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        call = _Call(self, process, context, callback, args)
        call.handle = super().call_soon(call, context=context)
        return call.handle

    def call_soon_threadsafe(  # type: ignore[override]  # as above
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See :meth:`asyncio.loop.call_at`."""
        context = context if context is not None else copy_context()
        process = context.get(_PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        call = _Call(self, process, context, callback, args)
        timer = super().call_at(when, call, context=context)
        call.handle = timer
        return timer

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # the base class says Any where this says which future
        """Run at once: there is one thread."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it was, it is whoever asked who must hear of it
            future.set_exception(error)
        return future

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Any, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Tasks of dead processes must stay: a collector that took them would run what they clean up with."""
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
        self._kept.append(task)
        if len(self._kept) > self._kept_max:
            self._kept = [each for each in self._kept if not each.done()]
            self._kept_max = max(TASKS_KEPT, 2 * len(self._kept))
        return task

    def abandon(self) -> None:
        """Forget all that has not ended, and close the loop."""
        self.set_exception_handler(lambda _loop, _context: None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for task in self._kept:
                if not task.done():
                    with suppress(BaseException):  # what it cleans up with cannot work any more, and need not
                        coroutine: Any = task.get_coro()
                        coroutine.close()
            self._kept.clear()
            self.close()


class _Waiting(selectors.SelectSelector):
    """Where a loop would wait for time to pass, time passes."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("everybody waits, and nobody for the time to pass")
        if timeout > 0:
            self._clock.pass_time(timeout)
        return []


def simulate(clock: VirtualClock, main: Coroutine[Any, Any, T]) -> T:
    """Run a simulation to the end of ``main``; whatever else goes on then is dropped.

    Raises what ``main`` raises, and :class:`Stuck`.
    """
    loop = SimulatedLoop(clock)
    loop.set_exception_handler(_ignore_crashes)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.abandon()


def _ignore_crashes(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), SimulatedCrash):
        loop.default_exception_handler(context)
