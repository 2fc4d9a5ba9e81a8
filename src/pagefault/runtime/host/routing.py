"""From agent to agent: keep trying until accepted; what is hopeless becomes a dead letter, and its sender is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from pagefault.runtime.errors import Overloaded, PagefaultError, StoreError, UnknownAgent
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.host.services import MailStores
from pagefault.runtime.store.mail import letter_id
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, InterruptId, InterruptKind, LetterId, Priority

ATTEMPTS_MAX = 20
STORE_RETRY_MS = 500
FAN_OUT_MAX = 512
"""Receivers of one message that are written to at a time."""
SYSTEM = "system"

Deliver = Callable[[AgentId, Interrupt], Awaitable[Receipt]]

log = structlog.get_logger(__name__)


class Bury(Protocol):
    """Keeps dead letters, for good, and says so to whoever looks on."""

    async def __call__(self, sender: str, letters: Sequence[DeadLetter]) -> None:
        """Raises a ``StoreError`` when they could not be kept."""


async def carry(  # noqa: PLR0917 - the means, which are always the same three, and then what travels
    deliver: Deliver, bury: Bury, clock: Clock, sender: AgentId, to: AgentId, interrupt: Interrupt
) -> bool:
    """Bring an interrupt to an agent with ``deliver``; whether it was accepted.

    A full mailbox is tried again when it says, and a store that failed a moment later: it may have taken the
    interrupt all the same, so giving up at once could be a lie.  What cannot be delivered is kept as a dead letter,
    and a sender that is an agent is told so by an interrupt (a failed reply if it waits for one).  Raises a
    ``StoreError`` only, when the letter could not be kept: then nothing is settled, and it is sent again later.
    """
    why = await _try(deliver, clock, to, interrupt)
    if why is None:
        return True
    log.warning("undeliverable", sender=sender, to=to, why=why)
    if interrupt.kind is InterruptKind.CANCEL or interrupt.sender == SYSTEM:
        return False  # nobody is left to be told anything
    await _bury(bury, clock, sender, DeadLetter(letter_id(to, interrupt), to, interrupt, why, clock.now_ms()))
    if interrupt.kind is InterruptKind.REPLY or interrupt.sender != sender:
        return False
    problem = await _try(deliver, clock, sender, _undeliverable(to, interrupt, why, clock.now_ms()))
    if problem is not None:
        log.warning("undeliverable", sender=SYSTEM, to=sender, why=problem)
    return False


async def fan_out(carry_one: Callable[[AgentId], Awaitable[object]], receivers: Sequence[AgentId]) -> int:
    """Bring one message to many, :data:`FAN_OUT_MAX` at a time; how many accepted it.

    ``carry_one`` is a :func:`carry` of the message to one agent.  Raises the first ``StoreError`` of theirs, when
    all have ended.
    """
    reached = 0
    failure: BaseException | None = None
    for start in range(0, len(receivers), FAN_OUT_MAX):
        part = receivers[start : start + FAN_OUT_MAX]
        for end in await asyncio.gather(*map(carry_one, part), return_exceptions=True):
            if isinstance(end, BaseException):
                failure = failure or end
            else:
                reached += bool(end)
    if failure is not None:
        raise failure
    return reached


async def resend(deliver: Deliver, stores: MailStores, ids: Sequence[LetterId]) -> list[LetterId]:
    """Send dead letters again, once, and return those that were accepted: they are dead letters no more.

    Each goes as a message that begins anew: its deadline and hops are forgotten, and nobody waits for an answer,
    since whoever did was told that there is none.  Raises ``StoreError``.
    """
    sent: list[LetterId] = []
    for letter in await stores.letters_by_id(ids):
        try:
            again = replace(letter.interrupt, deadline_ms=None, hops=0, wants_reply=False, callers=())
            receipt = await deliver(letter.to, again)
        except (Overloaded, UnknownAgent) as error:
            log.info("still_undeliverable", to=letter.to, why=str(error))
            continue
        if receipt.accepted:
            sent.append(letter.id)
    await stores.remove_letters(sent)
    return sent


async def _bury(bury: Bury, clock: Clock, sender: str, letter: DeadLetter) -> None:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            await bury(sender, [letter])
        except StoreError:
            if attempt == ATTEMPTS_MAX:
                raise
            await clock.sleep_until(clock.now_ms() + STORE_RETRY_MS)
        else:
            return


async def _try(deliver: Deliver, clock: Clock, to: AgentId, interrupt: Interrupt) -> str | None:
    """``None`` when it was accepted, or why it was not."""
    why = "its mailbox stayed full"
    try:
        for _ in range(ATTEMPTS_MAX):
            if interrupt.deadline_ms is not None and interrupt.deadline_ms < clock.now_ms():
                return "its deadline passed on the way"
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
        sender=SYSTEM,
        text=f"your message to {to} could not be delivered: {why}",
        created_ms=now_ms,
        in_reply_to=interrupt.id if interrupt.wants_reply else "",
        failed=interrupt.wants_reply,
        hops=interrupt.hops + 1,
    )
