"""Whether an endpoint is up: after a failure it is left alone for a while, then tried with one call."""

from __future__ import annotations

COOL_MS = 500.0
COOL_MS_MAX = 30_000.0


class Health:
    """One endpoint's.  ``down_since_ms`` is that of the first of the failures in a row, ``None`` if it is up."""

    def __init__(self) -> None:
        self.down_since_ms: float | None = None
        self.until_ms = 0.0
        self.failures = 0
        self._probes = 0

    def usable(self, now_ms: float) -> bool:
        """Whether a call may go there: any if it is up, one when its rest is over."""
        return self.down_since_ms is None or (now_ms >= self.until_ms and self._probes == 0)

    def began(self) -> None:
        if self.down_since_ms is not None:
            self._probes += 1

    def ended(self, *, is_up: bool, now_ms: float, rest_ms: float = 0.0) -> None:
        """A call came to an end that says how the endpoint is."""
        self._probes = 0
        if is_up:
            self.down_since_ms, self.failures = None, 0
            return
        if self.down_since_ms is None:
            self.down_since_ms = now_ms
        elif now_ms < self.until_ms:
            return  # begun before it was known to be down: nothing new
        self.failures += 1
        cool_ms = min(COOL_MS_MAX, COOL_MS * 2.0 ** min(self.failures - 1, 30))
        self.until_ms = now_ms + max(cool_ms, rest_ms)

    def unknown(self) -> None:
        """A call was broken off: nobody knows."""
        self._probes = 0
