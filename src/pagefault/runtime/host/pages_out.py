"""Pages on their way to the archive: gathered, written in batches, in order."""

from __future__ import annotations

import asyncio

import structlog

from pagefault.runtime.errors import StoreError
from pagefault.runtime.host.services import Owner, Stores
from pagefault.runtime.host.telemetry.host_meter import HostMeter
from pagefault.runtime.values import Page, PageId

BATCH_PAGES = 128
WAIT_S = 0.02
WAITING_PAGES_MAX = 50_000
WRITTEN = "pagefault_archive_write_seconds"

log = structlog.get_logger(__name__)


class PageWriter:
    """The archive follows the journal a moment later; ``drain`` closes the gap.

    A batch that cannot be written is kept and tried again: the journal has those pages, so nothing is lost
    if the process ends first.
    """

    def __init__(self, stores: Stores, meter: HostMeter | None = None) -> None:
        self._stores = stores
        self._meter = meter
        self._waiting: list[tuple[Owner, Page, int]] = []
        self._forgotten: list[tuple[Owner, tuple[PageId, ...]]] = []
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self.written = 0

    @property
    def waiting(self) -> int:
        """Pages that the stores do not have yet."""
        return len(self._waiting)

    def add(self, owner: Owner, pages: tuple[Page, ...], seq: int) -> None:
        self._waiting.extend((owner, page, seq) for page in pages)
        if self._forgotten:  # what comes back is not to be forgotten after it is written
            fresh = {page.id for page in pages}
            self._forgotten = [
                (other, tuple(each for each in page_ids if other.agent != owner.agent or each not in fresh))
                for other, page_ids in self._forgotten
            ]
        if len(self._waiting) > WAITING_PAGES_MAX:
            log.warning("archive_behind", pages=len(self._waiting))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._later(), name="pagefault-pages")

    def forget(self, owner: Owner, page_ids: tuple[PageId, ...]) -> None:
        self._forgotten.append((owner, page_ids))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._later(), name="pagefault-pages")

    async def _later(self) -> None:
        pause_s = WAIT_S
        while self._waiting or self._forgotten:
            if len(self._waiting) < BATCH_PAGES:
                await asyncio.sleep(pause_s)
            try:
                await self.hand_over()
                pause_s = WAIT_S
            except StoreError as error:
                log.warning("archive_unavailable", problem=str(error), pages=len(self._waiting))
                pause_s = min(pause_s * 2, 5.0)
                await asyncio.sleep(pause_s)

    async def hand_over(self) -> None:
        """Give everything to the stores' own queue, in order: what is searched after this is found."""
        async with self._lock:
            while self._waiting:
                batch = self._waiting[: 8 * BATCH_PAGES]
                written = self._stores.write_pages(batch)
                await (written if self._meter is None else self._meter.timed(WRITTEN, written))
                del self._waiting[: len(batch)]
                self.written += len(batch)
            while self._forgotten:
                owner, page_ids = self._forgotten[0]
                await self._stores.forget(owner, page_ids)
                del self._forgotten[0]

    async def drain(self) -> None:
        """Return when every page added so far is in the archive.  Raises ``StoreUnavailable``."""
        await self.hand_over()
        await self._stores.flush()

    async def close(self) -> None:
        try:
            await self.drain()
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
