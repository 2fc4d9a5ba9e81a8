"""Calls that wait for an operator, as a program sees them: what every fleet has alike."""

from __future__ import annotations

from dataclasses import dataclass

from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.fleet import check_receipt
from pagefault.runtime.host.groups import Groups
from pagefault.runtime.host.history import open_history
from pagefault.runtime.host.pasts import Pasts
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

FOREVER_MS = 2**62
REASON_CHARS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Approval:
    """A call that waits: approve or deny it by its ``id`` before ``until_ms``.  ``cause`` began its chain, sent by
    ``sender``; ``arguments`` are the call's, as the model wrote them."""

    id: str
    agent: AgentId
    function: str
    arguments: str
    cause: InterruptId
    sender: str
    until_ms: int


class Approvals(Groups, Pasts):
    """Lists what waits, and answers it.  What is listed is read from the journal, so nobody is woken for it.

    All methods raise what those of :class:`~pagefault.runtime.host.pasts.Pasts` raise.
    """

    async def approvals(self, prefix: str = "") -> list[Approval]:
        """The calls that wait for an operator, of agents whose names begin with ``prefix``; the most urgent first."""
        workshop, stores = self._archives()
        found: list[Approval] = []
        # Whoever waits has a deadline, so the journal knows when it must be awake: nobody else needs a look.
        for agent, _ in await self._post().stores.due(FOREVER_MS):
            if not agent.startswith(prefix):
                continue
            history = await open_history(workshop, stores, agent)
            state = (await history.at_record(history.last_seq)).state
            found += [
                Approval(
                    id=key,
                    agent=agent,
                    function=chain.waiting_call.name,
                    arguments=chain.waiting_call.arguments,
                    cause=chain.cause,
                    sender=chain.interrupt.sender,
                    until_ms=chain.waits_until_ms,
                )
                for key, chain in state.parked.items()
                if chain.waiting_call is not None and not chain.waits_for and chain.answer is None
            ]
        return sorted(found, key=lambda each: (each.until_ms, each.id))

    async def approve(self, approval_id: str) -> None:
        """Let a call be run.  A second time, it is accepted and changes nothing.

        Raises :class:`~pagefault.runtime.errors.AgentFailed` when nothing waits under this id.
        """
        await self._decide(approval_id, "approve", "", is_denied=False)

    async def deny(self, approval_id: str, reason: str = "") -> None:
        """Do not let a call be run; the model is told the ``reason``.  Raises as :meth:`approve`."""
        await self._decide(approval_id, "deny", reason, is_denied=True)

    async def _decide(self, approval_id: str, verb: str, reason: str, *, is_denied: bool) -> None:
        agent, slash, number = approval_id.rpartition("/")
        if not (agent and slash and number.isdigit()):
            raise UsageError(f"approval: found {approval_id!r}, allowed: an id such as ada/17, as approvals are listed")
        if len(reason) > REASON_CHARS_MAX:
            raise UsageError(f"reason: found {len(reason)} characters, allowed: {REASON_CHARS_MAX}")
        post = self._post()
        interrupt = Interrupt(
            id=InterruptId(f"{approval_id}/{verb}"),
            kind=InterruptKind.APPROVAL,
            priority=Priority.OPERATOR,
            sender="operator",
            text=reason,
            created_ms=post.clock.now_ms(),
            target=InterruptId(approval_id),
            failed=is_denied,
        )
        check_receipt(agent, await post.deliver(AgentId(agent), interrupt))
