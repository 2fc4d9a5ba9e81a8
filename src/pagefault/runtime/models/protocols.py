"""A processor turns a context into a reply.  Everything that can think implements this Protocol."""

from __future__ import annotations

from typing import Protocol

from pagefault.runtime.values import ModelReply, ModelRequest


class Processor(Protocol):
    """A model behind whatever wire.  ``name`` is for people; ``window_tokens`` is 0 when unknown."""

    name: str
    window_tokens: int

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer one request completely, retrying as the processor sees fit.

        Raises a :class:`~pagefault.runtime.errors.ModelError`; never returns half an answer.  Cancelling
        the task stops the call in flight.
        """

    async def close(self) -> None: ...
