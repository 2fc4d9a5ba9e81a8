"""What is refused at a host's door: too large, or for a mailbox that is full.

The kernel would refuse it as well, but only as an event like any other, and those are recorded: a flood of what is
refused would fill the journal, and one that is larger than any record could not be written at all.
"""

from __future__ import annotations

from collections.abc import Callable

from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.kernel.arrivals import refusal
from pagefault.runtime.kernel.effects import AnyEffect, Notice
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import Interrupt


def refused(frame: Frame, interrupt: Interrupt, perform: Callable[[Frame, int, AnyEffect], None]) -> Receipt | None:
    """The receipt of what an agent would refuse now, which then is neither handled nor recorded; ``None`` for what
    it has to see.  Whoever watches the agent is told, by ``perform``."""
    if frame.state.phase is Phase.STOPPED:
        return None  # the agent says it better
    reject = refusal(frame.state, interrupt)
    if reject is None or (reject.retry_after_ms and frame.inbox):  # what is handled first may make room
        return None
    perform(frame, 0, Notice(interrupt.id, "mailbox_full", text=reject.reason))
    return Receipt(False, reason=reject.reason, retry_after_ms=reject.retry_after_ms)
