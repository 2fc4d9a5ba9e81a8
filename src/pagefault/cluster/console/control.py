"""What an operator does to one agent from outside: tell it something, cancel what it does, hold it and let it go on.

Each is an interrupt like any other: accepted for good, in the journal, and seen when the past is lived again.
"""

from __future__ import annotations

import os

from pagefault.cluster.api import Cluster
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.local import Local
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, Priority

OPERATOR = "operator"
HELD = (Priority.USER, Priority.AGENT, Priority.WORLD, Priority.TIMER, Priority.BACKGROUND)
"""What a held agent does not take up.  Replies pass: what it has begun, it ends."""


async def tell(fleet: Cluster | Local, agent: str, text: str) -> InterruptId:
    """Send a user's message; returns when it is accepted.  Raises what :meth:`Local.send` raises, as all of these."""
    return await fleet.send(agent, _interrupt(InterruptKind.MESSAGE, Priority.USER, "user", text=text))


async def pause(fleet: Cluster | Local, agent: str) -> InterruptId:
    """Have an agent begin nothing new: interrupts wait in its mailbox, and are refused when that is full.

    A chain that it has begun goes on to its end, unless :func:`cancel` ends it.
    """
    return await fleet.send(agent, _interrupt(InterruptKind.MASK, Priority.OPERATOR, OPERATOR, mask=HELD))


async def resume(fleet: Cluster | Local, agent: str) -> InterruptId:
    """Let an agent take up what waits."""
    return await fleet.send(agent, _interrupt(InterruptKind.MASK, Priority.OPERATOR, OPERATOR))


async def cancel(fleet: Cluster | Local, agent: str) -> InterruptId:
    """End what an agent is doing now, a model call in flight included; what waits in its mailbox comes next."""
    return await fleet.send(agent, _interrupt(InterruptKind.CANCEL, Priority.OPERATOR, OPERATOR))


def _interrupt(
    kind: InterruptKind, priority: Priority, sender: str, *, text: str = "", mask: tuple[Priority, ...] = ()
) -> Interrupt:
    return Interrupt(
        id=InterruptId(f"console-{os.urandom(8).hex()}"),
        kind=kind,
        priority=priority,
        sender=sender,
        text=text,
        created_ms=SystemClock().now_ms(),
        mask=mask,
    )
