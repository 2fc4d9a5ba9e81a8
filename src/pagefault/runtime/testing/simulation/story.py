"""What happened in a simulation: its last lines to read, and a digest of all of them to compare."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

LINES_KEPT = 4000


class Story:
    """Lines with the time of each, in milliseconds since the beginning; ``now_ms`` gives it."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._digest = hashlib.sha256()
        self.length = 0

    def add(self, text: str) -> None:
        """This happens now."""
        line = f"{self._now_ms():>8}  {text}"
        self.length += 1
        self._lines.append(line)
        self._digest.update(line.encode("utf-8", "replace") + b"\n")

    def tail(self, count: int = 60) -> list[str]:
        """The last lines, oldest first."""
        return list(self._lines)[-count:]

    def digest(self) -> str:
        """SHA-256 over all lines: equal digests mean that the same happened at the same times."""
        return self._digest.hexdigest()
