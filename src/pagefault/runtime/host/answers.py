"""Answers to whoever asks: what a chain said, heard as it ends or derived again from the journal.

Whoever asks again with the same interrupt (its host died, or the agent moved, before it heard the answer) gets the
words that the chain said then.  They are kept nowhere: an agent is a function of its journal, so handling its
events once more says them again.  That costs as much as the agent's history is long, and is rare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.host.births import state_from
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.listeners import Listeners
from pagefault.runtime.host.records import Answer, Receipt, decode_event
from pagefault.runtime.host.services import Stores
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import ChainEnded, Deliver
from pagefault.runtime.values import AgentId, Interrupt, InterruptId

RECORDS_MAX = 100_000
"""A longer history is not gone through for an answer."""
EVENTS_A_TURN = 64

log = structlog.get_logger(__name__)


class Answers:
    """Questions to the agents of one host: ``deliver`` and ``frame`` are the host's."""

    def __init__(
        self,
        stores: Stores,
        workshop: Workshop,
        listeners: Listeners,
        frame: Callable[[AgentId], Awaitable[Frame]],
        deliver: Callable[[AgentId, Interrupt], Awaitable[Receipt]],
    ) -> None:
        self._stores = stores
        self._workshop = workshop
        self._listeners = listeners
        self._frame = frame
        self._deliver = deliver

    async def ask(self, agent: AgentId, interrupt: Interrupt) -> Receipt | Answer:
        """Deliver an interrupt and wait for its chain's end; a receipt only if it was refused.

        One that was handled before, or is under way, is answered too, with all that was said.  Raises what
        :meth:`pagefault.runtime.host.host.Host.deliver` raises.
        """
        future = self._listeners.answer(agent, interrupt.id)
        try:
            receipt = await self._deliver(agent, interrupt)
            if not receipt.accepted:
                return receipt
            answer = await future if receipt.under_way else None
            if not receipt.duplicate and answer is not None:
                return answer
            return await self._past(agent, interrupt) or answer or receipt
        finally:
            self._listeners.drop_answer(agent, interrupt.id, future)

    async def _past(self, agent: AgentId, interrupt: Interrupt) -> Answer | None:
        frame = await self._frame(agent)
        if frame.next_seq > RECORDS_MAX:
            return None
        try:
            past = await self._stores.past(agent)
            birth = await self._stores.checkpoint(agent, 0) if 0 in past.checkpoints else None
            state = state_from(self._workshop, frame.state.definition, birth)
            return await past_answer(state, await self._stores.records(agent), interrupt.id)
        except PagefaultError as error:
            log.warning("answer_not_found", agent=agent, interrupt=interrupt.id, problem=str(error))
            return None


async def past_answer(
    state: AgentState, records: Sequence[tuple[int, bytes]], interrupt_id: InterruptId
) -> Answer | None:
    """The answer to an interrupt, given its agent at birth and all records; ``None`` if its chain has not ended.

    Raises :class:`~pagefault.runtime.errors.StoreCorrupt`, and what a kernel raises for a history that is not its
    own.
    """
    said: list[str] = []
    for place, (_, data) in enumerate(records):
        for effect in state.handle(decode_event(state.definition.id, data)):
            if isinstance(effect, Deliver) and effect.cause == interrupt_id:
                said.append(effect.text)
            elif isinstance(effect, ChainEnded) and effect.cause == interrupt_id:
                return Answer("\n".join(said), effect.outcome, effect.steps, effect.message, effect.page_id)
        if place % EVENTS_A_TURN == EVENTS_A_TURN - 1:
            await asyncio.sleep(0)  # others on this loop have their turn
    return None
