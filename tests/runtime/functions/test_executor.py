"""Running host functions: results, failures, time limits, cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import date

import pytest
from pydantic import BaseModel

from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions import BUILTINS, CallContext, FunctionExecutor, definition_of, function, run_function
from pagefault.runtime.functions.executor import RESULT_CHARS_MAX, result_text
from pagefault.runtime.values import AgentId, CallId

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


@pytest.fixture
def executor() -> Iterator[FunctionExecutor]:
    made = FunctionExecutor(threads=2, abandoned_max=2, timeout_ms=20_000)
    yield made
    made.close()


class Reading(BaseModel):
    day: date
    value: float


@function
def reading(day: date) -> Reading:
    """Read."""
    return Reading(day=day, value=1.5)


async def test_results_become_text(executor: FunctionExecutor) -> None:
    given = '{"day": "2024-05-07"}'
    expected = ("ok", '{"day":"2024-05-07","value":1.5}')
    assert await executor.run_function(definition_of(reading), given) == expected
    assert await run_function(definition_of(reading), given) == expected


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ([1, "ä"], '[1,"ä"]'),
        ({"a": {1}}, '{"a":[1]}'),
        (float("nan"), '"NaN"'),
    ],
)
def test_result_text(result: object, text: str) -> None:
    assert result_text("f", result) == ("ok", text)


def test_a_result_that_is_no_json() -> None:
    circle: list[object] = []
    circle.append(circle)
    for result in (object(), circle, b"\xff"):
        status, text = result_text("f", result)
        assert status == "failed"
        assert type(result).__name__ in text
        assert "ran to its end" in text


def test_a_result_can_always_be_stored() -> None:
    assert result_text("f", "half \ud800")[1].encode()
    status, text = result_text("f", "x" * (RESULT_CHARS_MAX + 5))
    assert status == "ok"
    assert text.endswith(f"[cut: {RESULT_CHARS_MAX} of {RESULT_CHARS_MAX + 5} characters]")


async def test_context_and_context_variables_reach_the_thread(executor: FunctionExecutor) -> None:
    @function
    def who(context: CallContext) -> str:
        """Say."""
        return f"{context.agent} {context.call_id} {VARIABLE.get()} {threading.current_thread().name}"

    VARIABLE.set("set")
    context = CallContext(AgentId("ana"), CallId("c1"))
    status, text = await executor.run_function(definition_of(who), "{}", context)
    assert (status, text.startswith("ana c1 set pagefault-function")) == ("ok", True)


@pytest.mark.parametrize("error", [ValueError("no such city"), KeyError("x"), StopIteration(1), SystemExit(3)])
async def test_exceptions_are_told_without_a_traceback(executor: FunctionExecutor, error: BaseException) -> None:
    @function
    def plain() -> str:
        """Fail."""
        raise error

    @function
    async def coroutine() -> str:
        """Fail."""
        raise error

    for target in (plain, coroutine):
        status, text = await executor.run_function(definition_of(target), "{}")
        assert status == "failed"
        assert "Traceback" not in text
        assert type(error).__name__ in text or "StopIteration" in text


async def test_a_long_error_is_cut(executor: FunctionExecutor) -> None:
    @function
    def plain() -> str:
        """Fail."""
        raise ValueError("y" * 100_000 + "\ud800")

    status, text = await executor.run_function(definition_of(plain), "{}")
    assert status == "failed"
    assert len(text) < 2_100


async def test_arguments_that_do_not_fit(executor: FunctionExecutor) -> None:
    status, text = await executor.run_function(definition_of(reading), '{"day": "yesterday"}')
    assert status == "failed"
    assert "day" in text


async def test_time_limits(executor: FunctionExecutor) -> None:
    @function(effect="pure", timeout_ms=20)
    async def hangs() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return ""

    @function(timeout_ms=20)
    async def hangs_once() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return ""

    @function
    async def raises() -> str:
        """Raise a time-out of its own."""
        raise TimeoutError("the far end did not answer")

    status, text = await executor.run_function(definition_of(hangs), "{}")
    assert (status, "20 ms" in text) == ("failed", True)
    assert (await executor.run_function(definition_of(hangs_once), "{}"))[0] == "unknown"
    status, text = await executor.run_function(definition_of(raises), "{}")
    assert (status, text) == ("failed", "TimeoutError: the far end did not answer")


async def test_threads_that_hang_are_counted_and_bounded(executor: FunctionExecutor) -> None:
    release = threading.Event()

    @function(effect="pure", timeout_ms=20)
    def hangs() -> str:
        """Hang."""
        release.wait(20)
        return ""

    definition = definition_of(hangs)
    for _ in range(2):
        status, text = await executor.run_function(definition, "{}")
        assert (status, "may still be running" in text) == ("failed", True)
    assert executor.abandoned == 2
    status, text = await executor.run_function(definition, "{}")
    assert (status, "still running" in text) == ("failed", True)
    release.set()
    while executor.abandoned:  # noqa: ASYNC110  the count falls by a callback of the loop's
        await asyncio.sleep(0)
    assert (await executor.run_function(definition_of(reading), '{"day": "2024-05-07"}'))[0] == "ok"


async def test_no_more_than_so_many_threads(executor: FunctionExecutor) -> None:
    lock, running, most = threading.Lock(), 0, 0
    both = threading.Barrier(2, timeout=20)

    @function(effect="pure")
    def busy() -> str:
        """Work."""
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()  # passes only while exactly two are in here together
        with lock:
            running -= 1
        return "done"

    results = await asyncio.gather(*(executor.run_function(definition_of(busy), "{}") for _ in range(8)))
    assert results == [("ok", "done")] * 8
    assert most == 2


async def test_cancelling_goes_through(executor: FunctionExecutor) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @function
    async def hangs() -> str:
        """Hang."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    task = asyncio.create_task(executor.run_function(definition_of(hangs), "{}"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


async def test_a_cancellation_that_escapes_from_a_function_is_its_failure(executor: FunctionExecutor) -> None:
    @function
    async def escapes() -> str:
        """Let it out."""
        raise asyncio.CancelledError

    assert (await executor.run_function(definition_of(escapes), "{}"))[0] == "failed"


async def test_system_calls_and_wrong_limits_are_refused(executor: FunctionExecutor) -> None:
    with pytest.raises(UsageError, match="kernel"):
        await executor.run_function(BUILTINS["send_message"], '{"message": "x"}')
    with pytest.raises(ConfigError, match=r"executor\.threads: found 0"):
        FunctionExecutor(threads=0)
