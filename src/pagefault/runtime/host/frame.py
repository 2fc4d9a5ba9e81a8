"""A frame: the place of one resident agent in a host."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from pagefault.runtime.functions.registry import AgentFunctions
from pagefault.runtime.host.records import CODEC
from pagefault.runtime.host.services import Owner
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import AnyEffect
from pagefault.runtime.kernel.events import Event
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.values import AgentId, CallId


class Frame:
    """One resident agent: its kernel, events not yet handled, records not yet committed, calls under way."""

    __slots__ = (
        "_committed",
        "_records",
        "broken",
        "epoch",
        "functions",
        "gated",
        "inbox",
        "is_committing",
        "is_ready",
        "next_seq",
        "owner",
        "state",
        "tasks",
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
        self.broken: Exception | None = None
        self.is_ready = False
        self.is_committing = False
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

    def settle_append(self) -> None:
        """The append that was taken has ended, one way or the other."""
        self.is_committing = False
        if self._committed is not None and not self._records:
            self._committed.set()
            self._committed = None

    async def committed(self) -> None:
        """Return when everything that has entered so far is in the journal (or the frame is broken)."""
        while not self.is_committed and self.broken is None:
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
