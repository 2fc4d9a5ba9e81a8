"""From agent to agent: keep trying until accepted, and tell the sender when that is hopeless."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from pagefault.runtime.errors import Overloaded, PagefaultError, StoreError, UnknownAgent
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

ATTEMPTS_MAX = 20
STORE_RETRY_MS = 500

Deliver = Callable[[AgentId, Interrupt], Awaitable[Receipt]]

log = structlog.get_logger(__name__)


async def carry(deliver: Deliver, clock: Clock, sender: AgentId, to: AgentId, interrupt: Interrupt) -> None:
    """Bring an interrupt to an agent with ``deliver``.

    A full mailbox is tried again when it says, and a store that failed a moment later: it may have taken the
    interrupt all the same, so giving up at once could be a lie.  A sender whose message cannot be delivered
    is told so by an interrupt (a failed reply if it waits for one).  Raises nothing of ours.
    """
    why = await _try(deliver, clock, to, interrupt)
    if why is None:
        return
    log.warning("undeliverable", sender=sender, to=to, why=why)
    if interrupt.kind is InterruptKind.REPLY or interrupt.sender == "system":
        return
    problem = await _try(deliver, clock, sender, _undeliverable(to, interrupt, why, clock.now_ms()))
    if problem is not None:
        log.warning("undeliverable", sender="system", to=sender, why=problem)


async def _try(deliver: Deliver, clock: Clock, to: AgentId, interrupt: Interrupt) -> str | None:
    """``None`` when it was accepted, or why it was not."""
    why = "its mailbox stayed full"
    try:
        for _ in range(ATTEMPTS_MAX):
            try:
                receipt = await deliver(to, interrupt)
            except Overloaded as error:
                receipt = Receipt(False, reason=str(error), retry_after_ms=error.retry_after_ms)
            except StoreError as error:
                receipt = Receipt(False, reason=str(error), retry_after_ms=STORE_RETRY_MS)
            if receipt.accepted:
                return None
            why = receipt.reason
            if receipt.retry_after_ms <= 0:
                return why
            await clock.sleep_until(clock.now_ms() + receipt.retry_after_ms)
    except UnknownAgent:
        return "there is no such agent"
    except PagefaultError as error:
        return str(error)
    return why


def _undeliverable(to: AgentId, interrupt: Interrupt, why: str, now_ms: int) -> Interrupt:
    """What a sender is told: a failed reply if it waits for one, a message otherwise."""
    return Interrupt(
        id=InterruptId(f"{interrupt.id}/undeliverable"),
        kind=InterruptKind.REPLY if interrupt.wants_reply else InterruptKind.MESSAGE,
        priority=Priority.REPLY if interrupt.wants_reply else Priority.AGENT,
        sender="system",
        text=f"your message to {to} could not be delivered: {why}",
        created_ms=now_ms,
        in_reply_to=interrupt.id if interrupt.wants_reply else "",
        failed=interrupt.wants_reply,
        hops=interrupt.hops + 1,
    )
