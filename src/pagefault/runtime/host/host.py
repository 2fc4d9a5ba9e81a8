"""A host: frames for resident agents, one pump that feeds them, one committer behind it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

import structlog

from pagefault.policies.tiers import Tier
from pagefault.runtime.errors import InternalError, PagefaultError, StaleEpoch, StoreError, StoreUnavailable
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.functions.executor import FunctionExecutor
from pagefault.runtime.host.answers import Answers
from pagefault.runtime.host.clock import Clock, SystemClock
from pagefault.runtime.host.commit import Committer
from pagefault.runtime.host.door import refused
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.inspection import inspect
from pagefault.runtime.host.listeners import Listeners
from pagefault.runtime.host.memory import give_back
from pagefault.runtime.host.moving import Moving
from pagefault.runtime.host.outgoing import Outgoing
from pagefault.runtime.host.page_cache import PageCache
from pagefault.runtime.host.pages_out import PageWriter
from pagefault.runtime.host.perform import Performer
from pagefault.runtime.host.records import AgentRow, Inspection, Receipt
from pagefault.runtime.host.residency import FrameSettings, Residency
from pagefault.runtime.host.secrecy import learn_secrets, without_secrets
from pagefault.runtime.host.services import FunctionRunner, Router, Stores
from pagefault.runtime.host.survey import row_of
from pagefault.runtime.host.suspects import Suspects
from pagefault.runtime.host.telemetry.host_meter import HostMeter
from pagefault.runtime.host.timers import Timers
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.host.waking import PAUSE_MAX_MS, PAUSE_MS, Waking
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.effects import AnyEffect
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt

VISIT_S = 0.05
"""Time for whoever had an agent activated to speak to it."""
RELAX_MS = 2_000
"""Between two looks for agents that rest."""
RELAXED_MANY = 32
"""Agents that came to rest since the last look, so that it is worth the while to return memory to the system."""
EVENTS_A_TURN = 64
"""Events handled before others on the loop get their turn."""

log = structlog.get_logger(__name__)


class Host:
    """Runs the agents that are resident in it.

    Interrupts come in by :meth:`deliver`; an agent that is not resident is activated first, under a new
    epoch.  ``listeners`` give receipts, answers and streams.  Functions that run as Ray tasks are given to
    ``far_runner``; without one they run here, like the others.  ``tiers`` are those below the contexts, the
    archive last.  ``frames`` limits how many agents are resident; the others are hibernated, and wake when an
    interrupt or a timer of theirs comes.  ``meter`` counts, if there is one.
    """

    def __init__(
        self,
        stores: Stores,
        workshop: Workshop,
        router: Router,
        clock: Clock | None = None,
        far_runner: FunctionRunner | None = None,
        *,
        tiers: Sequence[Tier] = (),
        frames: FrameSettings | None = None,
        meter: HostMeter | None = None,
    ) -> None:
        learn_secrets()
        self._stores = stores
        self.workshop = workshop
        self.meter = meter
        self._router = router
        self.clock: Clock = clock or SystemClock()
        self.listeners = Listeners()
        self.frames: dict[AgentId, Frame] = {}
        self.activating: dict[AgentId, asyncio.Task[Frame]] = {}
        self._survived: set[AgentId] = set()  # whose activation ended here, by no fault of its own
        self._failures: dict[AgentId, int] = {}  # in a row, of agents that broke
        self._ready: deque[Frame] = deque()
        self._relaxing: asyncio.Task[None] | None = None
        self._pumping = False
        self._closed = False
        self._is_virtual = isinstance(self.clock, VirtualClock)
        self._executor = FunctionExecutor(in_threads=not self._is_virtual)
        self.pages = PageWriter(stores, meter)
        self.residency = Residency(frames or FrameSettings(), self.clock, self.hibernate)
        self.waking = Waking(self.clock, self.frame)
        self._suspects = Suspects(self.clock, self.frames, self._go_on, lambda: self.waking.is_busy)
        self._timers = Timers(self.clock, self._ring)
        self.waking.use(self._timers)
        self.cache = PageCache(tiers)
        self._outgoing = Outgoing(
            stores=stores, router=router, clock=self.clock, listeners=self.listeners, feed=self.feed
        )
        self._performer = Performer(
            stores=stores,
            workshop=workshop,
            runners={"host": self._executor, "ray": far_runner or self._executor},
            outgoing=self._outgoing,
            clock=self.clock,
            listeners=self.listeners,
            pages=self.pages,
            timers=self._timers,
            cache=self.cache,
            feed=self.feed,
            snapshot=lambda frame: self.committer.snapshot_due(frame),  # noqa: PLW0108 - the committer is made below
            fail=self._fail,
            meter=meter,
        )
        self.committer = Committer(
            stores, self._perform_committed, self._fail, self.pages.drain, self._rested, meter=meter
        )
        self.answers = Answers(stores, workshop, self.listeners, self.frame, self.deliver)
        self.moving = Moving(
            frames=self.frames,
            activating=self.activating,
            committer=self.committer,
            listeners=self.listeners,
            waking=self.waking,
            give_up=self._take_frame,
        )

    # --- agents

    async def frame(self, agent: AgentId) -> Frame:
        """The agent's frame, activating it if it is not resident.

        Raises ``UnknownAgent``, ``StoreCorrupt``, ``StoreUnavailable``, ``Overloaded`` when all frames
        stay taken, and :class:`~pagefault.runtime.host.moving.MovedError` for one that has left this host.
        """
        frame = self.frames.get(agent)
        if frame is not None:
            return frame
        if self.moving.is_on:
            await self.moving.check(agent)
        if self._closed:
            raise StoreUnavailable("this host is stopping")
        task = self.activating.get(agent)
        if task is None:
            task = self.activating[agent] = asyncio.get_running_loop().create_task(self._activate(agent))
            task.add_done_callback(partial(self._activated, agent))
        return await asyncio.shield(task)

    def _activated(self, agent: AgentId, task: asyncio.Task[Frame]) -> None:
        del self.activating[agent]
        if not task.cancelled():
            task.exception()  # whoever asked may have left: that is no cause for a warning

    async def _activate(self, agent: AgentId) -> Frame:
        await self.residency.admit()
        try:
            activation = await self._stores.activate(agent)
            revived = self.workshop.revive(activation)
            failpoint("host.activate.revived")
        except BaseException:  # whatever it was, also a cancellation: the frame is free for others
            self.residency.refund()
            raise
        frame = Frame(revived.state, revived.functions, activation.epoch, revived.next_seq, activation.snapshot_seq)
        frame.is_careful = revived.crashed and agent not in self._survived
        self._survived.discard(agent)
        self.frames[agent] = frame
        self.residency.entered(frame)
        if self.meter is not None:
            self.meter.entered(frame)
        # In virtual time there is no resting: hours go by between two steps of the machine.
        if not self._is_virtual and (self._relaxing is None or self._relaxing.done()):
            self._relaxing = asyncio.get_running_loop().create_task(self._relax(), name="pagefault-relax")
        self.waking.awake(agent)
        for seq, effect in revived.redo:
            self._performer.perform(frame, seq, effect)
        if activation.snapshot is not None or activation.records:
            (self._suspects.recover if frame.is_careful else self._go_on)(frame)
        else:  # its first visitor is on the way; if that one gives up, nothing else would say that it is at rest
            asyncio.get_running_loop().call_later(VISIT_S, self._rested, frame)
        return frame

    def _go_on(self, frame: Frame) -> None:
        """Have an agent ask again for what was outstanding, after its record says that it is about to."""
        self.feed(frame, ev.Recovered(self.clock.now_ms(), frame.epoch, frame.is_careful))

    async def hibernate(self, agents: Sequence[AgentId]) -> None:
        """Save agents that are at rest and give up their frames.  Whoever is spoken to meanwhile stays; an agent
        that cannot be saved now stays, too."""
        frames = [frame for agent in agents if (frame := self.frames.get(agent)) is not None and frame.may_sleep]
        await self.committer.save(frame for frame in frames if frame.next_seq > 1)
        for frame in frames:
            is_saved = frame.snapshot_seq == frame.next_seq - 1
            if is_saved and frame.may_sleep and self.frames.get(frame.id) is frame:
                frame.is_away = True
                self._take_frame(frame, hibernated=True)
                self.waking.asleep(frame.id, frame.timer_ms())

    async def _relax(self) -> None:
        """Who has rested since the last look keeps less: its next step makes anew what that drops."""
        while self.frames:
            await self.clock.sleep_until(self.clock.now_ms() + RELAX_MS)
            relaxed = 0
            for frame in self.frames.values():
                if frame.seen_seq != frame.next_seq:
                    frame.seen_seq = frame.next_seq
                elif not frame.is_relaxed and frame.may_sleep:
                    frame.relax()
                    relaxed += 1
            if relaxed >= RELAXED_MANY:
                give_back()

    def _take_frame(self, frame: Frame, *, hibernated: bool = False) -> None:
        """This frame is not the agent's any more."""
        if self.frames.get(frame.id) is frame:
            del self.frames[frame.id]
            self.cache.drop(frame.id)
            self.residency.left(frame.id, hibernated=hibernated)
            if self.meter is not None:
                self.meter.left(frame)

    def _rested(self, frame: Frame) -> None:
        self.moving.rested(frame)
        if self._failures and frame.may_sleep:
            self._failures.pop(frame.id, None)
        if self.residency.is_on and frame.may_sleep and self.frames.get(frame.id) is frame:
            self.residency.rested(frame)

    async def release(self, agents: Sequence[AgentId]) -> None:
        """Save snapshots of resident agents and give up their frames.  Calls under way are broken off: the
        next activation asks for them again."""
        frames = [self.frames[agent] for agent in agents if agent in self.frames]
        for frame in frames:
            self.committer.snapshot_due(frame)
        await self.committer.settled()
        for frame in frames:
            self._take_frame(frame)
            error = StoreUnavailable(f"{frame.id} was released by its host; send again")
            frame.break_off(error)
            self.listeners.fail(frame.id, error)

    # --- interrupts

    async def deliver(self, agent: AgentId, interrupt: Interrupt) -> Receipt:
        """Hand an interrupt to an agent; returns when its acceptance is durable, or it was refused.

        Raises what :meth:`frame` raises, and ``StoreError`` when the acceptance could not be recorded.
        """
        if self.moving.is_on:
            await self.moving.check(agent)
        frame = self.frames.get(agent) or await self.frame(agent)
        while frame.is_away:  # between its activation and this turn
            frame = await self.frame(agent)
        if frame.broken is not None:
            raise frame.broken
        self.residency.used(agent)
        if self.meter is not None:
            self.meter.arrived(agent, interrupt)
        if receipt := refused(frame, interrupt, self._performer.perform):
            return receipt
        future = self.listeners.receipt(agent, interrupt.id)
        self.feed(frame, ev.InterruptArrived(self.clock.now_ms(), interrupt))
        self.workshop.hurry(agent, interrupt.priority)
        return await future

    async def bury(self, sender: str, letters: Sequence[DeadLetter]) -> None:
        """Keep what could not be delivered; see :class:`~pagefault.runtime.host.routing.Bury`."""
        await self._outgoing.bury(sender, letters)

    def feed(self, frame: Frame, event: ev.Event) -> None:
        """Queue an event for a frame; it is handled on a later turn of the loop."""
        if frame.broken is not None:
            return
        frame.inbox.append(without_secrets(event))
        self.residency.stirred(frame.id)
        if not frame.is_ready:
            frame.is_ready = True
            self._ready.append(frame)
            if not self._pumping:
                self._pumping = True
                asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        for _ in range(EVENTS_A_TURN):
            if not self._ready:
                break
            frame = self._ready.popleft()
            frame.is_ready = False
            if frame.inbox:
                self._handle(frame, frame.inbox.popleft())
            if frame.inbox and not frame.is_ready:
                frame.is_ready = True
                self._ready.append(frame)
        self._pumping = bool(self._ready)
        if self._pumping:
            asyncio.get_running_loop().call_soon(self._pump)

    def _handle(self, frame: Frame, event: ev.Event) -> None:
        try:
            effects = frame.handle(event)
            self.committer.due(frame)
            for effect in effects:
                if not frame.waits_for_commit(effect) and not self.moving.holds_back(frame, effect):
                    self._performer.perform(frame, 0, effect)
        except Exception as error:  # noqa: BLE001 - one agent's trouble must not stop the pump of all others
            log.error("agent_broken", agent=frame.id, epoch=frame.epoch, problem=str(error), kind=type(error).__name__)
            self._fail(frame, error if isinstance(error, PagefaultError) else InternalError(f"{frame.id}: {error!r}"))

    def _perform_committed(self, frame: Frame, seq: int, effect: AnyEffect) -> None:
        if effect.gated or not self.moving.holds_back(frame, effect):
            self._performer.perform(frame, seq, effect)

    def _ring(self, agent: AgentId) -> None:
        frame = self.frames.get(agent)
        if frame is not None:
            self.feed(frame, ev.ClockAdvanced(self.clock.now_ms()))
        else:
            self.waking.rung(agent)

    def _fail(self, frame: Frame, error: Exception) -> None:
        """This activation cannot go on; the agent's journal is as it was, so a new one can."""
        if frame.broken is not None:
            return  # known already; by now a newer activation may be at work here
        if isinstance(error, StaleEpoch):
            log.warning("activation_lost", agent=frame.id, epoch=frame.epoch)
        frame.break_off(error)
        self._take_frame(frame)
        self.moving.rested(frame)
        self.listeners.fail(frame.id, error)
        if isinstance(error, StoreError):
            self._survived.add(frame.id)  # nothing that it was doing is to blame
        if isinstance(error, StoreUnavailable):
            self.waking.later(frame.id)  # what it has accepted must not wait for a visitor
        elif isinstance(error, InternalError) and frame.state.outstanding is not None:
            self._retry(frame.id)

    def _retry(self, agent: AgentId) -> None:
        """Something that an agent does breaks it, as a process would be broken: that counts, and ends in quarantine."""
        failures = self._failures.get(agent, 0)
        self._failures[agent] = failures + 1
        self.waking.later(agent, min(PAUSE_MS << min(failures, 8), PAUSE_MAX_MS))

    # --- waking

    def watch(self) -> None:
        """Look into the journal by itself for agents that have work under way or a timer that is due: what was
        accepted before this host was there goes on.  For a host that is alone; in a cluster the scheduler does it,
        and says so by :meth:`expect`."""
        self.waking.watch(self._stores, self._is_here)

    def expect(self, due: Sequence[tuple[AgentId, int]]) -> None:
        """Agents of this host that must be awake, and when: those that are due are activated."""
        self.waking.expect((agent, wake_ms) for agent, wake_ms in due if not self._is_here(agent))

    def _is_here(self, agent: AgentId) -> bool:
        return agent in self.frames or agent in self.activating

    # --- looking in, stopping

    async def inspect(self, agent: AgentId) -> Inspection:
        """The agent as it is now; a hibernated one is activated."""
        frame = await self.frame(agent)
        self._rested(frame)
        return inspect(frame)

    def survey(self, prefix: str = "", place: str = "") -> list[AgentRow]:
        """All resident agents whose names begin with ``prefix``; nobody is woken."""
        return [row_of(frame, place) for frame in self.frames.values() if frame.id.startswith(prefix)]

    @property
    def is_idle(self) -> bool:
        """Whether no resident agent has anything under way."""
        parts = (self.waking, self.residency, self.moving, self._suspects)
        is_busy = not self._outgoing.is_idle or self._ready or self.activating or any(part.is_busy for part in parts)
        return not is_busy and all(frame.is_at_rest for frame in self.frames.values())

    async def close(self) -> None:
        """Save everything and stop: agents come back with the same context and mailbox."""
        self._closed = True
        if self._relaxing is not None:
            self._relaxing.cancel()
            await asyncio.gather(self._relaxing, return_exceptions=True)
        await self._suspects.close()
        await self.waking.close()
        await self.residency.close()
        await asyncio.gather(*self.activating.values(), return_exceptions=True)
        await self._outgoing.close()
        await self._timers.close()
        self.listeners.close()
        try:
            await self.release(list(self.frames))
            await self.pages.close()
        finally:
            self.listeners.fail_all(StoreUnavailable("this host is stopping"))
            self._executor.close()
            await self.workshop.close()
