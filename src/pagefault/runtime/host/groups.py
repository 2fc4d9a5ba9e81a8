"""Groups of agents and dead letters, as a program sees them: what every fleet has alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions.builtin.topics import topic_problem
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.routing import Deliver, carry, fan_out, resend
from pagefault.runtime.host.secrecy import cleaned
from pagefault.runtime.host.services import Stores
from pagefault.runtime.store.mail import TOPICS_MAX
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, LetterId

LETTERS_LISTED = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Post:
    """What a fleet sends with."""

    stores: Stores
    deliver: Deliver
    clock: Clock

    async def bury(self, sender: str, letters: Sequence[DeadLetter]) -> None:
        """See :class:`~pagefault.runtime.host.routing.Bury`."""
        clean = [replace(each, interrupt=cleaned(each.interrupt)) for each in letters]
        gone = await self.stores.add_letters(clean)
        if gone:
            log.warning("dead_letters_dropped", letters=gone, sender=sender)

    async def to_all(self, receivers: Sequence[AgentId], interrupt: Interrupt) -> int:
        """Bring one interrupt to many; how many accepted it."""
        return await fan_out(
            lambda to: carry(self.deliver, self.bury, self.clock, AgentId(""), to, interrupt), receivers
        )


class Groups(ABC):
    """Topics, broadcasts and dead letters of a fleet.

    All methods raise :class:`~pagefault.runtime.errors.StoreUnavailable` when the journal cannot be asked.
    """

    @abstractmethod
    def _post(self) -> Post:
        """What to send with; raises :class:`~pagefault.runtime.errors.UsageError` when the fleet is not open."""

    @abstractmethod
    def _interrupt(self, message: str | Interrupt) -> Interrupt:
        """A text becomes a user's message."""

    # --- topics

    async def subscribe(self, agent: AgentId | str, topic: str) -> None:
        """Let an agent hear what is published under a topic; a second time changes nothing.

        Raises :class:`~pagefault.runtime.errors.ConfigError` for a name that no topic can have,
        :class:`~pagefault.runtime.errors.UnknownAgent`, and :class:`~pagefault.runtime.errors.UsageError` when the
        agent has as many topics as it may have.
        """
        if not await self._post().stores.subscribe(AgentId(agent), _checked(topic)):
            raise UsageError(f"{agent}: found {TOPICS_MAX} topics, which is the limit; unsubscribe it from one first")

    async def unsubscribe(self, agent: AgentId | str, topic: str) -> bool:
        """Let an agent hear no more of a topic; whether it did."""
        return await self._post().stores.unsubscribe(AgentId(agent), _checked(topic))

    async def topics(self, agent: AgentId | str | None = None) -> dict[str, int]:
        """Each topic with the number of agents that hear it: all, or those of one agent."""
        return dict(await self._post().stores.topics(None if agent is None else AgentId(agent)))

    async def subscribers(self, topic: str) -> list[AgentId]:
        """The agents that hear a topic, in order."""
        return await self._post().stores.subscribers(_checked(topic))

    async def publish(self, topic: str, message: str | Interrupt) -> int:
        """Send a user's message, or any interrupt, to all who hear a topic; how many accepted it.

        All get the same interrupt, so publishing it again reaches each once.  A full mailbox is tried again for a
        while; who cannot be reached leaves a dead letter.
        """
        post, interrupt = self._post(), self._interrupt(message)
        if not interrupt.session:
            interrupt = replace(interrupt, session=topic)
        return await post.to_all(await post.stores.subscribers(_checked(topic)), interrupt)

    async def broadcast(self, message: str | Interrupt, prefix: str = "") -> int:
        """The same to all agents, or all whose names begin with ``prefix``."""
        post = self._post()
        return await post.to_all(await post.stores.agents(prefix), self._interrupt(message))

    # --- dead letters

    async def dead_letters(self, limit: int = LETTERS_LISTED, to: AgentId | str | None = None) -> list[DeadLetter]:
        """What agents sent and could not be delivered, newest first: to all, or to one agent.

        Raises :class:`~pagefault.runtime.errors.ConfigError` for a limit below 1.
        """
        if limit < 1:
            raise ConfigError("limit", limit, "1 or more")
        return await self._post().stores.letters(limit, None if to is None else AgentId(to))

    async def resend(self, ids: Iterable[LetterId | str]) -> list[LetterId]:
        """Send dead letters again, and return the ids of those that were accepted: they are dead letters no more.

        They go as messages that begin anew, without deadline; nobody waits for their answers any more.
        """
        post = self._post()
        return await resend(post.deliver, post.stores, [LetterId(each) for each in ids])

    async def discard(self, ids: Iterable[LetterId | str]) -> int:
        """Forget dead letters; how many there were."""
        return await self._post().stores.remove_letters([LetterId(each) for each in ids])


def _checked(topic: str) -> str:
    """Raise :class:`~pagefault.runtime.errors.ConfigError` for a name that no topic can have."""
    problem = topic_problem(topic)
    if problem:
        raise ConfigError("topic", topic[:200], problem.partition("allowed: ")[2])
    return topic
