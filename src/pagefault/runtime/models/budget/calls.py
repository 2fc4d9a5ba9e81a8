"""Calls as the budget sees them: what is asked, what is decided, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from pagefault.runtime.models.budget.limits import Stamp
from pagefault.runtime.models.budget.queue import Lane
from pagefault.runtime.models.budget.settings import Endpoint
from pagefault.runtime.values import Priority


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that wants to go out.  ``reply_tokens`` is the most that the answer may have; ``prefix`` a
    fingerprint of the prompt's beginning; ``only`` the one endpoint that will do, if there is one."""

    number: int
    agent: str
    model: str
    priority: Priority
    prompt_tokens: int
    reply_tokens: int
    prefix: bytes = b""
    only: str = ""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.reply_tokens


@dataclass(frozen=True, slots=True)
class Grant:
    """A call may go to this endpoint, now; its end must be told."""

    number: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call may not go.  ``kind``: ``full`` and ``late`` (try again after ``retry_after_ms``), ``down``,
    ``spent`` and ``large`` (never)."""

    number: int
    kind: str
    message: str
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """How a granted call ended.

    ``kind``: ``answered``; ``busy`` (429, ``retry_after_ms`` if it said); ``down`` (not reached, timed out, 5xx,
    or unusable for this account: with a long ``retry_after_ms``); ``failed`` (the endpoint is up, the call was
    of no use); ``broken`` (stopped from here); ``unsent``.  Tokens are what it cost.
    """

    kind: str
    prompt_tokens: int = 0
    reply_tokens: int = 0
    retry_after_ms: int = 0


@dataclass(slots=True)
class Waiting:
    """A call in the queue."""

    ask: Ask
    lane: Lane
    tag: float
    since_ms: float
    until_ms: float


@dataclass(slots=True)
class UnderWay:
    """A call that was granted, and what was taken for it."""

    ask: Ask
    endpoint: Endpoint
    stamp: Stamp
    money: float


@dataclass(slots=True)
class Counts:
    """What happened so far; all only grow."""

    asked: int = 0
    granted: int = 0
    answered: int = 0
    busy: int = 0
    down: int = 0
    refused: int = 0
    moved: int = 0
