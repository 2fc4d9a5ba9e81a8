"""How much of a limit by the minute is left: an exact sliding window, and a pace that keeps it even.

The window alone would let a minute's worth go in its first second and then nothing, so that whoever comes
next, however urgent, waits for most of a minute.  A token bucket alone lets through its burst on top of a
full minute.  So both: the bucket is a little slower than the limit, by as much as its burst, and the window
is the guarantee.

What is *lent* is counted as if it were spent until it is known how much was: then that is entered in the
window, at a time not before it really was spent, and the rest goes back.
"""

from __future__ import annotations

WINDOW_MS = 60_500.0
"""A minute, and what a request may be late by on its way: the server's window begins when it arrives."""
STAMP_MS = 100.0
"""Entries are gathered to a tenth of a second, rounded up: a window holds at most 606."""
BURST_SHARE = 0.04
FACTOR_MIN = 0.05
_EPSILON = 1e-6


class Meter:
    """One limit: ``limit`` units (requests, or tokens) in any ``WINDOW_MS``.  Times are in milliseconds.

    The number that was spent in any window never exceeds the limit, except where :meth:`correct` says that
    something cost more than was asked for.  ``factor`` shrinks the limit for a while.
    """

    def __init__(self, limit: float) -> None:
        self.limit = float(limit)
        self.factor = 1.0
        self.lent = 0.0
        self._log: dict[float, float] = {}
        self._logged = 0.0
        self._level = self._burst
        self._seen_ms: float | None = None

    @property
    def allowed(self) -> float:
        """The limit as it is now."""
        return max(1.0, self.limit * self.factor)

    @property
    def spent_in_window(self) -> float:
        """What was spent in the last minute, as far as is known, and what is lent."""
        return self._logged + self.lent

    @property
    def _burst(self) -> float:
        return max(1.0, self.allowed * BURST_SHARE)

    @property
    def per_ms(self) -> float:
        """The pace.  With it a window holds at most the burst and what comes in after: the limit."""
        return (self.allowed - self._burst + 1.0) / WINDOW_MS

    def _refresh(self, now_ms: float) -> None:
        if self._seen_ms is not None and now_ms > self._seen_ms:
            self._level = min(self._burst, self._level + (now_ms - self._seen_ms) * self.per_ms)
        self._seen_ms = now_ms if self._seen_ms is None else max(now_ms, self._seen_ms)
        while self._log:
            stamp = next(iter(self._log))
            if stamp + WINDOW_MS > now_ms:
                break
            self._logged -= self._log.pop(stamp)
        if not self._log:
            self._logged = 0.0  # what rounding left

    def can_lend(self, now_ms: float, amount: float, after: float = 0.0) -> bool:
        """Whether so much may go now, and ``after`` has gone.  What is more than a burst may go on credit, and is
        waited for afterwards."""
        self._refresh(now_ms)
        if self._level - after + _EPSILON < min(amount, self._burst):
            return False
        in_window = self._logged + self.lent + after
        if in_window + amount <= self.allowed + _EPSILON:
            return True
        # More than a shrunk limit lets through at once goes alone: it could never go else.
        return in_window <= _EPSILON and amount <= self.limit + _EPSILON

    def lend(self, now_ms: float, amount: float) -> None:
        """Take so much, which :meth:`can_lend` has allowed."""
        self._refresh(now_ms)
        self._level -= amount
        self.lent += amount

    def spent(self, now_ms: float, amount: float) -> float:
        """So much of what was lent has been spent, at this time or before; returns the stamp for corrections."""
        self._refresh(now_ms)
        self.lent = max(0.0, self.lent - amount)
        stamp = -(-now_ms // STAMP_MS) * STAMP_MS
        self._log[stamp] = self._log.get(stamp, 0.0) + amount
        self._logged += amount
        return stamp

    def returned(self, amount: float) -> None:
        """So much of what was lent will not be spent."""
        self.lent = max(0.0, self.lent - amount)
        self._level = min(self._burst, self._level + amount)

    def correct(self, stamp: float, amount: float) -> None:
        """What was spent at ``stamp`` was ``amount`` more than was said, or less if that is negative."""
        present = self._log.get(stamp)
        if present is not None:
            change = max(amount, -present)
            self._log[stamp] = present + change
            self._logged += change
        self._level = min(self._burst, self._level - amount)

    def seen(self, now_ms: float) -> float:
        """What was spent in the last minute, and what is lent."""
        self._refresh(now_ms)
        return self.spent_in_window

    def available(self, now_ms: float) -> float:
        """How much may go now in small pieces."""
        self._refresh(now_ms)
        return max(0.0, min(self._level, self.allowed - self._logged - self.lent))

    def wait_ms(self, now_ms: float, amount: float) -> float:
        """When to look again for so much: no sooner than it can be there, if nobody else takes it."""
        if self.can_lend(now_ms, amount):
            return 0.0
        pace_ms = max(0.0, min(amount, self._burst) - self._level) / self.per_ms
        over = self._logged + self.lent + amount - self.allowed
        window_ms = 0.0
        for stamp, entry in self._log.items():
            if over <= _EPSILON:
                break
            over -= entry
            window_ms = stamp + WINDOW_MS - now_ms
        return max(pace_ms, window_ms, 1.0)
