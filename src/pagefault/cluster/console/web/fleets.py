"""Which fleet the page shows: one that runs here, one that runs elsewhere, or the stores of one that does not run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pagefault.cluster import _ray
from pagefault.cluster.api import Cluster
from pagefault.cluster.console.reach import Which, does_run
from pagefault.cluster.whereabouts import answers
from pagefault.runtime.errors import ConfigError, PagefaultError, StoreUnavailable
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.host.survey import survey_folder
from pagefault.runtime.store.open import JOURNAL_FILE, shard_count, shard_folder

LINGER_S = 3.0
"""How long stores stay open after a look into them: the next click is answered at once, and a run can begin soon."""
SURVEY_S = 15.0
PROBE_S = 1.0
LIVE, STORES, NOTHING = "live", "stores", "nothing"


@dataclass(frozen=True, slots=True)
class Seen:
    """A survey.  ``mode``: ``live``, ``stores`` (of a fleet that does not run) or ``nothing``; ``problem`` says in a
    sentence why less is seen than was asked for."""

    rows: Sequence[AgentRow]
    title: str
    mode: str
    at_ms: int
    problem: str = ""


class Shown(Protocol):
    """A fleet as the page needs it."""

    async def survey(self) -> Seen:
        """Raises nothing of ours: what is wrong is said in the answer."""

    def reading(self) -> AbstractAsyncContextManager[Cluster | Local]:
        """The fleet to read from, for a moment.  Raises :class:`~pagefault.runtime.errors.PagefaultError`."""

    def controlled(self) -> Cluster | Local:
        """The fleet, if it runs.  Raises :class:`~pagefault.runtime.errors.ConfigError` otherwise."""

    async def close(self) -> None: ...


class OwnFleet:
    """A fleet of this process, which is somebody else's to stop."""

    def __init__(self, fleet: Cluster | Local, title: str) -> None:
        self._fleet = fleet
        self._title = title
        self._clock = SystemClock()

    async def survey(self) -> Seen:
        return Seen(await self._fleet.survey(), self._title, LIVE, self._clock.now_ms())

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Cluster | Local]:
        yield self._fleet

    def controlled(self) -> Cluster | Local:
        return self._fleet

    async def close(self) -> None:
        """Nothing was opened here."""


class FoundFleet:
    """The fleet that a command line means: while it runs that one, else its stores, whichever there is at the moment.

    Stores are read when they have changed; they are open no longer than somebody reads, since a run needs them.
    """

    def __init__(self, which: Which) -> None:
        self._which = which
        self._clock = SystemClock()
        self._cluster: Cluster | None = None
        self._ray_address = ""
        self._local: Local | None = None
        self._readers = 0
        self._lingering: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()  # to join, leave, open and close
        self._stored: tuple[object, list[AgentRow]] | None = None

    async def survey(self) -> Seen:
        async with self._turn:
            try:
                if await self._joined() is not None:
                    return await self._survey_running()
            except PagefaultError as error:
                return self._nothing(error)
            return await self._survey_stores()

    async def _joined(self) -> Cluster | None:
        if self._cluster is not None and not await asyncio.to_thread(answers, self._ray_address):
            await self._leave()  # at once: Ray itself would try for a minute, and then end this process
        if self._cluster is None:
            fleet, _ = self._which.running()
            if fleet is not None and await does_run(fleet):
                self._cluster, self._ray_address = fleet, _ray.gcs_address()
                await self._close_stores()
        return self._cluster

    async def _survey_running(self) -> Seen:
        fleet = self._cluster
        assert fleet is not None
        try:
            rows = await self._patiently(fleet)
        except Exception as error:  # noqa: BLE001  # a fleet that is killed raises whatever Ray finds first
            await self._leave()
            return self._nothing(error)
        return Seen(rows, fleet.name, LIVE, self._clock.now_ms())

    async def _patiently(self, fleet: Cluster) -> list[AgentRow]:
        """A survey, for as long as somebody is there to answer it."""
        survey = asyncio.create_task(fleet.survey(), name="survey")
        try:
            async with asyncio.timeout(SURVEY_S):
                while not (await asyncio.wait({survey}, timeout=PROBE_S))[0]:
                    if not await asyncio.to_thread(answers, self._ray_address):
                        raise StoreUnavailable(f"the fleet {fleet.name} has ended")
            return await survey
        finally:
            survey.cancel()

    async def _survey_stores(self) -> Seen:
        folder, problem = self._folder, ""
        try:
            if self._local is None and (self._stored is None or self._stored[0] != self._state_of_stores(folder)):
                rows = await asyncio.to_thread(survey_folder, folder, "", self._which.journal)
                self._stored = (self._state_of_stores(folder), rows)
        except StoreUnavailable as error:
            if self._stored is None:
                return self._nothing(error)
            problem = str(error)  # somebody runs with them, whom nobody can ask: this is how it was before
        rows = [] if self._stored is None else self._stored[1]
        return Seen(rows, str(folder), STORES, self._clock.now_ms(), problem)

    @property
    def _folder(self) -> Path:
        return self._which.running()[1]

    def _state_of_stores(self, folder: Path) -> object:
        """Something that is another after each run that wrote to them."""
        files = [
            shard_folder(folder, shard) / JOURNAL_FILE for shard in range(shard_count(folder, self._which.journal))
        ]
        if not all(file.is_file() for file in files):  # a journal on a server says nothing so cheaply
            return object()
        logs = [log for file in files if (log := file.with_name(f"{file.name}-wal")).is_file()]
        return [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in (*files, *logs)]

    def _nothing(self, error: Exception) -> Seen:
        why = str(error) or type(error).__name__
        return Seen((), str(self._which.name or self._which.folder or ""), NOTHING, self._clock.now_ms(), why)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Cluster | Local]:
        async with self._turn:
            fleet: Cluster | Local = await self._joined() or await self._opened()
            self._readers += 1
        try:
            yield fleet
        finally:
            self._readers -= 1
            if not self._readers and self._local is not None:
                self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._end_lingering)

    async def _opened(self) -> Local:
        if self._lingering is not None:
            self._lingering.cancel()
        if self._local is None:
            local = self._which.open(self._folder, watch=False)
            await local.__aenter__()
            self._local = local
        return self._local

    def _end_lingering(self) -> None:
        task = asyncio.get_running_loop().create_task(self._close_unread(), name="closing stores")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_unread(self) -> None:
        async with self._turn:
            if not self._readers:
                await self._close_stores()

    async def _close_stores(self) -> None:
        local, self._local = self._local, None
        if local is not None:
            await local.stop()
            if self._stored is not None:  # opening and closing them was no run
                self._stored = (self._state_of_stores(self._folder), self._stored[1])

    def controlled(self) -> Cluster | Local:
        if self._cluster is None:
            raise ConfigError("fleet", self._which.name or str(self._folder), "a fleet that runs")
        return self._cluster

    async def _leave(self) -> None:
        fleet, self._cluster = self._cluster, None
        if fleet is not None:
            await fleet.leave()

    async def close(self) -> None:
        """Leave a fleet that runs on, and close stores that are open."""
        async with self._turn:
            await self._leave()
            await self._close_stores()
