"""What one endpoint allows, shrunk for a while when it says that it is too much.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989): a 429 takes limits by the
minute and concurrency down by a third, each second gives a hundredth back.  ``Retry-After`` is obeyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pagefault.runtime.models.budget.meter import FACTOR_MIN, Meter
from pagefault.runtime.models.budget.settings import Endpoint

DECREASE = 0.67
RECOVERY_PER_MS = 0.01 / 1_000
DECREASE_EVERY_MS = 1_000.0
"""Refusals of one moment are one sign, however many calls they hit."""
PAUSE_MS = 1_000.0
"""For servers that do not say how long."""
PAUSE_MS_MAX = 300_000.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """When the tokens of a call were entered; corrections need it."""

    at: float = 0.0


class Capacity(Protocol):
    """How much there is of one endpoint, here and now."""

    def can_take(self, now_ms: float, tokens: float) -> bool:
        """Whether a call of so many tokens may begin."""

    def take(self, now_ms: float, tokens: float) -> Stamp:
        """Begin one, which :meth:`can_take` has allowed."""

    def end(self, stamp: Stamp, tokens_more: float) -> None:
        """It is over, and cost so many tokens more (less, if negative) than was taken."""

    def unsent(self, stamp: Stamp, tokens: float) -> None:
        """It was given up before anything was sent."""

    def busy(self, now_ms: float, retry_after_ms: float) -> None:
        """The endpoint said 429."""

    def wait_ms(self, now_ms: float, tokens: float) -> float:
        """When to look again; infinite if only somebody else's doing can help."""


class Limits:
    """The limits themselves: a :class:`Capacity` where there is one process, and what leases are cut from."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.requests = None if endpoint.requests_per_minute is None else Meter(endpoint.requests_per_minute)
        self.tokens = None if endpoint.tokens_per_minute is None else Meter(endpoint.tokens_per_minute)
        self.slots = 0
        self.factor = 1.0
        self.paused_until_ms = 0.0
        self.times_busy = 0
        self._changed_ms: float | None = None
        self._shrunk_ms = -DECREASE_EVERY_MS

    @property
    def slots_max(self) -> int:
        return max(1, int(self.endpoint.concurrency * self.factor))

    def _refresh(self, now_ms: float) -> None:
        if self._changed_ms is not None and self.factor < 1.0:
            since_ms = max(self._changed_ms, self.paused_until_ms)
            if now_ms > since_ms:
                self._scale(min(1.0, self.factor + (now_ms - since_ms) * RECOVERY_PER_MS))
        self._changed_ms = now_ms if self._changed_ms is None else max(now_ms, self._changed_ms)

    def _scale(self, factor: float) -> None:
        self.factor = factor
        for meter in (self.requests, self.tokens):
            if meter is not None:
                meter.factor = factor

    # --- lending, as the meters do it, of a call: one request, its tokens, a slot

    def can_lend(self, now_ms: float, tokens: float, calls_before: int = 0, tokens_before: float = 0.0) -> bool:
        """Whether a call of so many tokens may go, after others to which nothing has been lent yet."""
        self._refresh(now_ms)
        if now_ms < self.paused_until_ms or self.slots + calls_before + 1 > self.slots_max:
            return False
        if self.requests is not None and not self.requests.can_lend(now_ms, 1.0, calls_before):
            return False
        return self.tokens is None or self.tokens.can_lend(now_ms, tokens, tokens_before)

    def lend(self, now_ms: float, requests: float, tokens: float, slots: int) -> None:
        if self.requests is not None:
            self.requests.lend(now_ms, requests)
        if self.tokens is not None:
            self.tokens.lend(now_ms, tokens)
        self.slots += slots

    def spent(self, now_ms: float, requests: float, tokens: float) -> Stamp:
        if self.requests is not None:
            self.requests.spent(now_ms, requests)
        return Stamp(0.0 if self.tokens is None else self.tokens.spent(now_ms, tokens))

    def returned(self, requests: float, tokens: float, slots: int) -> None:
        if self.requests is not None:
            self.requests.returned(requests)
        if self.tokens is not None:
            self.tokens.returned(tokens)
        self.slots = max(0, self.slots - slots)

    def correct(self, stamp: Stamp, tokens_more: float) -> None:
        if self.tokens is not None:
            self.tokens.correct(stamp.at, tokens_more)

    def statistics(self, now_ms: float) -> dict[str, float]:
        """What was sent in the last minute, what is under way, and how much the limits are shrunk."""
        self._refresh(now_ms)
        meters = {"requests": self.requests, "tokens": self.tokens}
        sent = {f"{name}_in_minute": meter.seen(now_ms) for name, meter in meters.items() if meter is not None}
        return {**sent, "under_way": self.slots, "factor": self.factor, "times_busy": self.times_busy}

    # --- a Capacity

    def can_take(self, now_ms: float, tokens: float) -> bool:
        return self.can_lend(now_ms, tokens)

    def take(self, now_ms: float, tokens: float) -> Stamp:
        self.lend(now_ms, 1.0, tokens, 1)
        return self.spent(now_ms, 1.0, tokens)

    def end(self, stamp: Stamp, tokens_more: float) -> None:
        self.correct(stamp, tokens_more)
        self.slots = max(0, self.slots - 1)

    def unsent(self, stamp: Stamp, tokens: float) -> None:
        """The request stays counted: what was nearly sent is rare, and the window has no record of it alone."""
        self.end(stamp, -tokens)

    def busy(self, now_ms: float, retry_after_ms: float) -> None:
        self._refresh(now_ms)
        self.times_busy += 1
        pause_ms = min(retry_after_ms, PAUSE_MS_MAX) if retry_after_ms > 0 else PAUSE_MS
        self.paused_until_ms = max(self.paused_until_ms, now_ms + pause_ms)
        if now_ms - self._shrunk_ms >= DECREASE_EVERY_MS:
            self._shrunk_ms = now_ms
            self._scale(max(FACTOR_MIN, self.factor * DECREASE))

    def wait_ms(self, now_ms: float, tokens: float) -> float:
        if now_ms < self.paused_until_ms:
            return self.paused_until_ms - now_ms
        self._refresh(now_ms)
        if self.slots + 1 > self.slots_max:
            return float("inf")
        waits = [0.0]
        if self.requests is not None:
            waits.append(self.requests.wait_ms(now_ms, 1.0))
        if self.tokens is not None:
            waits.append(self.tokens.wait_ms(now_ms, tokens))
        return max(waits)
