"""Where the ``pagefault`` command begins: Ctrl-C ends it quietly even while the rest is being loaded."""

from __future__ import annotations

import importlib
import os
import signal

INTERRUPTED = 130


def main() -> None:
    """The console script."""
    # An exception raised in the middle of an import is printed by whoever was importing, or swallowed; and there is
    # nothing yet that would have to be ended in order.
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    console = importlib.import_module("pagefault.cluster.console.main")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        console.main()
    except KeyboardInterrupt:  # between two of its own handlers
        os._exit(INTERRUPTED)
