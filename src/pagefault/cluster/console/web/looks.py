"""What the page asks of agents, as JSON: bounded, a few at a time, and the past looked at once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.views.look import Seen, compare, look
from pagefault.cluster.console.web.feed import Feed
from pagefault.cluster.console.web.fleets import Shown
from pagefault.cluster.console.web.graph import read_graph
from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.telemetry.meters import exposition

AT_ONCE = 2
"""Looks under way at a time; others wait for their turn."""
PATIENCE_S = 30.0
KEPT = 16
"""Moments of the past that are kept for the next click."""
TEXT_MAX_CHARS = 4_000
"""Of a page's text in a map; all of it comes when the page is opened."""
STORY_LINES_MAX = 64
STORY_LINE_CHARS = 400
MESSAGES_MAX_CHARS = 4_000_000
STEPS_MAX = 400
"""Steps of one answer about a timeline."""
GRAPH_FRESH_S = 5.0


class Looks:
    """Answers about the fleet that is shown.

    All raise what the fleet raises, and ``TimeoutError`` when an answer takes longer than ``PATIENCE_S``.
    """

    def __init__(self, shown: Shown, feed: Feed) -> None:
        self._shown = shown
        self._feed = feed
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._past: OrderedDict[tuple[str, int], Seen] = OrderedDict()
        self._graph: tuple[float, dict[str, Any]] | None = None

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Cluster | Local]:
        async with asyncio.timeout(PATIENCE_S), self._turns, self._shown.reading() as fleet:
            yield fleet

    async def _seen(self, agent: str, step: int | None) -> Seen:
        kept = None if step is None else self._past.get((agent, step))
        if kept is not None:
            return kept
        async with self._reading() as fleet:
            seen = await look(fleet, agent, step)
        if step is not None:  # what has happened stays as it is
            self._past[agent, step] = seen
            while len(self._past) > KEPT:
                self._past.popitem(last=False)
        return seen

    async def memory(self, agent: str, step: int | None) -> dict[str, Any]:
        """The agent's memory map at a step, or now; long texts are cut, and say so with ``is_cut``."""
        seen = await self._seen(agent, step)
        found = asdict(seen.map)
        for part in (*found["pages"], *found["regions"]):
            part["is_cut"] = len(part["text"]) > TEXT_MAX_CHARS
            part["text"] = part["text"][:TEXT_MAX_CHARS]
        found |= {"source": seen.source, "were_sent": seen.were_sent, "messages": len(seen.messages)}
        lines = seen.story.splitlines()[-STORY_LINES_MAX:]
        return {**found, "story": [line[:STORY_LINE_CHARS] for line in lines], "digest": seen.digest}

    async def page(self, agent: str, step: int | None, page_id: str) -> dict[str, Any]:
        """One page in full.  Raises :class:`~pagefault.runtime.errors.UsageError` if it is not in the context then."""
        page = (await self._seen(agent, step)).map.page(page_id)
        if page is None:
            raise UsageError(f"page: found {page_id!r}, allowed: a page that is in the context at that step")
        return asdict(page)

    async def messages(self, agent: str, step: int | None) -> dict[str, Any]:
        """What the model was sent, message by message; beyond ``MESSAGES_MAX_CHARS`` only how many there are."""
        seen = await self._seen(agent, step)
        told, room = [], MESSAGES_MAX_CHARS
        for message in seen.messages:
            calls = [{"name": call.name, "arguments": call.arguments} for call in message.calls]
            room -= len(message.text) + sum(len(call["name"]) + len(call["arguments"]) for call in calls)
            if room < 0:
                break
            told.append({"role": message.role, "name": message.name, "text": message.text, "calls": calls})
        return {"messages": told, "total": len(seen.messages), "were_sent": seen.were_sent}

    async def timeline(self, agent: str, first: int | None, last: int | None) -> list[dict[str, Any]]:
        """Steps ``first`` to ``last``, at most ``STEPS_MAX`` of them: the last ones, if ``first`` is not said."""
        async with self._reading() as fleet:
            if first is None:
                end = (await fleet.replay(agent)).step if last is None else last
                first = max(1, end - STEPS_MAX + 1)
            first = max(1, first)
            last = first + STEPS_MAX - 1 if last is None else min(last, first + STEPS_MAX - 1)
            return [asdict(row) async for row in fleet.timeline(agent, first, max(first, last))]

    async def difference(self, agent: str, before: int | None, after: int | None) -> dict[str, Any]:
        """What changed in the context from one step to another (default: now)."""
        if before is None:
            raise UsageError("from: found nothing, allowed: a step")
        async with self._reading() as fleet:
            return asdict(await compare(fleet, agent, before, after))

    async def graph(self) -> dict[str, Any]:
        """Who wrote to whom; kept for some seconds, as all who look see the same."""
        if self._graph is None or time.monotonic() - self._graph[0] > GRAPH_FRESH_S:
            seen = self._feed.last or await self._shown.survey()
            async with self._reading() as fleet:
                found = asdict(await read_graph(fleet, seen.rows))
            self._graph = (time.monotonic(), found)
        return self._graph[1]

    async def metrics(self) -> str:
        """What the fleet has counted and measured, as Prometheus reads it."""
        async with self._reading() as fleet:
            return exposition(await fleet.metrics())

    async def budget(self) -> dict[str, Any]:
        """What was sent to models and spent, by endpoint; empty without a budget."""
        async with self._reading() as fleet:
            return await fleet.budget_statistics()
