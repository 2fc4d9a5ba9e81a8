"""What ``faults`` poisons a fleet with: a function that kills its own process, and a mind that calls it."""

from __future__ import annotations

import os
import signal

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.models.scripted import Reply, call
from pagefault.runtime.values import ModelRequest


@function(effect="idempotent")
def die() -> str:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "unreachable"


def suicidal(_request: ModelRequest) -> Reply:
    """Calls it whatever it is told."""
    return call("die", heartbeat=True)
