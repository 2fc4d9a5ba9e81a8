"""The host's shell around its lease book: it talks to the scheduler whenever the book says so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import structlog

from pagefault.cluster.wire import pack, unpack
from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.models.budget.core import BudgetCore
from pagefault.runtime.models.budget.gate import Gate, monotonic_ms
from pagefault.runtime.models.budget.leased import LeaseBook, LeasedCapacity
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.models.budget.spend import Spend

RETRY_S = 0.2
Exchange = Callable[[bytes], Awaitable[bytes]]
log = structlog.get_logger(__name__)


class LeasedGate:
    """A gate whose capacities are leases.  ``exchange`` carries a packed message to the scheduler's ledger and
    back; it may raise a :class:`~pagefault.runtime.errors.PagefaultError`, or one of ``lost``."""

    def __init__(self, plan: Plan, host: str, exchange: Exchange, lost: tuple[type[BaseException], ...] = ()) -> None:
        core = BudgetCore(plan, Spend(plan.settings, leased=True), LeasedCapacity)
        # A host that is started again under its name is another one: what the old one was lent is not its own.
        self._book = LeaseBook(core, f"{host}-{os.urandom(4).hex()}")
        self.gate = Gate(core, changed=self._look)
        self._exchange = exchange
        self._lost: tuple[type[BaseException], ...] = (PagefaultError, *lost)
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def _look(self) -> None:
        """Begin an exchange now or when it is due, unless one is under way."""
        if self._closed or self._task is not None:
            return
        due_ms = self._book.due_ms(monotonic_ms())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_ms is not None:
            delay_s = max(0.0, due_ms - monotonic_ms()) / 1_000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _begin(self) -> None:
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._talk(), name="pagefault-budget-lease")
            self._task.add_done_callback(self._talked)

    async def _talk(self) -> None:
        answer = None
        try:
            answer = unpack(await self._exchange(pack(self._book.message(monotonic_ms()))))
        except self._lost as error:
            log.warning("lease_failed", problem=str(error))
            await asyncio.sleep(RETRY_S)
        if answer is not None:
            self._book.take(monotonic_ms(), answer)

    def _talked(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() or self._closed:
            return
        error = task.exception()
        if error is not None:  # a bug: said, and tried again by the next call that comes
            log.error("lease_broken", problem=f"{type(error).__name__}: {error}")
            return
        self.gate.pump()

    async def close(self) -> None:
        """Say nothing more; what was lent runs out by itself."""
        self._closed = True
        self.gate.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
