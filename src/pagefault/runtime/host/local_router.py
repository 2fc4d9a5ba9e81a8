"""Brings interrupts from agent to agent within one host."""

from __future__ import annotations

import asyncio

import structlog

from pagefault.runtime.errors import PagefaultError, UnknownAgent
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

ATTEMPTS_MAX = 20

log = structlog.get_logger(__name__)


def undeliverable(sender: AgentId, to: AgentId, interrupt: Interrupt, why: str, now_ms: int) -> Interrupt:
    """What a sender is told: a failed reply if it waits for one, a message otherwise."""
    text = f"your message to {to} could not be delivered: {why}"
    return Interrupt(
        id=InterruptId(f"{interrupt.id}/undeliverable"),
        kind=InterruptKind.REPLY if interrupt.wants_reply else InterruptKind.MESSAGE,
        priority=Priority.REPLY if interrupt.wants_reply else Priority.AGENT,
        sender="system",
        text=text,
        created_ms=now_ms,
        in_reply_to=interrupt.id if interrupt.wants_reply else "",
        failed=interrupt.wants_reply,
        hops=interrupt.hops + 1,
    )


class LocalRouter:
    """Every agent is in the same host; a full mailbox is tried again until it takes the message."""

    def __init__(self) -> None:
        self.host: Host | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def route(self, sender: AgentId, to: AgentId, interrupt: Interrupt) -> None:
        """See :class:`~pagefault.runtime.host.services.Router`."""
        task = asyncio.get_running_loop().create_task(self._deliver(sender, to, interrupt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, sender: AgentId, to: AgentId, interrupt: Interrupt) -> None:
        host = self.host
        assert host is not None
        why = "its mailbox stayed full"
        try:
            for _ in range(ATTEMPTS_MAX):
                receipt: Receipt = await host.deliver(to, interrupt)
                if receipt.accepted:
                    return
                why = receipt.reason
                if receipt.retry_after_ms <= 0:
                    break
                await host.clock.sleep_until(host.clock.now_ms() + receipt.retry_after_ms)
        except UnknownAgent:
            why = "there is no such agent"
        except PagefaultError as error:
            why = str(error)
        log.warning("undeliverable", sender=sender, to=to, why=why)
        if interrupt.kind is InterruptKind.REPLY or interrupt.sender == "system":
            return
        try:
            await host.deliver(sender, undeliverable(sender, to, interrupt, why, host.clock.now_ms()))
        except PagefaultError as error:
            log.warning("undeliverable", sender="system", to=sender, why=str(error))

    async def close(self) -> None:
        """Stop trying; what was committed is routed again when its sender is next activated."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
