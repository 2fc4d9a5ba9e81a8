"""How commands end: their exit codes, and what is said in one line."""

from __future__ import annotations

import signal

from rich.console import Console

from pagefault.cluster.plain_text import one_line

FAILED = 1
USAGE = 2
INTERRUPTED = 130


class Stopped(Exception):
    """Somebody stopped the run; everything is saved, and has been said."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


def say(console: Console, text: str, *, as_is: bool = False) -> None:
    """One line, however long it is, and however many the text has (``as_is`` keeps them)."""
    console.print(text if as_is else one_line(text), highlight=False, markup=False, soft_wrap=True)
