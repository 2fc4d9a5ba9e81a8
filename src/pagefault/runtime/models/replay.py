"""A processor that gives recorded replies again, in order.

With the requests' fingerprints beside them it also proves that the agent asks what it asked then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from pagefault.runtime.errors import ReplayDivergence
from pagefault.runtime.kernel.events import Event, ModelReplied
from pagefault.runtime.values import Message, ModelReply, ModelRequest


def request_hash(request: ModelRequest) -> str:
    """A fingerprint of everything that a model is shown, the same in every process.

    Field lengths go in as well, so that no two different requests run together to the same bytes.
    """
    digest = hashlib.blake2b(digest_size=16)

    def take(*texts: str) -> None:
        for text in texts:
            piece = text.encode(errors="surrogatepass")
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)

    take(request.agent, request.purpose, str(request.reply_tokens_max), str(len(request.messages)))
    for message in request.messages:
        take(*_message_texts(message))
    for function in request.functions:
        take(function.name, function.description, function.parameters, str(function.strict))
    return digest.hexdigest()


def _message_texts(message: Message) -> Iterator[str]:
    yield from (message.role, message.text, message.answers, message.name, str(len(message.calls)))
    yield from message.reasoning
    for call in message.calls:
        yield from (call.id, call.name, call.arguments)


def recorded_replies(events: Iterable[Event]) -> Iterator[ModelReply]:
    """The model's replies in a journal's events."""
    return (event.reply for event in events if isinstance(event, ModelReplied))


class ReplayProcessor:
    """Gives recorded replies in order.

    Args:
        replies: the recording.
        hashes: :func:`request_hash` of each request then; an empty string stands for one that is not known.

    Raises:
        ValueError: there are hashes, but not one for each reply.
    """

    def __init__(self, replies: Iterable[ModelReply], hashes: Iterable[str] | None = None) -> None:
        self._replies = tuple(replies)
        self._hashes = ("",) * len(self._replies) if hashes is None else tuple(hashes)
        if len(self._hashes) != len(self._replies):
            raise ValueError(f"{len(self._hashes)} hashes for {len(self._replies)} replies")
        self._next = 0
        self.name = f"replay:{len(self._replies)} replies"
        self.window_tokens = 0

    @property
    def left(self) -> int:
        """How many replies have not been asked for."""
        return len(self._replies) - self._next

    async def reply(self, request: ModelRequest) -> ModelReply:
        """The next recorded reply.

        Raises:
            ReplayDivergence: there is none left, or the request is not the one of then.
        """
        number = self._next + 1
        if not self.left:
            raise ReplayDivergence(
                f"agent {request.agent}: reply {number} was asked for, but only {len(self._replies)} are recorded"
            )
        recorded = self._hashes[self._next]
        found = request_hash(request) if recorded else ""
        if found != recorded:
            raise ReplayDivergence(
                f"agent {request.agent}: request {number} has the hash {found}, recorded was {recorded}"
            )
        self._next = number
        return self._replies[number - 1]

    async def close(self) -> None:
        """Nothing is held open."""
