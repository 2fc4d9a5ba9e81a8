"""When to ask a model server again, and how long to wait before.

The SDK's own retries are off: it sends a request again after a read time-out without saying so, waits as
long as a server asks for, and knows nothing of an agent's deadline.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from email.utils import parsedate_to_datetime
from typing import TypeVar

import structlog

from pagefault.runtime.errors import ConfigError, ModelError, ModelMalformed

_log = structlog.get_logger("pagefault.models")
T = TypeVar("T")

RETRY_AFTER_REPORTED_MS_MAX = 3_600_000
"""A server may ask for any wait; no more than an hour is believed and passed on."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of one model call.

    ``attempts_max`` requests are sent, and none after ``deadline_ms``; a single one may take ``attempt_ms``.
    Between them the wait doubles from ``backoff_ms`` to ``backoff_ms_max``, of which a random half is taken
    off.  A server that asks for more than ``retry_after_ms_max`` is not waited for.  ``malformed_max``
    bounds attempts that ended in an answer that cannot be read: each was paid for.
    """

    attempts_max: int = 6
    deadline_ms: int = 300_000
    attempt_ms: int = 120_000
    backoff_ms: int = 500
    backoff_ms_max: int = 20_000
    retry_after_ms_max: int = 60_000
    malformed_max: int = 3

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"model.{each.name}", value, "a whole number above 0")


def _monotonic_ms() -> float:
    return time.monotonic() * 1_000


def _wall_ms() -> float:
    return time.time() * 1_000


async def _sleep_ms(delay_ms: float) -> None:
    await asyncio.sleep(delay_ms / 1_000)


@dataclass(frozen=True, slots=True)
class Timing:
    """Clock, calendar, sleep and chance, so that tests and simulations can have their own."""

    monotonic_ms: Callable[[], float] = _monotonic_ms
    wall_ms: Callable[[], float] = _wall_ms
    sleep_ms: Callable[[float], Awaitable[None]] = _sleep_ms
    random: Callable[[], float] = random.random


def retry_after_ms(headers: Mapping[str, str], wall_ms: float) -> float | None:
    """How long a server asks to be left alone, in milliseconds; ``None`` if it does not say so legibly.

    Understands ``retry-after-ms`` and both forms of ``Retry-After`` (seconds, and a date, as RFC 9110
    §10.2.3 has it).  Infinite and absurd waits come back as they are, for the caller to bound.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return seconds * 1_000
    try:
        date = parsedate_to_datetime(value) if value is not None else None
    except (ValueError, TypeError, OverflowError):
        return None
    if date is None:
        return None
    try:
        return max(0.0, date.timestamp() * 1_000 - wall_ms)
    except (OverflowError, ValueError):
        return None


def _number(value: str | None) -> float | None:
    """A number from 0 up, infinity included."""
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return None if math.isnan(number) or number < 0 else number


async def with_retries(policy: RetryPolicy, timing: Timing, ask: Callable[[int, float], Awaitable[T]]) -> T:
    """Call ``ask(attempt, timeout_ms)`` until it succeeds or asking again is of no use.

    ``ask`` raises a :class:`~pagefault.runtime.errors.ModelError`; one that is ``retryable`` leads to
    another attempt, after its ``retry_after_ms`` if it has one.

    Raises:
        ModelError: the last one, with ``attempts`` set to the number of requests sent.
    """
    start_ms = timing.monotonic_ms()
    attempt = malformed = 0
    while True:
        attempt += 1
        left_ms = policy.deadline_ms - (timing.monotonic_ms() - start_ms)
        try:
            return await ask(attempt, max(1.0, min(policy.attempt_ms, left_ms)))
        except ModelError as error:
            error.attempts = attempt
            malformed += isinstance(error, ModelMalformed)
            if not error.retryable or attempt >= policy.attempts_max or malformed >= policy.malformed_max:
                raise
            delay_ms = _delay_ms(policy, timing, error, attempt)
            left_ms = policy.deadline_ms - (timing.monotonic_ms() - start_ms)
            if error.retry_after_ms > policy.retry_after_ms_max or delay_ms >= left_ms:
                raise
            _log.info("model_retry", attempt=attempt, delay_ms=round(delay_ms), problem=error.message)
        await timing.sleep_ms(delay_ms)


def _delay_ms(policy: RetryPolicy, timing: Timing, error: ModelError, attempt: int) -> float:
    chance = timing.random()
    if error.retry_after_ms > 0:
        # A little later than asked for: the others who were told the same come back at different times.
        return error.retry_after_ms * (1 + 0.1 * chance)
    backoff_ms: int = min(policy.backoff_ms_max, policy.backoff_ms * 2 ** min(attempt - 1, 30))
    return float(backoff_ms * (1 - 0.5 * chance))
