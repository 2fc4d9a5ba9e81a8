"""The committer: what entered agents becomes durable, in groups; only then do gated effects happen.

While one group is being written, the next gathers: the busier a host, the larger its groups.  Snapshots have a
task of their own, because each waits for the archive and commits must not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from pagefault.runtime.errors import InternalError, PagefaultError, StaleEpoch, StoreError, StoreUnavailable
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.services import Stores
from pagefault.runtime.host.telemetry.host_meter import HostMeter
from pagefault.runtime.kernel.effects import AnyEffect
from pagefault.runtime.store.protocols import Append

GROUP_MAX = 512
"""Agents in one transaction."""
SNAPSHOT_GROUP_MAX = 64
COMMITTED = "pagefault_journal_commit_seconds"
TAIL_RECORDS_MAX = 2048
"""A snapshot is taken after so many records though the agent took few steps (it was refused things, say)."""
TAIL_RECORDS_A_STEP = 4
"""The same after so many records for each step that the agent's own snapshots are apart: one was due, and did not
come about.  Where processes die again and again before they have saved any, each life would have more to live again
than the last one."""

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
        rested: Callable[[Frame], None],
        *,
        meter: HostMeter | None = None,
    ) -> None:
        self._stores = stores
        self._perform = perform
        self._fail = fail
        self._flush = flush
        self._rested = rested
        self._meter = meter
        self._due: dict[Frame, None] = {}
        self._snapshots: dict[Frame, None] = {}
        self._put_off: set[Frame] = set()  # wait for a commit, then for their snapshot
        self._awaited: dict[Frame, asyncio.Future[None]] = {}
        self._commits: asyncio.Task[None] | None = None
        self._saves: asyncio.Task[None] | None = None
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

    async def save(self, frames: Iterable[Frame]) -> None:
        """Try to save snapshots of these frames now, and return when that has ended, one way or the other."""
        ends: list[asyncio.Future[None]] = []
        for frame in frames:
            if frame not in self._awaited:
                self._awaited[frame] = asyncio.get_running_loop().create_future()
            ends.append(self._awaited[frame])
            self.snapshot_due(frame)
        if ends:
            await asyncio.wait(ends)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._due and (self._commits is None or self._commits.done()):
            self._commits = loop.create_task(self._run(), name="pagefault-committer")
        if self._snapshots and (self._saves is None or self._saves.done()):
            self._saves = loop.create_task(self._save(), name="pagefault-snapshots")

    async def settled(self) -> None:
        """Return when nothing is left to commit or to save."""
        while running := [task for task in (self._commits, self._saves) if task is not None and not task.done()]:
            await asyncio.wait(running)

    async def _run(self) -> None:
        while self._due:
            await self._commit_group()

    async def _save(self) -> None:
        while self._snapshots:
            frames = list(self._snapshots)[:SNAPSHOT_GROUP_MAX]
            for frame in frames:
                del self._snapshots[frame]
            try:
                await self._save_snapshots(frames)
            finally:
                for frame in frames:
                    end = self._awaited.pop(frame, None)
                    if end is not None and not end.done():
                        end.set_result(None)

    def _settle(self, frame: Frame) -> None:
        """An append of this frame has ended: what waited for that goes on."""
        frame.settle_append()
        if frame in self._put_off:
            self._put_off.discard(frame)
            self._snapshots[frame] = None
        if frame.has_records:
            self._due[frame] = None
        self._start()

    async def _commit_group(self) -> None:
        frames = list(self._due)[:GROUP_MAX]
        for frame in frames:
            del self._due[frame]
            if frame.broken is not None:
                self._put_off.discard(frame)
        # One append of a frame at a time: whose snapshot is being saved has its turn after that.
        frames = [frame for frame in frames if frame.broken is None and frame.has_records and not frame.is_committing]
        if not frames:
            return
        taken = [frame.take_append() for frame in frames]
        self.groups += 1
        self.records += sum(len(append.records) for append, _ in taken)
        failpoint("host.append.taken")
        appended = self._append([append for append, _ in taken])
        if self._meter is not None:
            self._meter.stirred(frames)
            appended = self._meter.timed(COMMITTED, appended)
        results = await appended
        failpoint("host.append.settled")
        for frame, (_, gated), error in zip(frames, taken, results, strict=True):
            self._settle(frame)
            if frame.broken is not None:
                continue
            if error is not None:
                self._fail(frame, error)
                continue
            self._perform_all(frame, gated)
            failpoint("host.effects.performed")
            if frame.tail_records >= min(TAIL_RECORDS_MAX, TAIL_RECORDS_A_STEP * frame.snapshot_steps):
                self.snapshot_due(frame)
            self._rested(frame)

    def _perform_all(self, frame: Frame, gated: list[tuple[int, AnyEffect]]) -> None:
        try:
            for seq, effect in gated:
                self._perform(frame, seq, effect)
        except Exception as error:  # noqa: BLE001 - one agent's trouble must not stop the commits of all others
            log.error("perform_failed", agent=frame.id, epoch=frame.epoch, problem=str(error))
            self._fail(frame, error if isinstance(error, PagefaultError) else InternalError(f"{frame.id}: {error!r}"))

    async def _append(self, group: list[Append]) -> list[Exception | None]:
        try:
            return await self._stores.append(group)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, these records are not committed and say so
            log.error("commit_failed", agents=len(group), problem=str(error))
            failure = error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"cannot append: {error}")
            return [failure] * len(group)

    async def _save_snapshots(self, frames: list[Frame]) -> None:
        """A snapshot stands for everything before it, so all of that is archived first.

        Each is taken before the archive is asked, and its frame commits nothing more until it is saved: what
        enters meanwhile is neither in the snapshot nor in the archive.
        """
        taken = [(frame, append) for frame in frames if (append := self._take_snapshot(frame)) is not None]
        if not taken:
            return
        failpoint("host.snapshot.taken")
        try:
            await self._flush()
        except StoreError as error:  # the journal has it all; the next good moment for a snapshot will come
            log.warning("snapshots_put_off", agents=len(taken), problem=str(error))
            for frame, _ in taken:
                self._settle(frame)
            return
        failpoint("host.snapshot.flushed")
        results = await self._append([append for _, append in taken])
        failpoint("host.snapshot.saved")
        for (frame, append), outcome in zip(taken, results, strict=True):
            self._settle(frame)
            if isinstance(outcome, StaleEpoch):
                self._fail(frame, outcome)
            elif outcome is not None:
                log.warning("snapshot_failed", agent=frame.id, epoch=frame.epoch, problem=str(outcome))
            else:
                frame.snapshot_seq = append.first_seq - 1
            self._rested(frame)

    def _take_snapshot(self, frame: Frame) -> Append | None:
        if frame.broken is not None:
            return None
        if not frame.is_committed:
            self._put_off.add(frame)  # more has entered meanwhile: after the next commit
            return None
        frame.tried_seq = frame.next_seq - 1
        try:
            snapshot = frame.snapshot()
        except InternalError as error:  # too large, say: the journal has it all, only waking takes longer
            log.error("no_snapshot", agent=frame.id, epoch=frame.epoch, problem=str(error))
            return None
        frame.is_committing = True
        return Append(frame.id, frame.epoch, frame.next_seq, (), snapshot, frame.wake_ms())
