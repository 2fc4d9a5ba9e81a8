"""Spans of one host: a chain is one span, each of its calls one below it.

A chain that another agent's message began is below the chain that sent that message, in the same trace, wherever either
lives: the message carries a ``traceparent``.  A chain's span is made by the host on which it ends, from ids that any
host would find (:mod:`.trace_context`).  Nothing here is in any journal but that ``traceparent``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import time_ns
from typing import Final

from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.telemetry.tracing import names
from pagefault.runtime.host.telemetry.tracing.calls import Call, about
from pagefault.runtime.host.telemetry.tracing.record import Sink, SpanEvent, SpanRecord, Value
from pagefault.runtime.host.telemetry.tracing.trace_context import (
    TraceContext,
    call_span_id,
    chain_span_id,
    read_traceparent,
    root,
)
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import ChainEnded, Notice
from pagefault.runtime.kernel.events import Event
from pagefault.runtime.values import AgentId, CallId, Interrupt, InterruptId

CHAINS_MAX: Final = 20_000
"""Chains that are remembered until they end; the oldest is forgotten for one more, and found again by its agent."""
EVENTS_MAX: Final = 128
"""Events of one chain's span; what comes after them is counted."""
QUEUED_MAX_MS: Final = 24 * 3600 * 1000
"""A chain's span begins when its interrupt was made, unless that is longer ago, or in times that are not ours."""
_UNSEEN: Final = frozenset({"step", "mailbox_full"})
"""A step is a span of its own; what is refused at the door is in no chain."""
_FINE: Final = frozenset({"yielded", "coalesced", "cancelled", "withdrawn", "killed"})


@dataclass(slots=True)
class _Chain:
    """A chain under way here: where its span belongs, and what is known of it so far."""

    trace: TraceContext
    began_ns: int
    attributes: dict[str, Value]
    events: list[SpanEvent] = field(default_factory=list)
    events_dropped: int = 0


