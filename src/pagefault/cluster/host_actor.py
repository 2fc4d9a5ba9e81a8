"""A host as a Ray actor.  The same class serves one agent (``dedicated``) or many (``packed``)."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import structlog

from pagefault.cluster import _ray
from pagefault.cluster._ray_metrics import keep_flushing
from pagefault.cluster.batches import pack_answers, unpack_parcels
from pagefault.cluster.credits import Credits
from pagefault.cluster.logs import configure_actor_logging
from pagefault.cluster.remote_stores import RemoteStores
from pagefault.cluster.router import ClusterRouter
from pagefault.cluster.scheduler.budget_leases import LeasedGate
from pagefault.cluster.settings import SCHEDULER_NAME, Code, FleetSettings, short_node
from pagefault.cluster.tasks import RayRunner, TaskLogs
from pagefault.cluster.wire import pack, pack_error, unpack
from pagefault.cluster.workshops import open_workshop
from pagefault.runtime.errors import InternalError, Overloaded
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.listeners import WORDS, Stream
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.host.telemetry.host_meter import HostMeter
from pagefault.runtime.host.telemetry.meters import Sample
from pagefault.runtime.host.telemetry.read import host_samples
from pagefault.runtime.host.telemetry.tracing.export import TraceExport, open_spans
from pagefault.runtime.models.budget.gate import monotonic_ms
from pagefault.runtime.models.budget.processor import MakeProcessor, budgeted
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.values import AgentId

STEPS_A_READ = 500
T = TypeVar("T")
log = structlog.get_logger(__name__)


class HostActor:
    """An asynchronous actor around a :class:`~pagefault.runtime.host.host.Host`; speaks bytes."""

    def __init__(self, name: str, settings: FleetSettings, code: Code, dedicated: str = "") -> None:
        whose = {"fleet": settings.name, "role": "host", "host": name, "node": short_node(_ray.this_node())}
        configure_actor_logging(settings.log_level, settings.log_format, whose)
        self._name = name
        self._dedicated = dedicated
        self._credits = Credits()
        self._held: dict[AgentId, None] = {}  # who lives here, with or without a frame
        self._settings = settings
        self._code = code
        self._host: Host | None = None
        self._router: ClusterRouter | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leases: LeasedGate | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._export: TraceExport | None = None
        self._streams: dict[int, Stream] = {}
        self._numbers = itertools.count(1)

    def _open(self) -> Host:
        if self._host is None:  # made on the actor's own loop, by its first call
            self._loop = asyncio.get_running_loop()
            tune_collector()
            clock = SystemClock()
            router = ClusterRouter(self._settings, clock, self._name)
            workshop = open_workshop(self._code, self._processor_maker(), self._settings.mcp)
            if self._leases is not None:
                workshop.hurry = self._leases.gate.promote
            self._host = Host(
                RemoteStores(self._settings),
                workshop,
                router,
                clock,
                RayRunner(logs=TaskLogs.of(self._settings)),
                tiers=self._settings.tiers,
                frames=self._settings.frames,
                meter=self._meter(),
            )
            if self._settings.metrics:
                work = keep_flushing(self._samples, fleet=self._settings.name, host=self._name)
                self._flushing = self._loop.create_task(work, name="pagefault-metrics")
            self._router = router
            router.host = self._host
            log.info("host_began", dedicated=self._dedicated)
        return self._host

    def _meter(self) -> HostMeter | None:
        settings = self._settings
        self._export, spans = open_spans(settings.traces, host=self._name, fleet=settings.name)
        return HostMeter(spans) if settings.metrics or spans is not None else None

    def _processor_maker(self) -> MakeProcessor:
        plan = self._settings.budget
        if not plan:
            return make_processor
        self._leases = LeasedGate(plan, self._name, self._lease, _ray.ActorLost)
        return budgeted(plan, self._leases.gate, make_processor)

    async def _lease(self, message: bytes) -> bytes:
        if self._router is None:
            raise Overloaded(f"{self._name} has stopped")
        answer: bytes = await _ray.call(self._router.actor(SCHEDULER_NAME), "lease", message)
        return answer

    async def ready(self) -> str:
        """The id of this node, when the host can take interrupts.  Not a control call: the host lives on this loop."""
        self._open()
        return _ray.this_node()

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the host's loop: Ray gives each concurrency group a loop and a thread of its own."""
        if self._loop is None:
            raise InternalError(f"{self._name} was controlled before it was ready")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def deliver(self, data: bytes, sender: str, insisting: list[str]) -> tuple[bytes, int, int]:
        """A batch of interrupts; see :mod:`.batches`.  Answers, once all are settled, what became of each, and
        how many, of how many bytes, the sender may have under way to this host from now on.

        ``insisting`` are agents that the scheduler says live here, though they have left.
        """
        host = self._open()
        items = unpack_parcels(data)
        host.moving.arrived([AgentId(agent) for agent in insisting])
        answers: Sequence[Receipt | BaseException]
        if self._credits.enter(sender, len(items), len(data), round(monotonic_ms())):
            answers = await asyncio.gather(
                *(host.deliver(agent, interrupt) for agent, interrupt in items), return_exceptions=True
            )
        else:
            answers = [Overloaded(f"{self._name} has too much in its hands")] * len(items)
        for (agent, _), answer in zip(items, answers, strict=True):
            if isinstance(answer, Receipt):
                self._held[agent] = None
        count, size_bytes = self._credits.leave(sender, len(items), len(data), round(monotonic_ms()))
        packed = pack_answers([answer if isinstance(answer, Receipt) else pack_error(answer) for answer in answers])
        return packed, count, size_bytes

    async def ask(self, agent: str, data: bytes, timeout_s: float) -> bytes:
        """See :meth:`pagefault.runtime.host.answers.Answers.ask`."""
        async with asyncio.timeout(timeout_s):
            result = await self._open().answers.ask(AgentId(agent), unpack(data))
        self._held[AgentId(agent)] = None
        return pack(result)

    async def inspect(self, agent: str) -> bytes:
        """An :class:`~pagefault.runtime.host.records.Inspection`.  Not a control call: it may activate the agent."""
        inspection = pack(await self._open().inspect(AgentId(agent)))
        self._held[AgentId(agent)] = None
        return inspection

    # --- agents that come and go

    async def take(self, agents: list[str], due: list[tuple[str, int]]) -> None:
        """These agents live here now; ``due`` are those that must be awake though nobody speaks to them, and when."""
        host = self._open()
        names = [AgentId(agent) for agent in agents]
        host.moving.arrived(names)
        self._held.update(dict.fromkeys(names))
        host.expect([(AgentId(agent), wake_ms) for agent, wake_ms in due])

    @_ray.control
    async def hand_over(self, agents: list[str], to: str, grace_s: float) -> list[tuple[str, int]]:
        """Let agents go; see :meth:`pagefault.runtime.host.moving.Moving.hand_over`."""
        return await self._on_loop(self._hand_over([AgentId(agent) for agent in agents], to, grace_s))

    async def _hand_over(self, agents: list[AgentId], to: str, grace_s: float) -> list[tuple[str, int]]:
        wakes = await self._open().moving.hand_over(agents, to, grace_s)
        for agent in agents:
            self._held.pop(agent, None)
        return [(str(agent), wake_ms) for agent, wake_ms in wakes]

    @_ray.control
    async def coldest(self, count: int) -> list[str]:
        """Agents that may well go elsewhere: those without a frame, then those that have rested longest."""
        return [] if self._loop is None else await self._on_loop(self._coldest(count))

    async def _coldest(self, count: int) -> list[str]:
        frames = self._open().frames
        asleep = (agent for agent in self._held if agent not in frames)
        resting = sorted(
            (frame for frame in frames.values() if frame.may_sleep), key=lambda frame: not frame.is_relaxed
        )
        return [str(agent) for agent in itertools.islice(itertools.chain(asleep, (f.id for f in resting)), count)]

    @_ray.control
    async def held(self) -> bytes:
        """``[node, whom this host is dedicated to, agents that live here]``: for a scheduler that has forgotten."""
        return pack([_ray.this_node(), self._dedicated, [str(agent) for agent in list(self._held)]])

    # --- streams: a driver reads what has gathered, again and again

    async def open_stream(self, agent: str, what: str = "") -> int:
        """Begin to gather steps of an agent (an empty name: of all); read them with the number returned.

        ``what``: ``words`` for those of replies that are still being made, too.
        """
        number = next(self._numbers)
        self._streams[number] = self._open().listeners.stream(AgentId(agent) if agent else None, words=what == WORDS)
        return number

    async def read_stream(self, number: int, wait_s: float) -> bytes:
        """``[steps, is over]``: what has gathered since the last read, waiting a while if that is nothing."""
        stream = self._streams.get(number)
        if stream is None:
            return pack([[], True])
        steps, is_over = await stream.take(STEPS_A_READ, wait_s)
        return pack([steps, is_over])

    async def close_stream(self, number: int) -> None:
        """Stop gathering; harmless if it is over."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.close()

    # --- control

    @_ray.control
    async def is_idle(self) -> bool:
        """Whether nothing is under way here right now."""
        return self._loop is None or await self._on_loop(self._is_idle())

    async def _is_idle(self) -> bool:
        return self._open().is_idle and (self._router is None or self._router.is_idle)

    @_ray.control
    async def pid(self) -> int:
        """This process."""
        return os.getpid()

    @_ray.control
    async def resident(self) -> list[str]:
        """The agents that have a frame here."""
        return [] if self._loop is None else await self._on_loop(self._resident())

    async def _resident(self) -> list[str]:
        return [str(agent) for agent in self._open().frames]

    @_ray.control
    async def hibernate(self, agent: str) -> bool:
        """Whether the agent has no frame here now; see :meth:`pagefault.runtime.host.local.Local.hibernate`."""
        return self._loop is None or await self._on_loop(self._hibernate(AgentId(agent)))

    async def _hibernate(self, agent: AgentId) -> bool:
        await self._open().hibernate([agent])
        return agent not in self._open().frames

    @_ray.control
    async def survey(self, prefix: str) -> bytes:
        """An :class:`~pagefault.runtime.host.records.AgentRow` for each agent that has a frame here."""
        return pack([]) if self._loop is None else await self._on_loop(self._survey(prefix))

    async def _survey(self, prefix: str) -> bytes:
        return pack(self._open().survey(prefix, f"{self._name}@{short_node(_ray.this_node())}"))

    @_ray.control
    async def tier_statistics(self) -> dict[str, dict[str, int]]:
        """What the tiers of this host did."""
        return {} if self._loop is None else await self._on_loop(self._tier_statistics())

    async def _tier_statistics(self) -> dict[str, dict[str, int]]:
        return self._open().cache.statistics()

    @_ray.control
    async def metrics(self) -> bytes:
        """What this host has counted; see :mod:`pagefault.runtime.host.telemetry.read`."""
        return pack([] if self._loop is None else await self._on_loop(self._samples()))

    async def _samples(self) -> list[Sample]:
        return host_samples(self._open())

    @_ray.control
    async def stop(self) -> None:
        """Save every agent; this host takes nothing any more."""
        if self._loop is not None:
            await self._on_loop(self._stop())

    async def _stop(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        try:
            if self._host is not None:
                await self._host.close()
            if self._leases is not None:
                await self._leases.close()
        finally:
            if self._router is not None:  # after the host, which routes what it commits last
                await self._router.close()
            if self._export is not None:
                await asyncio.to_thread(self._export.close)
