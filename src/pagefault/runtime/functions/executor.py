"""Runs functions in the host, and turns whatever happens into a status and a text.

Status ``ok``: the text is the result.  ``failed``: the text says why, without a traceback (a model cannot
use one, and it may hold secrets).  ``unknown``: a ``once`` function was given up on while it ran, so nobody
knows whether it happened.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions.definition import CallContext, FunctionDefinition, OutcomeUnknown
from pagefault.runtime.values import Effect

RESULT_CHARS_MAX = 1_000_000
ERROR_CHARS_MAX = 2_000
TIMEOUT_MS = 60_000


class FunctionExecutor:
    """A bounded place to run functions in, one for each event loop.

    Args:
        threads: how many plain functions run at once; others wait.
        abandoned_max: a plain function cannot be stopped when its time is up or its call is cancelled; this
            many may go on unattended before further plain functions are refused.
        timeout_ms: for functions that do not set their own.
        in_threads: plain functions run in threads; otherwise on the loop, which they hold up, but in an order that
            follows from the program (for virtual time).
    """

    def __init__(
        self, *, threads: int = 8, abandoned_max: int = 64, timeout_ms: int = TIMEOUT_MS, in_threads: bool = True
    ) -> None:
        limits = {"threads": threads, "abandoned_max": abandoned_max, "timeout_ms": timeout_ms}
        for name, value in limits.items():
            if type(value) is not int or value < 1:
                raise ConfigError(f"executor.{name}", value, "a whole number above 0")
        self._timeout_ms = timeout_ms
        self._in_threads = in_threads
        self._abandoned_max = abandoned_max
        self._abandoned = 0
        self._room = asyncio.Semaphore(threads)
        self._pool = ThreadPoolExecutor(threads + abandoned_max, thread_name_prefix="pagefault-function")

    @property
    def abandoned(self) -> int:
        """Plain functions that still run though nobody waits for them."""
        return self._abandoned

    async def run_function(
        self, definition: FunctionDefinition, arguments: str, context: CallContext | None = None
    ) -> tuple[str, str]:
        """Run a function to its end or its time limit.

        Args:
            definition: what to run; not a system call (the kernel runs those).
            arguments: checked JSON text.
            context: given to functions that take a :class:`~pagefault.runtime.functions.definition.CallContext`.

        Returns:
            ``(status, text)``; see this module's description.

        Raises:
            UsageError: the function is a system call.
            asyncio.CancelledError: the caller was cancelled; an ``async`` function was cancelled with it.
        """
        if definition.is_system_call:
            raise UsageError(f"{definition.name} is a system call; the kernel runs it")
        try:
            keywords = definition.keyword_arguments(arguments, context)
        except ValidationError as error:
            return "failed", f"The arguments do not fit the signature of {definition.name}: {_problem(error)}"
        if definition.is_async:
            return await self._bounded(definition, definition.function(**keywords))
        # Waiting for a thread is not running: the time limit begins after it.
        async with self._room:
            if self._abandoned >= self._abandoned_max:
                return "failed", f"{self._abandoned} functions that ran out of time are still running; try later."
            return await self._bounded(definition, self._in_thread(definition, keywords))

    async def _bounded(self, definition: FunctionDefinition, run: Awaitable[object]) -> tuple[str, str]:
        timeout_ms = self._timeout_ms if definition.timeout_ms is None else definition.timeout_ms
        try:
            async with asyncio.timeout(timeout_ms / 1000) as scope:
                result = await run
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled us: the function itself let a cancellation escape.
            return "failed", _problem(error)
        except TimeoutError as error:
            return _timed_out(definition, timeout_ms) if scope.expired() else ("failed", _problem(error))
        except OutcomeUnknown as error:
            return "unknown", str(error)[:ERROR_CHARS_MAX]
        except (Exception, SystemExit) as error:  # noqa: BLE001  users' code may raise anything; the model is told
            return "failed", _problem(error)
        return result_text(definition.name, result)

    async def _in_thread(self, definition: FunctionDefinition, keywords: dict[str, Any]) -> object:
        if not self._in_threads:
            return _guarded(definition, keywords)
        loop = asyncio.get_running_loop()
        bound = contextvars.copy_context()
        future = self._pool.submit(bound.run, _guarded, definition, keywords)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._abandon(future, loop)
            raise

    def _abandon(self, future: Future[object], loop: asyncio.AbstractEventLoop) -> None:
        """Count a thread that cannot be stopped until it ends by itself."""
        if future.cancel() or future.done():
            return
        self._abandoned += 1

        def ended(_: Future[object]) -> None:
            try:
                loop.call_soon_threadsafe(self._forget)
            except RuntimeError:
                self._forget()  # the loop is closed: nobody counts any more

        future.add_done_callback(ended)

    def _forget(self) -> None:
        self._abandoned -= 1

    def close(self) -> None:
        """Take no more functions; threads that are still running are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def run_function(
    definition: FunctionDefinition, arguments: str, context: CallContext | None = None
) -> tuple[str, str]:
    """Run one function in an executor of its own: what a Ray task does."""
    executor = FunctionExecutor(threads=1, abandoned_max=1)
    try:
        return await executor.run_function(definition, arguments, context)
    finally:
        executor.close()


def result_text(name: str, result: object) -> tuple[str, str]:
    """``("ok", text)`` for a function's result: a string as it is, anything else as compact JSON."""
    if isinstance(result, str):
        text = str(result)
    else:
        try:
            text = to_json(result, inf_nan_mode="strings").decode()
        except (PydanticSerializationError, ValueError, TypeError, RecursionError):
            return "failed", (
                f"{name} ran to its end, but its result, of type {type(result).__name__}, cannot be written as "
                "JSON. Do not run it again for this reason alone."
            )
    if not text.isascii():
        text = text.encode(errors="replace").decode()  # half characters could not be stored
    if len(text) > RESULT_CHARS_MAX:
        text = f"{text[:RESULT_CHARS_MAX]}\n[cut: {RESULT_CHARS_MAX} of {len(text)} characters]"
    return "ok", text


class _Stopped(Exception):
    """A function in a thread raised what would stop the whole loop."""


def _guarded(definition: FunctionDefinition, keywords: dict[str, Any]) -> object:
    try:
        return definition.function(**keywords)
    except (StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        # A future cannot carry StopIteration, and the others would end the host for one function's sake.
        raise _Stopped(_problem(error)) from None


def _timed_out(definition: FunctionDefinition, timeout_ms: int) -> tuple[str, str]:
    status = "unknown" if definition.effect is Effect.ONCE else "failed"
    still = "" if definition.is_async else " It may still be running."
    return status, f"{definition.name} did not end within {timeout_ms} ms.{still}"


def _problem(error: BaseException) -> str:
    """Type and message only."""
    if isinstance(error, _Stopped):
        return str(error)
    if isinstance(error, ValidationError):
        text = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in error.errors())
    else:
        text = str(error)
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    text = text.encode(errors="replace").decode()
    return text if len(text) <= ERROR_CHARS_MAX else f"{text[:ERROR_CHARS_MAX]}…"
