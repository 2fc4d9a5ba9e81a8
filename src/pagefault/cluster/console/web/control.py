"""What may be done to agents from the page, where it was started with ``--allow-control``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pagefault.cluster.api import Cluster
from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.config import config_error
from pagefault.runtime.host.local import Local
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

TEXT_MAX_CHARS = 16_000


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    agent: str = Field(min_length=1, max_length=200)


class _Message(_Asked):
    text: str = Field(min_length=1, max_length=TEXT_MAX_CHARS)


class Controls:
    """``fleet`` gives the fleet that is shown, or raises if it does not run."""

    def __init__(self, fleet: Callable[[], Cluster | Local]) -> None:
        self._fleet = fleet
        self._clock = SystemClock()

    async def do(self, what: str, given: Any) -> dict[str, Any]:
        """``send`` a message (``agent``, ``text``), ``cancel`` what an agent is doing, ``hibernate`` one at rest.

        Raises :class:`~pagefault.runtime.errors.UsageError` for anything else, and what the fleet raises.
        """
        if what == "send":
            message = _read(_Message, given)
            return await self._send(message.agent, InterruptKind.MESSAGE, Priority.USER, message.text)
        if what == "cancel":
            return await self._send(_read(_Asked, given).agent, InterruptKind.CANCEL, Priority.OPERATOR, "")
        if what == "hibernate":
            agent = _read(_Asked, given).agent
            return {"hibernated": await self._fleet().hibernate(agent)}
        raise UsageError(f"path: found {what!r}, allowed: send, cancel or hibernate")

    async def _send(self, agent: str, kind: InterruptKind, priority: Priority, text: str) -> dict[str, Any]:
        interrupt = Interrupt(
            id=InterruptId(f"page-{os.urandom(8).hex()}"),
            kind=kind,
            priority=priority,
            sender="user",
            text=text,
            created_ms=self._clock.now_ms(),
        )
        await self._fleet().send(AgentId(agent), interrupt)
        return {"interrupt": interrupt.id}


def _read(kind: type[Any], given: object) -> Any:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise config_error(error, "body", kind) from None
