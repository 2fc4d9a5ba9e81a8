"""A frame: the place of one resident agent in a host."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from pagefault.runtime.functions.registry import AgentFunctions
from pagefault.runtime.host.records import CODEC, UNSENT
from pagefault.runtime.host.services import Owner
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import AnyEffect, Send
from pagefault.runtime.kernel.events import Event
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.values import AgentId, CallId, InterruptId


class Frame:
    """One resident agent: its kernel, events not yet handled, records not yet committed, calls under way."""

    __slots__ = (
        "_committed",
        "_durable_seq",
        "_records",
        "broken",
        "epoch",
        "functions",
        "gated",
        "given_up",
        "inbox",
        "is_committing",
        "is_ready",
        "next_seq",
        "owner",
        "snapshot_seq",
        "state",
        "tasks",
        "unsent",
    )

    def __init__(self, state: AgentState, functions: AgentFunctions, epoch: int, next_seq: int) -> None:
        definition = state.definition
        self.state = state
        self.functions = functions
        self.owner = Owner(definition.tenant, definition.id, definition.spaces)
        self.epoch = epoch
        self.next_seq = next_seq
        self.inbox: deque[Event] = deque()
        self.gated: list[tuple[int, AnyEffect]] = []
        self.tasks: dict[CallId, asyncio.Task[Any]] = {}
        self.given_up: set[CallId] = set()  # cancelled before they could begin: they must not begin any more
        self.unsent: dict[InterruptId, Send] = {}  # durable here, not yet accepted where they go
        self.broken: Exception | None = None
        self.is_ready = False
        self.is_committing = False
        self.snapshot_seq = next_seq - 1
        self._durable_seq = next_seq - 1
        self._records: list[bytes] = []
        self._committed: asyncio.Event | None = None

    @property
    def id(self) -> AgentId:
        return self.owner.agent

    @property
    def is_committed(self) -> bool:
        """Whether everything that entered is in the journal."""
        return not self._records and not self.is_committing

    @property
    def is_at_rest(self) -> bool:
        return self.is_committed and not self.inbox and not self.tasks

    def handle(self, event: Event) -> list[AnyEffect]:
        """Let the kernel take an event; its record and gated effects wait for the commit."""
        effects = self.state.handle(event)
        seq = self.next_seq + len(self._records)
        self._records.append(CODEC.encode(event))
        for effect in effects:
            if effect.gated:
                self.gated.append((seq, effect))
        return effects

    def take_append(self) -> tuple[Append, list[tuple[int, AnyEffect]]]:
        """What is to be committed now, and the effects to perform after it."""
        append = Append(self.id, self.epoch, self.next_seq, tuple(self._records))
        gated = self.gated
        self.next_seq += len(self._records)
        self._records = []
        self.gated = []
        self.is_committing = True
        return append, gated

    def snapshot(self) -> bytes:
        """The agent as it is now, with the messages of its past that may not have arrived: after this snapshot
        nothing else would know of them."""
        unsent = [[send.cause, send.to, send.interrupt] for send in self.unsent.values()]
        return CODEC.encode({**self.state.dump(), UNSENT: unsent})

    def settle_append(self) -> None:
        """The append that was taken has ended, one way or the other."""
        self.is_committing = False
        self._durable_seq = self.next_seq - 1
        if self._committed is not None:
            self._committed.set()
            self._committed = None

    async def committed(self) -> None:
        """Return when everything that has entered so far is in the journal (or the frame is broken).

        What enters later is not waited for: an agent that is spoken to without pause would wait for ever.
        """
        last_seq = self.next_seq + len(self._records) - 1
        while self._durable_seq < last_seq and self.broken is None:
            if self._committed is None:
                self._committed = asyncio.Event()
            await self._committed.wait()

    def break_off(self, error: Exception) -> None:
        """This activation is over: nothing more of it may take effect."""
        self.broken = error
        self.inbox.clear()
        self.gated.clear()
        self._records.clear()
        for task in self.tasks.values():
            task.cancel()
        self.tasks.clear()
        if self._committed is not None:
            self._committed.set()
            self._committed = None
