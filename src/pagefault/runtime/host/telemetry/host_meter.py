"""What one host counts while it works.  Nothing of it is in any journal: a replay counts nothing."""

from __future__ import annotations

from collections import Counter
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
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.models.reasons import reason_of
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, ModelReply, Priority

ARRIVALS_MAX: Final = 20_000
"""Interrupts that are remembered until their chain ends; the oldest is forgotten for one more."""
STIRRED_MAX: Final = 2_048
"""Frames that have changed since they were last looked at; they are looked at when there are more."""

T = TypeVar("T")
_kernel_counts = attrgetter(*KERNEL_COUNTERS)
_PRIORITIES: Final = {priority: priority.name.lower() for priority in Priority}
_GAUGES: Final = ("pagefault_mailbox_interrupts", "pagefault_context_tokens", "pagefault_frames_bytes")


def _looks(frame: Frame) -> tuple[int, ...]:
    """What an agent adds to each of the gauges that are sums over agents."""
    state = frame.state
    return len(state.mailbox), state.statistics.context_tokens, frame.size_bytes


@dataclass(slots=True)
class _Arrival:
    """An interrupt whose chain is not over: when it came, and until its first step that nobody has seen one."""

    at_s: float
    priority: str
    is_awaited: bool = True


class HostMeter:
    """Counts for one host.  Used on the host's loop.

    What kernels count themselves, and how agents are now, is taken from those that something has entered since, as
    the difference to what was taken before: who rests costs nothing, however often somebody asks.
    ``spans`` makes traces of the same, if they are wanted.
    """

    def __init__(self, spans: Spans | None = None) -> None:
        self.meters = Meters()
        self.spans = spans
        self._arrivals: dict[tuple[AgentId, InterruptId], _Arrival] = {}
        self._stirred: dict[Frame, None] = {}
        self._taken: dict[str, int] = dict.fromkeys(KERNEL_COUNTERS.values(), 0)
        self._phases: Counter[Phase] = Counter(dict.fromkeys(Phase, 0))
        self._sums = [0] * len(_GAUGES)

    # --- agents

    def entered(self, frame: Frame) -> None:
        """An agent has its frame; what it did before was counted where it happened."""
        frame.counted = _kernel_counts(frame.state.statistics)
        frame.seen = (frame.state.phase, _looks(frame))
        self._phases[frame.state.phase] += 1
        self._sums = [total + now for total, now in zip(self._sums, frame.seen[1], strict=True)]
        self.meters.add("pagefault_activations_total")

    def left(self, frame: Frame) -> None:
        """An agent has its frame no longer; what it did there stays counted."""
        if frame in self._stirred:
            del self._stirred[frame]
            self._take(frame)
        if frame.seen is not None:
            phase, looks = frame.seen
            self._phases[phase] -= 1
            self._sums = [total - before for total, before in zip(self._sums, looks, strict=True)]
            frame.seen = None

    def stirred(self, frames: Collection[Frame]) -> None:
        """Something has entered these agents."""
        self._stirred.update(dict.fromkeys(frames))
        if len(self._stirred) > STIRRED_MAX:
            self._take_all()

    def _take_all(self) -> None:
        for frame in self._stirred:
            self._take(frame)
        self._stirred.clear()

    def _take(self, frame: Frame) -> None:
        now = _kernel_counts(frame.state.statistics)
        if now != frame.counted:
            for name, count, before in zip(self._taken, now, frame.counted, strict=True):
                if count != before:
                    self._taken[name] += count - before
            frame.counted = now
        if frame.seen is None:
            return
        (phase, looks), frame.seen = frame.seen, (frame.state.phase, _looks(frame))
        if phase is not frame.seen[0]:
            self._phases[phase] -= 1
            self._phases[frame.seen[0]] += 1
        if looks != frame.seen[1]:
            self._sums = [total + new - old for total, new, old in zip(self._sums, frame.seen[1], looks, strict=True)]

    # --- interrupts

    def arrived(self, agent: AgentId, interrupt: Interrupt) -> None:
        """Somebody hands an interrupt over; one that comes again has come when it first did."""
        if len(self._arrivals) >= ARRIVALS_MAX:
            del self._arrivals[next(iter(self._arrivals))]
        key = (agent, interrupt.id)
        if key not in self._arrivals:
            self._arrivals[key] = _Arrival(perf_counter(), _PRIORITIES[interrupt.priority])

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

    def samples(self, gauges: Mapping[str, float]) -> list[Sample]:
        """Everything counted here, how agents are now, and other ``gauges``."""
        self._take_all()
        told = {**self._taken, **gauges, **dict(zip(_GAUGES, self._sums, strict=True))}
        for name, value in told.items():
            self.meters.put(name, value=value)
        return self.meters.samples() + [
            {"name": "pagefault_resident_agents", "labels": {"phase": phase.value}, "value": count}
            for phase, count in self._phases.items()
        ]
