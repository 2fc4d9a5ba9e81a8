"""The data path between agents: batches by host, places cached, the scheduler asked only on a miss."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.batches import pack_parcels, unpack_answers
from pagefault.cluster.outbox import Lane, Outbox, Parcel, Run, size_of
from pagefault.cluster.places import (
    LOST,
    PAUSE_MAX_S,
    PAUSE_S,
    REDIRECTS_TRUSTED,
    TRIES_MAX,
    HostLostError,
    Places,
    fail_future,
)
from pagefault.cluster.settings import FleetSettings
from pagefault.cluster.wire import unpack_error
from pagefault.runtime.errors import InternalError, Overloaded, PagefaultError, StaleEpoch, StoreUnavailable
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.moving import MovedError
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.host.routing import carry
from pagefault.runtime.values import AgentId, Interrupt, Priority

BATCHES_IN_FLIGHT = 2
"""Calls of one host at a time: the busier it is, the larger they get.  Those that take long do not count."""
SLOW_S = 0.05
WAITING_MAX = 100_000
WAITING_BYTES_MAX = 256 * 2**20
"""What one router holds for others; beyond that it refuses."""
RETRY_AFTER_MS = 500

__all__ = ["LOST", "ClusterRouter", "HostLostError"]

log = structlog.get_logger(__name__)


class ClusterRouter(Places):
    """Delivers interrupts to agents wherever they are; used by hosts and by drivers.

    Sending again is harmless: agents remember the ids of what they have accepted.  Interrupts for one agent at one
    priority arrive in the order in which :meth:`deliver` was called, also when the agent moves meanwhile.
    """

    def __init__(self, settings: FleetSettings, clock: Clock, host_name: str = "") -> None:
        super().__init__(settings, clock)
        self._own = host_name
        self._name = host_name or f"driver-{os.urandom(6).hex()}"
        self.host: Host | None = None
        self._outboxes: dict[str, Outbox] = {}
        self._lanes: dict[tuple[AgentId, Priority], Lane] = {}
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._carrying: dict[tuple[AgentId, AgentId, Priority], asyncio.Task[bool]] = {}

    # --- delivery

    async def deliver(self, agent: AgentId, interrupt: Interrupt) -> Receipt:
        """Hand over one interrupt; returns when it is accepted for good, or refused.

        Raises what :meth:`pagefault.runtime.host.host.Host.deliver` raises, and ``Overloaded`` when too much
        waits here already, or its host was lost again and again.
        """
        size_bytes = size_of(interrupt)
        if self._waiting >= WAITING_MAX or self._waiting_bytes + size_bytes > WAITING_BYTES_MAX:
            raise Overloaded(f"{agent}: {self._waiting} interrupts wait here to be sent", RETRY_AFTER_MS)
        parcel = Parcel(agent, interrupt, asyncio.get_running_loop().create_future(), size_bytes)
        self._waiting += 1
        self._waiting_bytes += size_bytes
        try:
            key = (agent, interrupt.priority)
            lane = self._lanes.get(key)
            if lane is not None:
                lane.waiting.append(parcel)  # it is on its way, or waits for its turn
            else:
                lane = self._lanes[key] = Lane(agent, interrupt.priority)
                lane.waiting.append(parcel)
                self._dispatch(lane)
            return await parcel.receipt
        finally:
            self._waiting -= 1
            self._waiting_bytes -= size_bytes

    def _dispatch(self, lane: Lane) -> None:
        """Bring a lane to the outbox of its agent's host."""
        if self._is_closed:
            self._refuse(lane, StoreUnavailable("this router was closed"))
            return
        place = self._places.get(lane.agent)
        if place is None:
            _ = self._spawn(self._find(lane))
            return
        outbox = self._outboxes.get(place)
        if outbox is None:
            outbox = self._outboxes[place] = Outbox(place)
            if place == self._own:  # what waits for a frame of this process takes no room elsewhere
                outbox.window, outbox.window_bytes = WAITING_MAX, WAITING_BYTES_MAX
        outbox.put(lane)
        self._pump(outbox)

    async def _find(self, lane: Lane, pause_s: float = 0.0) -> None:
        try:
            if pause_s:
                await asyncio.sleep(pause_s)
            await self.locate(lane.agent)
        except Exception as error:  # noqa: BLE001 - whoever waits for these parcels must hear of it
            self._refuse(lane, error)
            return
        self._dispatch(lane)

    def _refuse(self, lane: Lane, error: Exception) -> None:
        """Nothing of this lane can be sent now."""
        self._lanes.pop((lane.agent, lane.priority), None)
        for parcel in lane.waiting:
            fail_future(parcel.receipt, error)

    def _pump(self, outbox: Outbox) -> None:
        if outbox.senders < BATCHES_IN_FLIGHT and not outbox.is_empty:
            outbox.senders += 1
            _ = self._spawn(self._send(outbox))

    async def _send(self, outbox: Outbox) -> None:
        """Send batches until nothing is left, or nothing may be sent."""
        loop = asyncio.get_running_loop()
        counts = True

        def is_slow() -> None:
            """Somebody in the batch waits for a frame, say: others go on."""
            nonlocal counts
            counts = False
            outbox.senders -= 1
            self._pump(outbox)

        try:
            await asyncio.sleep(0)  # gather what is sent in the same turn
            while runs := outbox.take():
                slow = loop.call_later(SLOW_S, is_slow)
                try:
                    await self._send_batch(outbox, runs)
                finally:
                    slow.cancel()
                    outbox.senders += not counts
                    counts = True
        finally:
            outbox.senders -= 1
            if not outbox.under_way:  # or else whoever is under way goes on when its credit is back
                self._pump(outbox)

    async def _send_batch(self, outbox: Outbox, runs: list[Run]) -> None:
        credit: tuple[int, int] | None = None
        parcels = [parcel for run in runs for parcel in run.parcels]
        results: Sequence[Receipt | Exception] = []
        try:
            if outbox.host == self._own and self.host is not None:
                results = await self._hand_over(self.host, parcels)
            elif parcels:
                results, credit = await self._call_host(outbox.host, parcels)
        except LOST:
            results = [HostLostError(outbox.host)] * len(parcels)
            await self._lost_quietly(outbox.host)
            for lane in outbox.lanes():  # what waits for it need not find out one by one
                self._dispatch(lane)
        except asyncio.CancelledError:
            results = [StoreUnavailable("this router was closed")] * len(parcels)
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits for these parcels must hear of it
            results = [error] * len(parcels)
        finally:
            outbox.settled(runs, credit)
            place = 0
            for run in runs:
                self._settle(run, results[place : place + len(run.parcels)])
                place += len(run.parcels)

    async def _hand_over(self, host: Host, parcels: list[Parcel]) -> list[Receipt | Exception]:
        """The same for agents of this process."""
        for parcel in parcels:
            if parcel.insists:
                host.moving.arrived([parcel.agent])
        found = await asyncio.gather(
            *(host.deliver(parcel.agent, parcel.interrupt) for parcel in parcels), return_exceptions=True
        )
        return [_result(each) for each in found]

    async def _call_host(
        self, name: str, parcels: list[Parcel]
    ) -> tuple[list[Receipt | Exception], tuple[int, int] | None]:
        handle = await self.started(name)
        data = pack_parcels([parcel.agent for parcel in parcels], [parcel.interrupt for parcel in parcels])
        insisting = sorted({str(parcel.agent) for parcel in parcels if parcel.insists})
        packed, count, size_bytes = await _ray.call(handle, "deliver", data, self._name, insisting)
        answers = unpack_answers(packed)
        if len(answers) != len(parcels):
            raise InternalError(f"{name} answered {len(answers)} of {len(parcels)} interrupts")
        return [each if isinstance(each, Receipt) else unpack_error(each) for each in answers], (count, size_bytes)

    def _settle(self, run: Run, results: Sequence[Receipt | Exception]) -> None:
        """Receipts for who waits; what has to go elsewhere goes back to the front of its lane."""
        lane = run.lane
        again: list[Parcel] = []
        why: Exception | None = None
        for parcel, result in zip(run.parcels, results, strict=True):
            if isinstance(result, Receipt):
                if not parcel.receipt.done():
                    parcel.receipt.set_result(result)
            elif not isinstance(result, HostLostError | StaleEpoch):
                fail_future(parcel.receipt, result)
            elif parcel.tries >= TRIES_MAX:
                fail_future(
                    parcel.receipt, Overloaded(f"{lane.agent}: its host was lost {parcel.tries} times in a row")
                )
            else:
                parcel.tries += 1
                again.append(parcel)
                why = why or result
        lane.put_back(again)
        if why is None:
            if lane.waiting:
                self._dispatch(lane)
            else:
                self._lanes.pop((lane.agent, lane.priority), None)
            return
        self._redirect(lane, again[0], why)

    def _redirect(self, lane: Lane, first: Parcel, why: Exception) -> None:
        """Another host has the agent: the one that its old host named, or the scheduler knows.  The more often
        that happens to a parcel, the longer it waits."""
        if isinstance(why, MovedError) and why.to and first.tries <= REDIRECTS_TRUSTED:
            self._places[lane.agent] = why.to
            self._dispatch(lane)
            return
        if isinstance(why, StaleEpoch):
            self.forget(lane.agent)
            first.insists = isinstance(why, MovedError)
        pause_s = 0.0 if first.tries == 1 else min(PAUSE_MAX_S, PAUSE_S * 2 ** (first.tries - 2))
        _ = self._spawn(self._find(lane, pause_s))

    async def _lost_quietly(self, host: str) -> None:
        try:
            await self.lost(host)
        except (PagefaultError, *_ray.ActorLost) as error:
            log.warning("scheduler_unreachable", problem=str(error))

    # --- from agent to agent

    def route(self, sender: AgentId, to: AgentId, interrupt: Interrupt) -> asyncio.Task[bool]:
        """See :class:`~pagefault.runtime.host.services.Router`.  What one agent sends another at one priority goes
        in order: each waits until the one before it is settled."""
        if self.host is None:
            raise InternalError("only the routers of hosts carry what agents send")
        key = (sender, to, interrupt.priority)
        work = partial(carry, self.deliver, self.host.bury, self._clock, sender, to, interrupt)
        task = self._carrying[key] = self._spawn(_after(self._carrying.get(key), work))

        def ended(done: asyncio.Task[bool]) -> None:
            if self._carrying.get(key) is done:
                del self._carrying[key]

        task.add_done_callback(ended)
        return task

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    async def close(self) -> None:
        """Stop sending; what was committed is routed again when its sender is next activated."""
        self._is_closed = True
        self.stop_asking()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            for parcel in lane.waiting:
                parcel.receipt.cancel()


async def _after(before: asyncio.Task[bool] | None, work: Callable[[], Awaitable[bool]]) -> bool:
    if before is not None:
        await asyncio.wait([before])
    return await work()


def _result(found: Receipt | BaseException) -> Receipt | Exception:
    if isinstance(found, Receipt | Exception):
        return found
    return InternalError(f"a delivery ended with {type(found).__name__}")
