"""Words of a reply while it is still being made, for whoever wants to see them come.

They are provisional: nothing is taken from a reply before it is complete, a request that fails is asked again, and a
text may turn out to be a thought beside calls.  So what was shown can be withdrawn; what was *said* is known from the
agent, as ever.  A processor that streams looks for a hearer in its own task; those that do not need not know of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar

import jiter

SAYS = "send_message"
ARGUMENT = "message"


class Hearer:
    """Is told a reply's words so far, and passes on what is new of them, or that they are withdrawn."""

    def __init__(
        self,
        heard: Callable[[str], None],
        withdrawn: Callable[[], None],
        *,
        shareable: Callable[[str], str],
        takes_text: bool,
    ) -> None:
        """``shareable`` gives the beginning of a growing text that may be shown; ``takes_text``: what a reply says
        beside no call is said, too."""
        self._heard = heard
        self._shareable = shareable
        self._withdrawn = withdrawn
        self._takes_text = takes_text
        self._so_far = ""

    def hear(self, text: str, calls: Iterable[tuple[str, str]]) -> None:
        """``text`` and ``calls`` (name, arguments) as far as they have come."""
        listed = list(calls)
        said = [word for name, arguments in listed if name == SAYS and (word := _message(arguments))]
        if not listed and self._takes_text:
            said.append(text)
        now = self._shareable("\n".join(said))
        if not now.startswith(self._so_far):
            self.withdraw()
        fresh = now[len(self._so_far) :]
        if fresh:
            self._so_far = now
            self._heard(fresh)

    def withdraw(self) -> None:
        """What was heard is not going to be said: the request failed, or something else came of it."""
        if self._so_far:
            self._so_far = ""
            self._withdrawn()


HEARER: ContextVar[Hearer | None] = ContextVar("pagefault_hearer", default=None)
"""Whoever wants to see the words of the reply that the present task asks for."""


def _message(arguments: str) -> str:
    """The message in arguments that are not complete yet."""
    if ARGUMENT not in arguments:
        return ""
    try:
        found = jiter.from_json(arguments.encode(errors="replace"), partial_mode="trailing-strings")
    except ValueError:
        return ""
    said = found.get(ARGUMENT) if isinstance(found, dict) else None
    return said if isinstance(said, str) else ""
