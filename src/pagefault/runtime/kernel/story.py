"""The story: the readable tail of what happened to an agent, attached to errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Line = tuple[int, str, str, str, str]
"""``(at_ms, phase before, event, its id, phase after)``."""


class Story:
    """The last ``length`` transitions of one agent."""

    __slots__ = ("_lines",)

    def __init__(self, length: int = 40) -> None:
        self._lines: deque[Line] = deque(maxlen=length)

    def add(self, at_ms: int, before: str, event: str, subject: str, after: str) -> None:
        self._lines.append((at_ms, before, event, subject, after))

    def lines(self) -> list[Line]:
        return list(self._lines)

    def load(self, lines: Iterable[Iterable[object]]) -> None:
        for line in lines:
            at_ms, before, event, subject, after = line
            self._lines.append((int(str(at_ms)), str(before), str(event), str(subject), str(after)))

    def __str__(self) -> str:
        return "\n".join(
            f"  {at_ms}  {before:>14} -- {event} {subject} --> {after}"
            for at_ms, before, event, subject, after in self._lines
        )
