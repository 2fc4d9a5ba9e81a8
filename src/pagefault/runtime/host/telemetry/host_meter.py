"""What one host counts while it works.  Nothing of it is in any journal: a replay counts nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from operator import attrgetter
from time import perf_counter
from typing import Final, TypeVar

from pagefault.runtime.errors import ModelError
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.telemetry.meters import Meters, Sample
from pagefault.runtime.host.telemetry.table import KERNEL_COUNTERS
from pagefault.runtime.host.telemetry.tracing.spans import Spans
from pagefault.runtime.kernel.effects import Accept, ChainEnded, Notice, Reject
from pagefault.runtime.models.reasons import reason_of
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, ModelReply

ARRIVALS_MAX: Final = 20_000
"""Interrupts that are remembered until their chain ends; the oldest is forgotten for one more."""
STIRRED_MAX: Final = 2_048
"""Frames that have changed since they were last looked at; they are looked at when there are more."""

T = TypeVar("T")
_kernel_counts = attrgetter(*KERNEL_COUNTERS)


@dataclass(slots=True)
class _Arrival:
    """An interrupt whose chain is not over: when it came, and until its first step that nobody has seen one."""

    at_s: float
    priority: str
    is_awaited: bool = True


class HostMeter:
    """Counts for one host.  Used on the host's loop.

    What kernels count themselves is taken from them when somebody asks, as the difference to what was taken before.
    ``spans`` makes traces of the same, if they are wanted.
    """

    def __init__(self, spans: Spans | None = None) -> None:
        self.meters = Meters()
        self.spans = spans
        self._arrivals: dict[tuple[AgentId, InterruptId], _Arrival] = {}
        self._stirred: dict[Frame, None] = {}
        self._taken: dict[str, int] = dict.fromkeys(KERNEL_COUNTERS.values(), 0)

    # --- agents

    def entered(self, frame: Frame) -> None:
        """An agent has its frame; what it did before was counted where it happened."""
        frame.counted = _kernel_counts(frame.state.statistics)
        self.meters.add("pagefault_activations_total")

    def stirred(self, frames: Collection[Frame]) -> None:
        """Something has entered these agents."""
        self._stirred.update(dict.fromkeys(frames))
        if len(self._stirred) > STIRRED_MAX:
            self._take()

    def _take(self) -> None:
        for frame in self._stirred:
            now = _kernel_counts(frame.state.statistics)
            for name, count, before in zip(self._taken, now, frame.counted, strict=True):
                if count != before:
                    self._taken[name] += count - before
            frame.counted = now
        self._stirred.clear()

    # --- interrupts

    def arrived(self, agent: AgentId, interrupt: Interrupt) -> None:
        """Somebody hands an interrupt over; one that comes again has come when it first did."""
        if len(self._arrivals) >= ARRIVALS_MAX:
            del self._arrivals[next(iter(self._arrivals))]
        key = (agent, interrupt.id)
        if key not in self._arrivals:
            self._arrivals[key] = _Arrival(perf_counter(), interrupt.priority.name.lower())

    def answered(self, agent: AgentId, effect: Accept | Reject) -> None:
        """It was accepted for good, or not."""
        if isinstance(effect, Reject):
            self._refused(agent, effect.cause)
            return
        arrival = self._arrivals.get((agent, effect.cause))
        if arrival is None:
            return
        outcome = "duplicate" if effect.duplicate else "accepted"
        self.meters.add("pagefault_interrupts_total", arrival.priority, outcome)
        if effect.duplicate and not effect.under_way:
            del self._arrivals[agent, effect.cause]

    def _refused(self, agent: AgentId, cause: InterruptId) -> None:
        arrival = self._arrivals.pop((agent, cause), None)
        if arrival is not None:
            self.meters.add("pagefault_interrupts_total", arrival.priority, "rejected")

    def noticed(self, frame: Frame, notice: Notice) -> None:
        """An agent has something to tell: a first step is timed, what is refused at the door counted."""
        agent = frame.id
        if self.spans is not None:
            self.spans.noticed(frame, notice)
        if notice.name == "mailbox_full":
            self._refused(agent, notice.cause)
        elif notice.name == "step":
            arrival = self._arrivals.get((agent, notice.cause))
            if arrival is not None and arrival.is_awaited:
                arrival.is_awaited = False
                self.meters.observe("pagefault_first_step_seconds", seconds=perf_counter() - arrival.at_s)

    def ended(self, frame: Frame, effect: ChainEnded) -> None:
        """A chain is over."""
        self._arrivals.pop((frame.id, effect.cause), None)
        self.meters.add("pagefault_chains_total", effect.outcome)
        if self.spans is not None:
            self.spans.chain_ended(frame, effect)

    # --- calls

    async def model_call(self, purpose: str, work: Awaitable[ModelReply]) -> ModelReply:
        """Wait for a model, and count."""
        began_s = perf_counter()
        try:
            reply = await work
        except ModelError as error:
            self.model_ended(purpose, reason_of(error), error.attempts)
            raise
        finally:
            self.meters.observe("pagefault_model_call_seconds", purpose, seconds=perf_counter() - began_s)
        self.model_ended(purpose, "ok", reply.attempts)
        return reply

    def model_ended(self, purpose: str, outcome: str, attempts: int) -> None:
        """A call of a model is over, also of one that answers at once."""
        self.meters.add("pagefault_model_calls_total", purpose, outcome)
        if attempts > 1:
            self.meters.add("pagefault_model_retries_total", by=attempts - 1)

    async def timed(self, name: str, work: Awaitable[T]) -> T:
        """Wait for something, and observe how long that took, however it ended."""
        began_s = perf_counter()
        try:
            return await work
        finally:
            self.meters.observe(name, seconds=perf_counter() - began_s)

    # --- telling

    def samples(self, gauges: Mapping[str, float], phases: Mapping[str, int]) -> list[Sample]:
        """Everything counted here; ``gauges`` and the number of agents by phase are as they are now."""
        self._take()
        for name, count in self._taken.items():
            self.meters.put(name, value=count)
        for name, value in gauges.items():
            self.meters.put(name, value=value)
        told = self.meters.samples()
        told += [
            {"name": "pagefault_resident_agents", "labels": {"phase": phase}, "value": count}
            for phase, count in phases.items()
        ]
        return told
