"""Who waits for what: receipts, answers and streams of one host.  All bounded."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from pagefault.runtime.host.records import Answer, Receipt, Step
from pagefault.runtime.kernel.effects import ChainEnded
from pagefault.runtime.values import AgentId, InterruptId

WORDS, WITHDRAWN = "words", "words_withdrawn"
STEPS_WAITING_MAX = 10_000
"""A stream that is read too slowly loses its oldest steps, and says how many."""


class Stream:
    """Steps of one agent (or of all), as they happen; iterate over it, and ``close`` it."""

    def __init__(self, listeners: Listeners, agent: AgentId | None, *, words: bool = False) -> None:
        self._listeners = listeners
        self._agent = agent
        self._queue: asyncio.Queue[Step | None] = asyncio.Queue(STEPS_WAITING_MAX)
        self.lost = 0
        self.words = words

    def put(self, step: Step | None) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.lost += 1
        self._queue.put_nowait(step)

    def close(self) -> None:
        self._listeners.remove(self._agent, self)
        self.put(None)

    async def take(self, limit: int, wait_s: float) -> tuple[list[Step], bool]:
        """Up to ``limit`` steps, waiting for the first one at most ``wait_s``; and whether the stream is over."""
        steps: list[Step] = []
        try:
            async with asyncio.timeout(wait_s):
                step = await self._queue.get()
        except TimeoutError:
            return steps, False
        while step is not None:
            steps.append(step)
            if len(steps) >= limit or self._queue.empty():
                return steps, False
            step = self._queue.get_nowait()
        return steps, True

    async def __aiter__(self) -> AsyncIterator[Step]:
        while (step := await self._queue.get()) is not None:
            yield step


class Listeners:
    """Futures for receipts and answers by interrupt, streams by agent."""

    def __init__(self) -> None:
        self._receipts: dict[tuple[AgentId, InterruptId], list[asyncio.Future[Receipt]]] = {}
        self._answers: dict[tuple[AgentId, InterruptId], list[asyncio.Future[Answer]]] = {}
        self._said: dict[tuple[AgentId, InterruptId], list[str]] = {}
        self._streams: dict[AgentId | None, list[Stream]] = defaultdict(list)

    # --- receipts

    def receipt(self, agent: AgentId, interrupt_id: InterruptId) -> asyncio.Future[Receipt]:
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._receipts.setdefault((agent, interrupt_id), []).append(future)
        return future

    def give_receipt(self, agent: AgentId, interrupt_id: InterruptId, receipt: Receipt) -> None:
        for future in self._receipts.pop((agent, interrupt_id), ()):
            if not future.done():
                future.set_result(receipt)

    # --- answers

    def answer(self, agent: AgentId, interrupt_id: InterruptId) -> asyncio.Future[Answer]:
        """The answer to an interrupt; ask for it before sending the interrupt."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers.setdefault((agent, interrupt_id), []).append(future)  # one each: they may be cancelled alone
        return future

    def drop_answer(self, agent: AgentId, interrupt_id: InterruptId, future: asyncio.Future[Answer]) -> None:
        """This one is not waited for any more."""
        key = (agent, interrupt_id)
        futures = self._answers.get(key, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._answers.pop(key, None)
            self._said.pop(key, None)

    def say(self, agent: AgentId, interrupt_id: InterruptId, text: str) -> None:
        if (agent, interrupt_id) in self._answers:
            self._said.setdefault((agent, interrupt_id), []).append(text)

    def end(self, agent: AgentId, ended: ChainEnded) -> None:
        futures = self._answers.pop((agent, ended.cause), ())
        said = self._said.pop((agent, ended.cause), [])
        for future in futures:
            if not future.done():
                future.set_result(Answer("\n".join(said), ended.outcome, ended.steps, ended.message, ended.page_id))

    def fail(self, agent: AgentId, error: Exception) -> None:
        """Everybody who waits for this agent gets the error."""
        waiting: list[asyncio.Future[Any]] = []
        for key in [key for key in self._receipts if key[0] == agent]:
            waiting += self._receipts.pop(key)
        for key in [key for key in self._answers if key[0] == agent]:
            waiting += self._answers.pop(key)
            self._said.pop(key, None)
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever asked may have left: that is no cause for a warning

    def fail_all(self, error: Exception) -> None:
        """Everybody who still waits gets the error: no agent will answer any more."""
        for agent in {key[0] for key in (*self._receipts, *self._answers)}:
            self.fail(agent, error)

    # --- streams

    def stream(self, agent: AgentId | None, *, words: bool = False) -> Stream:
        """With ``words`` it also has the words of replies while they are made, which may be withdrawn."""
        stream = Stream(self, agent, words=words)
        self._streams[agent].append(stream)
        return stream

    def remove(self, agent: AgentId | None, stream: Stream) -> None:
        streams = self._streams.get(agent, [])
        if stream in streams:
            streams.remove(stream)
        if not streams:
            self._streams.pop(agent, None)

    def close_streams(self, agent: AgentId) -> None:
        """The agent has left: its streams go on where it is."""
        for stream in list(self._streams.get(agent, ())):
            stream.close()

    def is_watched(self, agent: AgentId) -> bool:
        return bool(self._streams) and (agent in self._streams or None in self._streams)

    def hears_words(self, agent: AgentId) -> bool:
        return self.is_watched(agent) and any(stream.words for stream in self._of(agent))

    def _of(self, agent: AgentId) -> tuple[Stream, ...]:
        return (*self._streams.get(agent, ()), *self._streams.get(None, ()))

    def show(self, step: Step) -> None:
        for stream in self._of(step.agent):
            if stream.words or step.kind not in (WORDS, WITHDRAWN):
                stream.put(step)

    def close(self) -> None:
        for streams in list(self._streams.values()):
            for stream in list(streams):
                stream.close()
