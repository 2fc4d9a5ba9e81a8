"""One survey for many browsers, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from pagefault.cluster.console.web.fleets import Seen
from pagefault.cluster.console.web.roster import Roster
from pagefault.runtime.errors import Overloaded

CLIENTS_MAX = 32
QUEUED_MAX = 4
"""Events that wait for a slow browser; then it is told everything anew."""
REST_FACTOR = 40
"""A survey, with telling of it, is followed by a pause of so many times its own length: a fortieth of the time."""
RETRY_MS = 5_000
FRESH_S = 30.0
"""What was seen so long ago is shown at once to whoever comes; the next survey corrects it."""


class Feed:
    """Surveys the fleet while anybody watches, and tells each of them what changed.

    ``survey`` says what there is to see; it must not raise but for what is wrong with itself.  ``interval_s`` is the
    shortest time from one survey to the next.
    """

    def __init__(
        self, survey: Callable[[], Awaitable[Seen]], interval_s: float, clients_max: int = CLIENTS_MAX
    ) -> None:
        self._survey = survey
        self._interval_s = interval_s
        self._clients_max = clients_max
        self._clients: dict[asyncio.Queue[bytes], bool] = {}  # with whether it has been told everything once
        self._roster = Roster()
        self._task: asyncio.Task[None] | None = None
        self.surveys = 0
        self.last: Seen | None = None
        self._told_s = 0.0

    @property
    def clients(self) -> int:
        return len(self._clients)

    async def events(self) -> AsyncGenerator[bytes]:
        """Events for one browser, without end.

        Raises :class:`~pagefault.runtime.errors.Overloaded` when too many watch already.
        """
        if len(self._clients) >= self._clients_max:
            raise Overloaded(f"{self._clients_max} browsers watch already", RETRY_MS)
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_MAX)
        self._clients[queue] = False
        if self.last is not None and time.monotonic() - self._told_s < FRESH_S:
            queue.put_nowait(_event("whole", {**self._roster.whole(), **_about(self.last)}))
            self._clients[queue] = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="survey of the fleet")
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while True:
                yield await queue.get()
        finally:
            self._clients.pop(queue, None)

    async def close(self) -> None:
        """End the surveys; those who wait for events wait on, until their connections are closed."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _watch(self) -> None:
        while self._clients:
            began_s = time.monotonic()
            self.last = seen = await self._survey()
            self.surveys += 1
            took_s = time.monotonic() - began_s
            self._told_s = time.monotonic()
            said = _about(seen)
            self._tell({**self._roster.take(seen.rows), **said, "survey_ms": round(took_s * 1000, 1)}, said)
            round_s = time.monotonic() - began_s
            await asyncio.sleep(max(self._interval_s, REST_FACTOR * round_s))

    def _tell(self, changes: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        message = _event("changes", changes)
        everything: bytes | None = None
        for queue, knows in self._clients.items():
            if knows and not queue.full():
                queue.put_nowait(message)
                continue
            if everything is None:
                everything = _event("whole", {**self._roster.whole(), **said})
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(everything)
            self._clients[queue] = True


def _about(seen: Seen) -> dict[str, Any]:
    return {"fleet": seen.title, "mode": seen.mode, "problem": seen.problem, "at_ms": seen.at_ms}


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    """JSON has no line breaks of its own, and names with half a character are escaped in it."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode("ascii")
