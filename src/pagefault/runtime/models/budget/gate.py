"""The asyncio shell of the budget: calls wait here for their turn."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import structlog

from pagefault.runtime.errors import BudgetExceeded, ModelBusy, ModelError, ModelRefused, ModelUnavailable
from pagefault.runtime.models.budget.affinity import prefix_of
from pagefault.runtime.models.budget.calls import Ask, End, Grant, Refusal
from pagefault.runtime.models.budget.core import BudgetCore
from pagefault.runtime.models.budget.limits import Limits
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.models.budget.spend import Spend, run_statistics
from pagefault.runtime.values import ModelRequest, Priority

_log = structlog.get_logger("pagefault.budget")
SAID_EVERY_MS = 10_000.0
"""Limits that are hit all the time are said no more often."""


def monotonic_ms() -> float:
    """Time that never goes back."""
    return time.monotonic() * 1_000


class Gate:
    """One process's way to its endpoints.

    ``changed`` is called, on the loop, when calls have come to wait or have ended: whoever gets leases for this
    gate looks then.
    """

    def __init__(
        self, core: BudgetCore, now_ms: Callable[[], float] = monotonic_ms, changed: Callable[[], None] | None = None
    ) -> None:
        self.core = core
        self.now_ms = now_ms
        self.changed = changed
        self._numbers = itertools.count(1)
        self._waiters: dict[int, asyncio.Future[Grant]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._said_ms: dict[str, float] = {}

    async def enter(self, request: ModelRequest, model: str, only: str = "") -> Grant:
        """Wait until a call may go out.  Whoever has a grant must :meth:`leave`.

        Raises ``ModelBusy`` (the queue is full, or the wait was too long), ``ModelUnavailable`` (every endpoint
        is down), ``BudgetExceeded``, ``ModelRefused`` (the call is larger than what a minute allows).
        """
        ask = Ask(
            number=next(self._numbers),
            agent=str(request.agent),
            model=model,
            priority=max(Priority.OPERATOR, request.priority),
            prompt_tokens=request.prompt_tokens,
            reply_tokens=request.reply_tokens_max,
            prefix=prefix_of(request),
            only=only,
        )
        future: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        self._waiters[ask.number] = future
        self.core.ask(self.now_ms(), ask)
        self.pump()
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(ask.number, future)
            raise

    def _give_up(self, number: int, future: asyncio.Future[Grant]) -> None:
        self._waiters.pop(number, None)
        granted = future.done() and not future.cancelled() and future.exception() is None
        if granted:  # and cancelled in the same turn of the loop
            self.leave(number, End("unsent"))
        else:
            self.core.drop(number)
            self.pump()

    def leave(self, number: int, end: End) -> None:
        """A granted call is over."""
        self.core.end(self.now_ms(), number, end)
        if end.kind in ("busy", "down"):
            self._say(end.kind, retry_after_ms=end.retry_after_ms)
        self.pump()

    def promote(self, agent: str, priority: Priority) -> None:
        """Something of this priority waits for an agent: its calls that wait take that priority."""
        if self.core.promote(agent, priority):
            self.pump()

    def pump(self) -> None:
        """Let go whoever may go, and look again when that may change."""
        for decided in self.core.poll(self.now_ms()):
            future = self._waiters.pop(decided.number, None)
            if future is None or future.done():
                if isinstance(decided, Grant):  # its waiter was cancelled and has not run yet
                    self.core.end(self.now_ms(), decided.number, End("unsent"))
            elif isinstance(decided, Grant):
                future.set_result(decided)
            else:
                self._say(decided.kind, problem=decided.message)
                future.set_exception(_error(decided))
        self._set_timer()
        if self.changed is not None:
            self.changed()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        next_ms = self.core.next_ms(self.now_ms())
        if next_ms is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(1.0, next_ms - self.now_ms()) / 1_000, self.pump)

    def _say(self, what: str, **facts: object) -> None:
        now_ms = self.now_ms()
        if now_ms - self._said_ms.get(what, float("-inf")) >= SAID_EVERY_MS:
            self._said_ms[what] = now_ms
            _log.warning(f"budget_{what}", waiting=self.core.depth, **facts)

    def statistics(self) -> dict[str, dict[str, float]]:
        """What this process has sent and spent, where all limits are its own; the run alone where they are leased."""
        own = [each for each in self.core.capacities.values() if isinstance(each, Limits)]
        return run_statistics(self.core.spend.run, self.core.depth, own, self.now_ms())

    def close(self) -> None:
        """Let nobody go any more; who waits is cancelled by whoever owns it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def local_gate(plan: Plan, now_ms: Callable[[], float] = monotonic_ms) -> Gate:
    """The gate of a process that has all limits to itself."""
    return Gate(BudgetCore(plan, Spend(plan.settings), Limits), now_ms)


def _error(refusal: Refusal) -> ModelError:
    message = f"budget: {refusal.message}"
    if refusal.kind == "spent":
        return BudgetExceeded(message, attempts=0)
    if refusal.kind == "large":
        return ModelRefused(message, attempts=0)
    if refusal.kind == "down":
        return ModelUnavailable(message, attempts=0)
    again = f"{message}; try again in {refusal.retry_after_ms} ms"
    return ModelBusy(again, attempts=0, retry_after_ms=refusal.retry_after_ms)
