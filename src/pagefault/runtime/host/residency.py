"""Residency: which agents keep their frames, and which are hibernated.

What pages are to a context, agents are to a host, and the same policies choose: ``PageFacts`` of an agent have
bytes for tokens.  Only agents at rest leave (nothing of theirs is under way, everything is in the journal);
an agent whose timer is about to ring is spared if another can go.

``frames`` is a limit and not an aim: who needs a frame when all are taken waits until somebody comes to rest.
Nobody waits for ever (a function of a resident agent may itself wait for one that has no frame):
after :data:`FRAME_WAIT_MS` whoever wants the agent is told to try again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from pagefault.policies.contract import PageFacts, PolicyError
from pagefault.policies.registry import UnknownPolicy, make_policy
from pagefault.runtime.errors import ConfigError, Overloaded, StoreUnavailable, UnknownName
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.frame import FRAME_BYTES, Frame
from pagefault.runtime.host.memory import resident_bytes
from pagefault.runtime.kernel.guard import GuardedEviction
from pagefault.runtime.values import AgentId

FRAME_WAIT_MS = 30_000
NEAR_MS = 1_000
"""A timer that is due so soon is not worth a hibernation."""
FREE_SHARE = 16
"""One frame in so many is kept free, so that who wakes finds room at once."""
BATCH_MAX = 64
"""Agents hibernated in one go: one transaction."""
PRESSURE_SHARE = 8
"""Under memory pressure one resting agent in so many leaves at each look."""
PRESSURE_LOOK_MS = 1_000
IDLE_LOOKS = 4
"""Looks for idle agents in one idle time."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """How many agents a host keeps resident.

    ``frames`` agents at most, of ``frames_bytes`` together (as estimated by
    :attr:`~pagefault.runtime.host.frame.Frame.size_bytes`); ``policy`` chooses who leaves, an eviction policy by
    name with its ``policy_options``.  Who was not spoken to for ``idle_s`` leaves, and some leave while the
    process has more than ``memory_bytes`` of memory.  ``None``: no such limit.

    Raises :class:`~pagefault.runtime.errors.ConfigError` and :class:`~pagefault.runtime.errors.UnknownName`.
    """

    frames: int | None = None
    frames_bytes: int | None = None
    policy: str = "lru"
    policy_options: Mapping[str, str | float | int | bool] = field(default_factory=dict)
    idle_s: float | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "frames_bytes", "memory_bytes"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(name, value, "a whole number above 0, or None for no limit")
        if self.idle_s is not None and (type(self.idle_s) not in {int, float} or not self.idle_s > 0):
            raise ConfigError("idle_s", self.idle_s, "seconds above 0, or None for no limit")
        self.make_policy()

    def make_policy(self) -> GuardedEviction:
        """A new policy: one a host."""
        try:
            return GuardedEviction(make_policy(self.policy, **dict(self.policy_options)))
        except UnknownPolicy as error:
            raise UnknownName(f"frames_policy: {error}") from error
        except PolicyError as error:
            raise ConfigError("frames_policy", str(error), "what the policy's docstring says") from error

    @property
    def is_limited(self) -> bool:
        return any(limit is not None for limit in (self.frames, self.frames_bytes, self.idle_s, self.memory_bytes))


class Residency:
    """Gives frames to agents, and takes them back.  ``hibernate`` saves agents and gives up the frames of those
    that are still at rest then; it says so by :meth:`left`."""

    def __init__(
        self,
        settings: FrameSettings,
        clock: Clock,
        hibernate: Callable[[Sequence[AgentId]], Awaitable[object]],
        memory: Callable[[], int] = resident_bytes,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._hibernate = hibernate
        self._memory = memory
        self._policy = settings.make_policy()
        self.is_on = settings.is_limited
        self._bytes: dict[AgentId, int] = {}
        self._bytes_sum = 0
        self._promised = 0
        self._busy: set[str] = set()
        self._resting: dict[AgentId, int | None] = {}  # with the time of their next timer
        self._used_ms: OrderedDict[AgentId, int] = OrderedDict()
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = 0
        self._is_closed = False
        self.resident_max = 0
        self.hibernations = 0

    # --- frames are taken and given back

    @property
    def _is_full(self) -> bool:
        taken = len(self._bytes) + self._promised
        frames, frames_bytes = self._settings.frames, self._settings.frames_bytes
        if frames is not None and taken >= frames:
            return True
        return frames_bytes is not None and taken > 0 and self._bytes_sum + self._promised * FRAME_BYTES >= frames_bytes

    async def admit(self) -> None:
        """Return when there is a frame for one more agent, which is then promised: call :meth:`entered` or
        :meth:`refund`.  Raises ``Overloaded`` when none came free in time."""
        if not self._is_full and not self._queue:
            self._promised += 1
            return
        if self._is_closed:
            raise StoreUnavailable("this host is stopping")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((self._clock.now_ms() + FRAME_WAIT_MS, future))
        self._start("room", self._make_room)
        self._start("patience", self._lose_patience)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.refund()
            raise

    def refund(self) -> None:
        """The promised frame is not needed."""
        self._promised -= 1
        self._grant()

    def entered(self, frame: Frame) -> None:
        """The agent has its frame, and is busy until :meth:`rested` says otherwise."""
        self._promised -= 1
        size = frame.size_bytes
        agent = frame.id
        self._bytes[agent] = size
        self._bytes_sum += size
        self._busy.add(agent)
        self._turn += 1
        self.resident_max = max(self.resident_max, len(self._bytes))
        if self.is_on:
            self._policy.on_insert(PageFacts(agent, "agent", size, self._turn, self._clock.now_ms()), self._turn)
            self._used_ms[agent] = self._clock.now_ms()
            self._watch()

    def used(self, agent: AgentId) -> None:
        """Somebody spoke to a resident agent."""
        if self.is_on and agent in self._bytes:
            self._turn += 1
            self._policy.on_hit(agent, self._turn)
            self._used_ms[agent] = self._clock.now_ms()
            self._used_ms.move_to_end(agent)

    def stirred(self, agent: AgentId) -> None:
        """Something entered a resident agent."""
        if agent in self._resting:
            del self._resting[agent]
            self._busy.add(agent)

    def rested(self, frame: Frame) -> None:
        """The agent is at rest: it may be hibernated."""
        agent = frame.id
        if not self.is_on or agent not in self._bytes:
            return
        self._busy.discard(agent)
        self._resting[agent] = frame.timer_ms()
        size = frame.size_bytes
        self._bytes_sum += size - self._bytes[agent]
        self._bytes[agent] = size
        if self._wanted() != (0, 0):
            self._start("room", self._make_room)

    def left(self, agent: AgentId, *, hibernated: bool) -> None:
        """The agent has no frame any more."""
        size = self._bytes.pop(agent, None)
        if size is None:
            return
        self._bytes_sum -= size
        self._busy.discard(agent)
        self._resting.pop(agent, None)
        self._used_ms.pop(agent, None)
        self.hibernations += hibernated
        if self.is_on:
            self._policy.on_remove(agent, hibernated)
        self._grant()

    def _grant(self) -> None:
        while self._queue and not self._is_full:
            _, future = self._queue.popleft()
            if not future.done():
                self._promised += 1
                future.set_result(None)

    @property
    def is_busy(self) -> bool:
        """Whether somebody is about to leave."""
        task = self._tasks.get("room")
        return task is not None and not task.done()

    # --- who leaves

    def _wanted(self) -> tuple[int, int]:
        """How many agents, and how many bytes, are to leave now."""
        frames, frames_bytes = self._settings.frames, self._settings.frames_bytes
        agents = size = 0
        taken = len(self._bytes) + self._promised
        if frames is not None and taken >= frames:
            agents = max(0, taken + len(self._queue) - (frames - frames // FREE_SHARE))
        if frames_bytes is not None and self._bytes_sum >= frames_bytes:
            size = self._bytes_sum - (frames_bytes - frames_bytes // FREE_SHARE) + bool(self._queue)
        return agents, size

    def _choose(self, agents: int, size: int) -> list[AgentId]:
        """The next to leave: enough for both, or all that can."""
        now_ms = self._clock.now_ms()
        protected = self._busy
        first: list[AgentId] = []
        while True:
            chosen = self._ask(min(agents, BATCH_MAX), size, protected)
            first = first or chosen
            near = {agent for agent in chosen if self._is_near(agent, now_ms)}
            if not near:
                # Who waits for a frame goes before a timer that is about to ring.
                return chosen or (first if self._queue else [])
            protected = protected | near

    def _is_near(self, agent: AgentId, now_ms: int) -> bool:
        wake_ms = self._resting.get(agent)
        return wake_ms is not None and wake_ms - now_ms <= NEAR_MS

    def _ask(self, agents: int, size: int, protected: set[str]) -> list[AgentId]:
        """Policies know bytes, not numbers of agents: ask for more until it is enough."""
        mean = self._bytes_sum // max(1, len(self._bytes))
        asked = max(size, agents * mean, 1)
        while True:
            answer = self._policy.victims(asked, protected, self._turn)
            chosen: list[AgentId] = []
            freed = 0
            for name in answer:
                if (len(chosen) >= agents and freed >= size) or len(chosen) >= BATCH_MAX:
                    return chosen
                agent = AgentId(name)
                chosen.append(agent)
                freed += self._bytes[agent]
            if (len(chosen) >= agents and freed >= size) or len(answer) >= len(self._bytes) - len(protected):
                return chosen
            asked *= 2

    async def _make_room(self) -> None:
        while (wanted := self._wanted()) != (0, 0) and self._resting:
            chosen = self._choose(*wanted)
            if not chosen:
                return
            await self._leave(chosen)

    async def _leave(self, agents: Sequence[AgentId]) -> None:
        if self._policy.problem:
            log.error("policy_failed", policy=self._policy.name, problem=self._policy.problem)
        before = self.hibernations
        await self._hibernate(agents)
        if self.hibernations == before:  # all were spoken to, or the store fails: not again at once
            await asyncio.sleep(0.01)

    async def _lose_patience(self) -> None:
        while self._queue:
            deadline_ms, future = self._queue[0]
            if future.done():
                self._queue.popleft()
                continue
            await self._clock.sleep_until(deadline_ms)
            if not future.done():
                future.set_exception(Overloaded(f"all frames of this host were busy for {FRAME_WAIT_MS // 1000} s"))

    # --- idle agents, memory pressure

    def _watch(self) -> None:
        if self._settings.idle_s is not None:
            self._start("idle", self._hibernate_idle)
        if self._settings.memory_bytes is not None:
            self._start("memory", self._relieve)

    async def _hibernate_idle(self) -> None:
        assert self._settings.idle_s is not None, "there is no idle time"
        idle_ms = max(1, round(self._settings.idle_s * 1000))
        while self._bytes:
            now_ms = self._clock.now_ms()
            idle: list[AgentId] = []
            for agent, used_ms in self._used_ms.items():
                if used_ms > now_ms - idle_ms or len(idle) >= BATCH_MAX:
                    break
                if agent in self._resting and not self._is_near(agent, now_ms):
                    idle.append(agent)
            if idle:
                await self._leave(idle)
            if len(idle) < BATCH_MAX:
                await self._clock.sleep_until(now_ms + max(1, idle_ms // IDLE_LOOKS))

    async def _relieve(self) -> None:
        assert self._settings.memory_bytes is not None, "there is no limit of memory"
        while self._bytes:
            if self._resting and self._memory() > self._settings.memory_bytes:
                log.info("memory_pressure", resident=len(self._bytes), limit_bytes=self._settings.memory_bytes)
                await self._leave(self._choose(-(-len(self._resting) // PRESSURE_SHARE), 0))
            await self._clock.sleep_until(self._clock.now_ms() + PRESSURE_LOOK_MS)

    # --- tasks

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._tasks.get(name)
        if not self._is_closed and (task is None or task.done()):
            self._tasks[name] = asyncio.get_running_loop().create_task(work(), name=f"pagefault-frames-{name}")

    async def close(self) -> None:
        """Take and give no frames any more; whoever waits for one is told so."""
        self._is_closed = True
        for _, future in self._queue:
            if not future.done():
                future.set_exception(StoreUnavailable("this host is stopping"))
        self._queue.clear()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
