"""Timers, and a pause from them."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import (
    CallProblem,
    Done,
    MemoryView,
    Outcome,
    PauseHeartbeats,
    StartTimer,
    StopTimer,
)

PAUSE_MINUTES_MAX = 360  # as in MemGPT
TIMER_MINUTES_MAX = 366 * 24 * 60
REPEAT_MS_MIN = 1_000
_MINUTE_MS = 60_000


@function
def set_timer(
    view: MemoryView,
    minutes: Annotated[float, Field(gt=0, le=TIMER_MINUTES_MAX)],
    message: str,
    repeat: bool = False,
) -> Outcome:
    """Be woken later with a message of your own.

    Args:
        minutes: How long from now; 0.5 is 30 seconds.
        message: What to tell yourself then.
        repeat: Whether to go on every so many minutes.
    """
    if not message.strip():
        raise CallProblem("The message is empty; write what to tell yourself when the time comes.")
    delay_ms = max(round(minutes * _MINUTE_MS), 1)
    if repeat and delay_ms < REPEAT_MS_MIN:
        raise CallProblem(f"minutes: found {minutes}, allowed for a repeated timer: at least {REPEAT_MS_MIN} ms.")
    # The id follows from what was asked, so that asking again after a crash sets no second timer.
    start = "" if repeat else str(view.now_ms)
    digest = hashlib.blake2s(f"{delay_ms}\n{repeat}\n{start}\n{message}".encode(), digest_size=6).hexdigest()
    timer = StartTimer(f"timer-{digest}", view.now_ms + delay_ms, message, delay_ms if repeat else None)
    told = f"Timer {timer.timer_id} set: {'every' if repeat else 'in'} {minutes:g} minutes."
    return Done(told, (timer,))


@function(effect="idempotent")
def cancel_timer(view: MemoryView, timer_id: str) -> Outcome:
    """Take a timer off that you have set.

    Args:
        timer_id: As set_timer told it, such as timer-0a1b2c3d4e5f.
    """
    return Done(f"Timer {timer_id} is off.", (StopTimer(timer_id),))


@function(effect="idempotent", chains="never")
def pause_heartbeats(view: MemoryView, minutes: Annotated[int, Field(ge=0, le=PAUSE_MINUTES_MAX)]) -> Outcome:
    """Let no timer or heartbeat wake you for a while; messages still do. 0 ends a pause.

    Args:
        minutes: How long.
    """
    until_ms = view.now_ms + minutes * _MINUTE_MS
    told = f"Heartbeats are paused for {minutes} minutes." if minutes else "Heartbeats are no longer paused."
    return Done(told, (PauseHeartbeats(until_ms),))
