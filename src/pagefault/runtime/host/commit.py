"""The committer: what entered agents becomes durable, in groups; only then do gated effects happen.

While one group is being written, the next gathers: the busier a host, the larger its groups.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from pagefault.runtime.errors import InternalError, PagefaultError, StaleEpoch, StoreError, StoreUnavailable
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.services import Stores
from pagefault.runtime.kernel.effects import AnyEffect
from pagefault.runtime.store.protocols import Append

GROUP_MAX = 512
"""Agents in one transaction."""
SNAPSHOT_GROUP_MAX = 64
TAIL_RECORDS_MAX = 2048
"""A snapshot is taken after so many records though the agent took few steps (it was refused things, say)."""

log = structlog.get_logger(__name__)

Perform = Callable[[Frame, int, AnyEffect], None]


class Committer:
    """Commits frames of one host, and saves their snapshots."""

    def __init__(
        self,
        stores: Stores,
        perform: Perform,
        fail: Callable[[Frame, Exception], None],
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        self._stores = stores
        self._perform = perform
        self._fail = fail
        self._flush = flush
        self._due: dict[Frame, None] = {}
        self._snapshots: dict[Frame, None] = {}
        self._task: asyncio.Task[None] | None = None
        self.groups = 0
        self.records = 0

    def due(self, frame: Frame) -> None:
        """Something entered this frame."""
        self._due[frame] = None
        self._start()

    def snapshot_due(self, frame: Frame) -> None:
        """Save this frame's snapshot as soon as all that entered it is committed and archived."""
        self._snapshots[frame] = None
        self._start()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="pagefault-committer")

    async def settled(self) -> None:
        """Return when nothing is left to commit."""
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        while self._due or self._snapshots:
            while self._due:
                await self._commit_group()
            if self._snapshots:
                await self._save_snapshots()

    async def _commit_group(self) -> None:
        frames = list(self._due)[:GROUP_MAX]
        for frame in frames:
            del self._due[frame]
        frames = [frame for frame in frames if frame.broken is None and not frame.is_committed]
        if not frames:
            return
        taken = [frame.take_append() for frame in frames]
        self.groups += 1
        self.records += sum(len(append.records) for append, _ in taken)
        results = await self._append([append for append, _ in taken])
        for frame, (_, gated), error in zip(frames, taken, results, strict=True):
            frame.settle_append()
            if frame.broken is not None:
                continue
            if error is not None:
                self._fail(frame, error)
                continue
            self._perform_all(frame, gated)
            if not frame.is_committed:
                self._due[frame] = None
            if frame.next_seq - 1 - frame.snapshot_seq >= TAIL_RECORDS_MAX:
                self._snapshots[frame] = None

    def _perform_all(self, frame: Frame, gated: list[tuple[int, AnyEffect]]) -> None:
        try:
            for seq, effect in gated:
                self._perform(frame, seq, effect)
        except Exception as error:  # noqa: BLE001 - one agent's trouble must not stop the commits of all others
            log.error("perform_failed", agent=frame.id, problem=str(error))
            self._fail(frame, error if isinstance(error, PagefaultError) else InternalError(f"{frame.id}: {error!r}"))

    async def _append(self, group: list[Append]) -> list[Exception | None]:
        try:
            return await self._stores.append(group)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, these records are not committed and say so
            log.error("commit_failed", agents=len(group), problem=str(error))
            failure = error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"cannot append: {error}")
            return [failure] * len(group)

    async def _save_snapshots(self) -> None:
        """A snapshot stands for everything before it, so all of that is archived first."""
        frames = list(self._snapshots)[:SNAPSHOT_GROUP_MAX]
        for frame in frames:
            del self._snapshots[frame]
        try:
            await self._flush()
        except StoreError as error:  # the journal has it all; the next good moment for a snapshot will come
            log.warning("snapshots_put_off", agents=len(frames), problem=str(error))
            return
        group = []
        saved = []
        for frame in frames:
            if frame.broken is not None:
                continue
            if not frame.is_committed:
                self._snapshots[frame] = None  # more has entered meanwhile: after the next commit
                continue
            group.append(Append(frame.id, frame.epoch, frame.next_seq, (), frame.snapshot()))
            saved.append(frame)
            frame.is_committing = True
        if not group:
            await asyncio.sleep(0)
            return
        for frame, append, outcome in zip(saved, group, await self._append(group), strict=True):
            frame.settle_append()
            if isinstance(outcome, StaleEpoch):
                self._fail(frame, outcome)
            elif outcome is not None:
                log.warning("snapshot_failed", agent=frame.id, problem=str(outcome))
            else:
                frame.snapshot_seq = append.first_seq - 1
            if not frame.is_committed:
                self._due[frame] = None
