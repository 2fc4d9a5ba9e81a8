"""What a fleet offers, wherever it runs; and the reference that stands for one agent of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pagefault.policies.contract import PolicyError
from pagefault.policies.tiers import Tier, tier_chain
from pagefault.runtime.errors import AgentFailed, ConfigError, Overloaded, UsageError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import Answer, Inspection, Receipt, Step, encode_definition
from pagefault.runtime.host.telemetry.tracing.trace_context import current_traceparent
from pagefault.runtime.kernel.settings import AgentDefinition
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, InterruptId, InterruptKind, LetterId, Priority

ASK_TIMEOUT_S = 600.0
REGISTER_BATCH = 1000


class Fleet(Protocol):
    """The methods that :class:`~pagefault.runtime.host.local.Local` and
    :class:`~pagefault.cluster.api.Cluster` have in common.  All are coroutines or asynchronous iterators."""

    async def spawn(self, agent: Agent) -> AgentRef: ...
    async def spawn_many(self, agents: Iterable[Agent]) -> list[AgentRef]: ...
    async def send(self, agent: AgentId | str, message: str | Interrupt) -> InterruptId: ...
    async def ask(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> str: ...
    def stream(self, agent: AgentId | str | None = None, *, words: bool = False) -> AsyncIterator[Step]: ...
    async def inspect(self, agent: AgentId | str) -> Inspection: ...
    async def tier_statistics(self) -> dict[str, dict[str, int]]: ...
    async def metrics(self) -> list[dict[str, Any]]: ...
    async def budget_statistics(self) -> dict[str, dict[str, float]]: ...
    async def subscribe(self, agent: AgentId | str, topic: str) -> None: ...
    async def unsubscribe(self, agent: AgentId | str, topic: str) -> bool: ...
    async def topics(self, agent: AgentId | str | None = None) -> dict[str, int]: ...
    async def subscribers(self, topic: str) -> list[AgentId]: ...
    async def publish(self, topic: str, message: str | Interrupt) -> int: ...
    async def broadcast(self, message: str | Interrupt, prefix: str = "") -> int: ...
    async def dead_letters(self, limit: int = ..., to: AgentId | str | None = None) -> list[DeadLetter]: ...
    async def resend(self, ids: Iterable[LetterId | str]) -> list[LetterId]: ...
    async def discard(self, ids: Iterable[LetterId | str]) -> int: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AgentRef:
    """One agent of a fleet, by name: cheap to make, good for ever."""

    fleet: Fleet
    id: AgentId

    async def send(self, message: str | Interrupt) -> InterruptId:
        """Send and return once it is accepted for good; do not wait for the answer.  See :meth:`Local.send`."""
        return await self.fleet.send(self.id, message)

    async def ask(self, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> str:
        """Send and wait for what the agent says with ``send_message``.  See :meth:`Local.ask`."""
        return await self.fleet.ask(self.id, message, timeout_s)

    def stream(self, *, words: bool = False) -> AsyncIterator[Step]:
        """What the agent does, step by step, from now on.  See :meth:`Local.stream`."""
        return self.fleet.stream(self.id, words=words)

    async def inspect(self) -> Inspection:
        """What is in the agent's context, and why."""
        return await self.fleet.inspect(self.id)


def checked_tiers(tiers: Iterable[Tier | Mapping[str, Any]]) -> tuple[Tier, ...]:
    """The tiers below the contexts, the archive added if it is missing.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    try:
        return tier_chain(tiers)
    except PolicyError as error:
        raise ConfigError(error.field, error.found, error.allowed) from error


async def register_all(
    fleet: Fleet,
    agents: Iterable[Agent],
    try_out: Callable[[AgentDefinition], object],
    register: Callable[[Sequence[tuple[AgentId, bytes]]], Awaitable[object]],
) -> list[AgentRef]:
    """Register descriptions in batches; each that differs in more than its name is tried out first.

    Raises what ``try_out`` and ``register`` raise; an error in a description leaves nothing registered.
    """
    tried: set[bytes] = set()
    batch: list[tuple[AgentId, bytes]] = []
    for agent in agents:
        definition = agent.definition()
        data = encode_definition(definition)
        if data not in tried:
            try_out(definition)
            tried.add(data)
        batch.append((definition.id, data))
    for start in range(0, len(batch), REGISTER_BATCH):
        await register(batch[start : start + REGISTER_BATCH])
    return [AgentRef(fleet, agent) for agent, _ in batch]


def as_interrupt(message: str | Interrupt, interrupt_id: str, now_ms: int) -> Interrupt:
    """A plain text becomes a user's message.  Raises :class:`~pagefault.runtime.errors.UsageError`."""
    trace = current_traceparent()
    if isinstance(message, Interrupt):
        if not message.id:
            raise UsageError("interrupt.id: found '', allowed: 1 character or more, a new one for each interrupt")
        return message if message.trace or not trace else replace(message, trace=trace)
    if not isinstance(message, str):
        raise UsageError(f"message: found {type(message).__name__}, allowed: str or Interrupt")
    return Interrupt(
        id=InterruptId(interrupt_id),
        kind=InterruptKind.MESSAGE,
        priority=Priority.USER,
        sender="user",
        text=message,
        created_ms=now_ms,
        trace=trace,
    )


def check_receipt(agent: str, receipt: Receipt) -> None:
    """Raise :class:`~pagefault.runtime.errors.Overloaded` for an interrupt that may be sent again, and
    :class:`~pagefault.runtime.errors.AgentFailed` for one that may not."""
    if receipt.accepted:
        return
    if receipt.retry_after_ms > 0:
        raise Overloaded(f"{agent}: {receipt.reason}", receipt.retry_after_ms)
    raise AgentFailed(f"{agent}: {receipt.reason}", "refused")


def as_answer(agent: str, result: Receipt | Answer) -> Answer:
    """What a host gave for a question.  Raises what :func:`check_receipt` raises for one that was refused; one whose
    answer cannot be found any more has the outcome ``duplicate``."""
    if isinstance(result, Answer):
        return result
    check_receipt(agent, result)
    return Answer("", "duplicate", 0, "this interrupt was handled before, and its answer is not found", result.page_id)


def text_of(agent: str, answer: Answer) -> str:
    """What was said; raises :class:`~pagefault.runtime.errors.AgentFailed` when nothing was and the chain failed."""
    if answer.text or answer.outcome == "yielded":
        return answer.text
    raise AgentFailed(f"{agent}: {answer.outcome}: {answer.message}", answer.outcome)
