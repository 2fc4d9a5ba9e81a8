"""Time: reminders that are due, and answers that did not come in time.

A periodic timer keeps its phase: it ticks at whole periods after it was set, whatever happens meanwhile.  Ticks that
were missed (the host was down, the agent busy, heartbeats paused) are not made up for: one tick comes, and says how
many were missed before it.
"""

from __future__ import annotations

from pagefault.runtime.kernel.arrivals import queue
from pagefault.runtime.kernel.consolidation import due_review
from pagefault.runtime.kernel.effects import SetTimer
from pagefault.runtime.kernel.events import ClockAdvanced
from pagefault.runtime.kernel.others import withdraw
from pagefault.runtime.kernel.state import AgentData, Timer
from pagefault.runtime.kernel.turns import run
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, Priority

SENDER = "timer"


def on_clock(data: AgentData, _event: ClockAdvanced) -> None:
    """Set off timers that are due, and give up on answers that did not come in time."""
    for key, chain in data.parked.items():
        if chain.answer is None and chain.waits_until_ms <= data.now_ms:
            withdraw(data, key, chain)
            chain.answer = Interrupt(
                InterruptId(f"{key}/reply"), InterruptKind.REPLY, Priority.REPLY, "system",
                text="no answer came in time", created_ms=data.now_ms, failed=True,
            )  # fmt: skip
    if data.now_ms >= data.paused_until_ms:
        due = [(timer.at_ms, key) for key, timer in data.timers.items() if timer.at_ms <= data.now_ms]
        for _, timer_id in sorted(due):
            _set_off(data, timer_id, data.timers[timer_id])
    review = due_review(data)
    if review is not None:
        queue(data, review)
    run(data)


def _set_off(data: AgentData, timer_id: str, timer: Timer) -> None:
    skipped = (data.now_ms - timer.at_ms) // timer.every_ms if timer.every_ms else 0
    is_waiting = data.mailbox.is_queued(SENDER, timer_id, Priority.TIMER)  # its last tick, which this one replaces
    missed = skipped + timer.untold + (timer.missed + 1 if is_waiting else 0)
    text = timer.text if not missed else f"{timer.text}\n({_ticks(missed)} of this timer went by unseen before it)"
    interrupt = Interrupt(
        id=InterruptId(data.next_call_id()),
        kind=InterruptKind.TIMER,
        priority=Priority.TIMER,
        sender=SENDER,
        text=text,
        created_ms=data.now_ms,
        coalesce=timer_id,
    )
    is_taken = queue(data, interrupt)
    if is_taken and missed:
        data.notice("ticks_missed", value=missed, text=timer_id, cause=interrupt.id)
    if timer.every_ms:
        timer.at_ms += (skipped + 1) * timer.every_ms
        if is_taken:
            timer.missed, timer.untold = missed, 0
        else:
            timer.untold += skipped + 1
    elif is_taken:
        del data.timers[timer_id]
        return
    else:
        timer.at_ms = data.now_ms + data.definition.mailbox.retry_after_ms
    data.emit(SetTimer(interrupt.id, timer.at_ms))


def _ticks(count: int) -> str:
    return "1 tick" if count == 1 else f"{count} ticks"