class Spans:
    """Makes the spans of a host, and hands each to ``sink`` when it has ended.  Used on the host's loop."""

    def __init__(self, sink: Sink, *, share: float = 1.0, content: bool = False, host: str = "") -> None:
        self._sink = sink
        self._share = share
        self._has_content = content
        self._host = host
        self._chains: dict[tuple[AgentId, InterruptId], _Chain] = {}

    # --- chains

    def forwarded(self, frame: Frame, cause: InterruptId, interrupt: Interrupt) -> Interrupt:
        """What a chain sends to another agent, with where it comes from."""
        if not cause:
            return interrupt
        trace = self._chain(frame, cause).trace
        return replace(interrupt, trace=replace(trace, span_id=chain_span_id(frame.id, cause)).traceparent())

    def noticed(self, frame: Frame, notice: Notice) -> None:
        """Something happened in a chain.  Its text is left out: agents may have written it."""
        if notice.name in _UNSEEN or not notice.cause:
            return
        chain = self._chain(frame, notice.cause)
        if not chain.trace.is_sampled:
            return
        if len(chain.events) >= EVENTS_MAX:
            chain.events_dropped += 1
            return
        attributes: dict[str, Value] = {}
        if notice.page_ids:
            attributes[f"{names.OWN}page_ids"] = list(notice.page_ids)
        if notice.value:
            attributes[f"{names.OWN}value"] = notice.value
        chain.events.append(SpanEvent(f"{names.OWN}{notice.name}", time_ns(), attributes))

    def chain_ended(self, frame: Frame, effect: ChainEnded) -> None:
        """A chain is over; one that never began has no span."""
        key = (frame.id, effect.cause)
        chain = self._chains.pop(key, None)
        if chain is None:
            if not effect.steps:
                return
            chain = self._made(frame, effect.cause)  # this host died between the record and what follows from it
        if not chain.trace.is_sampled:
            return
        attributes = chain.attributes | {
            f"{names.OWN}outcome": effect.outcome,
            f"{names.OWN}steps": effect.steps,
            f"{names.OWN}epoch": frame.epoch,
        }
        if chain.events_dropped:
            attributes[f"{names.OWN}events_dropped"] = chain.events_dropped
        self._sink(
            SpanRecord(
                name=f"{names.INVOKE_AGENT} {frame.id}",
                kind="internal",
                trace_id=chain.trace.trace_id,
                span_id=chain_span_id(frame.id, effect.cause),
                parent_id=chain.trace.span_id,
                began_ns=chain.began_ns,
                ended_ns=max(time_ns(), chain.began_ns),
                attributes=attributes,
                events=tuple(chain.events),
                error="" if effect.outcome in _FINE else effect.outcome,
            )
        )

    # --- calls

    def call_began(self, frame: Frame, cause: InterruptId) -> int:
        """A call begins now: when that is, in nanoseconds since the Unix epoch; 0 if its trace is not kept."""
        return time_ns() if cause and self._chain(frame, cause).trace.is_sampled else 0

    def call_ended(self, frame: Frame, call_id: CallId, effect: Call, event: Event | None, began_ns: int) -> None:
        """A call is over; without an event it was broken off with its host, or failed by our fault."""
        if not began_ns:
            return
        trace = self._chain(frame, effect.cause).trace
        told = about(effect, event, frame.state.definition, content=self._has_content)
        self._sink(
            SpanRecord(
                name=told.name,
                kind=told.kind,
                trace_id=trace.trace_id,
                span_id=call_span_id(frame.id, call_id, began_ns),
                parent_id=chain_span_id(frame.id, effect.cause),
                began_ns=began_ns,
                ended_ns=max(time_ns(), began_ns),
                attributes={**self._whose(frame), **told.attributes},
                error=told.error,
            )
        )

    # --- what is known

    def _chain(self, frame: Frame, cause: InterruptId) -> _Chain:
        key = (frame.id, cause)
        found = self._chains.get(key)
        if found is None:
            if len(self._chains) >= CHAINS_MAX:
                del self._chains[next(iter(self._chains))]
            found = self._chains[key] = self._made(frame, cause)
        return found

    def _made(self, frame: Frame, cause: InterruptId) -> _Chain:
        now_ns = time_ns()
        interrupt = _interrupt(frame.state, cause)
        sent = read_traceparent(interrupt.trace) if interrupt is not None else None
        trace = sent or root(frame.id, cause, self._share)
        if not trace.is_sampled or interrupt is None:
            return _Chain(trace, now_ns, self._whose(frame))
        queued_ms = now_ns // 1_000_000 - interrupt.created_ms
        began_ns = interrupt.created_ms * 1_000_000 if 0 <= queued_ms <= QUEUED_MAX_MS else now_ns
        attributes = self._whose(frame) | {
            names.OPERATION: names.INVOKE_AGENT,
            names.CONVERSATION: interrupt.session or frame.id,
            f"{names.OWN}cause": cause,
            f"{names.OWN}interrupt.kind": interrupt.kind.value,
            f"{names.OWN}interrupt.priority": interrupt.priority.name.lower(),
            f"{names.OWN}interrupt.sender": interrupt.sender,
        }
        return _Chain(trace, began_ns, attributes)

    def _whose(self, frame: Frame) -> dict[str, Value]:
        whose: dict[str, Value] = {names.AGENT_ID: frame.id, names.AGENT_NAME: frame.id}
        return whose | {f"{names.OWN}host": self._host} if self._host else whose


def _interrupt(state: AgentState, cause: InterruptId) -> Interrupt | None:
    """What began a chain that an agent has under way, or has not begun."""
    chains = [*state.suspended, *state.parked.values(), *([state.chain] if state.chain is not None else [])]
    for chain in chains:
        if chain.cause == cause:
            return chain.interrupt
    return next((each for each in state.mailbox if each.id == cause), None)
