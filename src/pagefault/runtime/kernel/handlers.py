"""One handler an event: takes it in, then lets :func:`.turns.run` go on.

Which handler serves which event in which phase is said in :mod:`.phases` and nowhere else.
"""

from __future__ import annotations

from typing import Any

from pagefault.runtime.errors import InvalidTransition
from pagefault.runtime.kernel.acting import fail_call, run_effect, take_hits, take_outcome, take_pages
from pagefault.runtime.kernel.context import CORRECTION_CEILING
from pagefault.runtime.kernel.effects import Accept, Reject, SearchArchive, SetTimer
from pagefault.runtime.kernel.events import (
    ClockAdvanced,
    Event,
    FunctionReturned,
    InterruptArrived,
    ModelFailed,
    ModelReplied,
    PageRated,
    PagesLoaded,
    Recovered,
    SearchReturned,
    SummaryFailed,
    SummaryReady,
)
from pagefault.runtime.kernel.fetching import load_effect
from pagefault.runtime.kernel.functions import CallProblem
from pagefault.runtime.kernel.intake import take_result
from pagefault.runtime.kernel.pager import Room, drop_summary, summarize_effect, take_summary
from pagefault.runtime.kernel.state import AgentData, Chain, Outstanding, Phase
from pagefault.runtime.kernel.turns import (
    cancel,
    end_chain,
    fail_overflow,
    finish_cancel,
    kill,
    model_effect,
    report_end,
    run,
    take_model_reply,
)
from pagefault.runtime.values import Effect, FunctionCall, Interrupt, InterruptId, InterruptKind, PageId, Priority

OVERFLOW_CORRECTION_PERCENT = 15
OUTCOME_UNKNOWN = (
    "outcome unknown: the process that ran it died before its end was recorded. It may or may not have happened; "
    "find out before you call it again."
)
_STEERING = frozenset({InterruptKind.CANCEL, InterruptKind.KILL, InterruptKind.MASK})


# --- interrupts -------------------------------------------------------------------------------------


def on_interrupt(data: AgentData, event: InterruptArrived) -> None:
    """Accept, coalesce or refuse an interrupt; serve it now if it steers the agent or nothing runs."""
    interrupt = event.interrupt
    if data.outstanding is not None and data.outstanding.outcome == "killed":
        on_interrupt_stopped(data, event)  # only the end of its last call is still awaited
        return
    if interrupt.id in data.remembered or data.is_under_way(interrupt.id):
        _accept_again(data, interrupt.id)
        return
    if interrupt.hops > data.definition.chain.hops_max and interrupt.kind is not InterruptKind.REPLY:
        data.notice("hop_limit", value=data.definition.chain.hops_max, cause=interrupt.id)
        _refuse(data, interrupt, f"passed through more than {data.definition.chain.hops_max} agents", retry=False)
        return
    if interrupt.kind in _STEERING:
        _steer(data, interrupt)
    elif interrupt.kind is InterruptKind.REPLY:
        _take_answer(data, interrupt)
    elif interrupt.kind is InterruptKind.HEARTBEAT and data.now_ms < data.paused_until_ms:
        _accept(data, interrupt)
        data.notice("suppressed", cause=interrupt.id)
        report_end(data, interrupt, "expired", "heartbeats are paused")
    elif not _queue(data, interrupt):
        return
    run(data)


def _accept(data: AgentData, interrupt: Interrupt) -> None:
    data.remember(interrupt.id)
    data.emit(Accept(interrupt.id))


def _accept_again(data: AgentData, interrupt_id: InterruptId) -> None:
    page_id = data.remembered.get(interrupt_id, PageId(""))  # what still waits may be forgotten already
    under_way = data.is_under_way(interrupt_id)
    data.emit(Accept(interrupt_id, duplicate=True, page_id=page_id, under_way=under_way))


def _refuse(data: AgentData, interrupt: Interrupt, reason: str, *, retry: bool = True) -> None:
    data.statistics.rejected += 1
    data.emit(Reject(interrupt.id, reason, data.definition.mailbox.retry_after_ms if retry else 0))


def _queue(data: AgentData, interrupt: Interrupt) -> bool:
    offer = data.mailbox.offer(interrupt)
    if not offer.taken:
        data.notice("mailbox_full", text=offer.reason, cause=interrupt.id)
        too_large = "bytes; at most" in offer.reason
        _refuse(data, interrupt, offer.reason, retry=not too_large)
        return False
    _accept(data, interrupt)
    if offer.replaced is not None:
        data.notice("coalesced", text=offer.replaced.id, cause=interrupt.id)
        report_end(data, offer.replaced, "coalesced", f"replaced by {interrupt.id}")
    return True


def _steer(data: AgentData, interrupt: Interrupt) -> None:
    _accept(data, interrupt)
    if interrupt.kind is InterruptKind.KILL:
        kill(data)
    elif interrupt.kind is InterruptKind.CANCEL:
        cancel(data, interrupt.target)
    else:
        data.mailbox.set_mask(frozenset(interrupt.mask))
    report_end(data, interrupt, "yielded")


def _take_answer(data: AgentData, interrupt: Interrupt) -> None:
    _accept(data, interrupt)
    chain = data.parked.get(InterruptId(interrupt.in_reply_to))
    if chain is None or chain.answer is not None:
        data.notice("late", text=interrupt.in_reply_to, cause=interrupt.id)
        return
    chain.answer = interrupt


def on_interrupt_stopped(data: AgentData, event: InterruptArrived) -> None:
    """A killed agent takes nothing."""
    if event.interrupt.id in data.remembered:
        _accept_again(data, event.interrupt.id)
    else:
        _refuse(data, event.interrupt, "the agent was killed", retry=False)


# --- model ------------------------------------------------------------------------------------------


def _expected(data: AgentData, event: Any, kind: str) -> Outstanding | None:
    """The outstanding call that this event ends, or ``None`` when nobody waits for it (any more)."""
    outstanding = data.outstanding
    if outstanding is None or outstanding.call_id != event.call_id:
        on_late(data, event)
        return None
    if outstanding.kind != kind and not (kind == "model" and outstanding.kind == "summary"):
        raise InvalidTransition(
            f"{type(event).__name__} for {event.call_id}, which is a {outstanding.kind} call; story:\n{data.story}"
        )
    data.outstanding = None
    return outstanding


def _running(data: AgentData) -> Chain:
    assert data.chain is not None, "something was outstanding without a chain"
    return data.chain


def on_model_replied(data: AgentData, event: ModelReplied) -> None:
    """A step: take the reply and run its calls."""
    outstanding = _expected(data, event, "model")
    if outstanding is None:
        return
    if outstanding.kind == "summary":
        raise InvalidTransition(f"ModelReplied for the summary {event.call_id}; story:\n{data.story}")
    take_model_reply(data, _running(data), event.reply, outstanding.counted_tokens)
    run(data)


def on_model_failed(data: AgentData, event: ModelFailed) -> None:
    """No reply: shrink and ask again if the prompt was too long, go on without a summary, or end the chain."""
    outstanding = _expected(data, event, "model")
    if outstanding is None:
        return
    chain = _running(data)
    if outstanding.kind == "summary":
        if drop_summary(data, event.message)[0] is Room.OVERFLOW:
            fail_overflow(data)
    elif event.reason == "overflow" and chain.overflows < data.definition.chain.overflow_retries:
        chain.overflows += 1
        context = data.context
        raised = context.correction_permille * (100 + OVERFLOW_CORRECTION_PERCENT) // 100
        context.correction_permille = min(raised, CORRECTION_CEILING)  # or a server's whim would shrink us to nothing
        data.notice("recounted", value=context.correction_permille)
    else:
        end_chain(data, event.reason if event.reason in ("overflow", "budget") else "model_failed", event.message)
    run(data)


# --- functions, searches, pages, summaries ----------------------------------------------------------


def _call(outstanding: Outstanding) -> FunctionCall:
    assert outstanding.call is not None, f"{outstanding.kind} without a call"
    return outstanding.call


def on_function_returned(data: AgentData, event: FunctionReturned) -> None:
    """A function of the host ended."""
    outstanding = _expected(data, event, "function")
    if outstanding is not None:
        text = event.text if event.status != "unknown" else OUTCOME_UNKNOWN
        take_outcome(data, _call(outstanding), event.status == "ok", text)
        run(data)


def on_search_returned(data: AgentData, event: SearchReturned) -> None:
    """A search ended."""
    outstanding = _expected(data, event, "search")
    if outstanding is None:
        return
    if event.result is None:
        fail_call(data, _call(outstanding), f"memory cannot be searched now: {event.problem}")
    else:
        take_hits(data, _call(outstanding), event.result, outstanding.page)
    run(data)


def on_pages_loaded(data: AgentData, event: PagesLoaded) -> None:
    """A page fault is served."""
    outstanding = _expected(data, event, "load")
    if outstanding is None:
        return
    if event.problem:
        fail_call(data, _call(outstanding), f"pages cannot be read now: {event.problem}")
    else:
        take_pages(data, _call(outstanding), outstanding.page_ids, event.pages)
    run(data)


def on_summary_ready(data: AgentData, event: SummaryReady) -> None:
    """A piece of the summary is made."""
    if _expected(data, event, "summary") is None:
        return
    if take_summary(data, event.text)[0] is Room.OVERFLOW:
        fail_overflow(data)
    run(data)


def on_summary_failed(data: AgentData, event: SummaryFailed) -> None:
    """The flush goes on without a summary."""
    if _expected(data, event, "summary") is None:
        return
    if drop_summary(data, event.message)[0] is Room.OVERFLOW:
        fail_overflow(data)
    run(data)


# --- ends of what was cancelled, and what nobody waits for ------------------------------------------


def on_cancelled_end(data: AgentData, event: Any) -> None:
    """Whatever ends the cancelled call ends the chain; a function that did run stays in memory."""
    outstanding = data.outstanding
    assert outstanding is not None
    if outstanding.call_id != event.call_id:
        on_late(data, event)
        return
    if isinstance(event, FunctionReturned) and outstanding.call is not None:
        text = event.text if event.status != "unknown" else OUTCOME_UNKNOWN
        take_result(data, outstanding.call, event.status == "ok", text)
    finish_cancel(data)
    run(data)


def on_broken_off(data: AgentData, event: Any) -> None:
    """A call was stopped though nobody here asked for that: it failed, and whoever waits must hear of it."""
    outstanding = data.outstanding
    if outstanding is None or outstanding.call_id != event.call_id:
        on_late(data, event)
        return
    problem = "the call was broken off"
    data.outstanding = None
    if outstanding.kind == "model":
        end_chain(data, "model_failed", problem)
    elif outstanding.kind == "summary":
        if drop_summary(data, problem)[0] is Room.OVERFLOW:
            fail_overflow(data)
    elif outstanding.kind == "function":
        take_outcome(data, _call(outstanding), False, OUTCOME_UNKNOWN)
    else:
        fail_call(data, _call(outstanding), problem)
    run(data)


def on_late(data: AgentData, event: Any) -> None:
    """A result that nobody waits for: a duplicate, or the end of something given up."""
    if not data.was_issued(event.call_id):
        raise InvalidTransition(
            f"{type(event).__name__} for {event.call_id!r}, which {data.definition.id} never asked for; "
            f"story:\n{data.story}"
        )
    data.notice("late", text=event.call_id)


# --- time and recovery ------------------------------------------------------------------------------


def on_clock(data: AgentData, _event: ClockAdvanced) -> None:
    """Set off timers that are due, and give up on answers that did not come in time."""
    for key, chain in data.parked.items():
        if chain.answer is None and chain.waits_until_ms <= data.now_ms:
            chain.answer = Interrupt(
                InterruptId(f"{key}/reply"), InterruptKind.REPLY, Priority.REPLY, "system",
                text="no answer came in time", created_ms=data.now_ms, failed=True,
            )  # fmt: skip
    if data.now_ms >= data.paused_until_ms:
        for timer_id in [key for key, timer in data.timers.items() if timer.at_ms <= data.now_ms]:
            _set_off(data, timer_id)
    run(data)


def _set_off(data: AgentData, timer_id: str) -> None:
    timer = data.timers[timer_id]
    interrupt = Interrupt(
        id=InterruptId(data.next_call_id()),
        kind=InterruptKind.TIMER,
        priority=Priority.TIMER,
        sender="timer",
        text=timer.text,
        created_ms=data.now_ms,
        coalesce=timer_id,
    )
    if not _queue(data, interrupt):
        timer.at_ms = data.now_ms + data.definition.mailbox.retry_after_ms
    elif timer.every_ms:
        timer.at_ms = data.now_ms + timer.every_ms  # missed ticks coalesce: no storm after a pause
    else:
        del data.timers[timer_id]
        return
    data.emit(SetTimer(interrupt.id, timer.at_ms))


def on_recovered(data: AgentData, event: Recovered) -> None:
    """Ask again for what was outstanding; report what may have happened and must not happen twice."""
    data.epoch = event.epoch
    data.rating.clear()  # nobody answers what the last activation asked
    for wake_ms in data.wake_times_ms:
        data.emit(SetTimer(data.cause, wake_ms))
    outstanding = data.outstanding
    if outstanding is None:
        run(data)
        return
    if data.phase is Phase.CANCELLING:
        if outstanding.kind == "function":
            take_result(data, _call(outstanding), False, OUTCOME_UNKNOWN)
        finish_cancel(data)
        run(data)
    elif outstanding.kind == "model":
        assembled = data.context.assemble()
        if assembled.tokens == outstanding.counted_tokens:
            data.emit(model_effect(data, assembled))
        else:  # schemas changed while the agent was away: what fitted then may be over the budget now
            data.outstanding = None
            run(data)
    elif outstanding.kind == "summary":
        data.emit(summarize_effect(data))
    elif outstanding.kind == "search":
        assert outstanding.query is not None
        data.emit(SearchArchive(outstanding.cause, outstanding.call_id, outstanding.query))
    elif outstanding.kind == "load":
        data.emit(load_effect(data))
    else:
        _recover_function(data, outstanding)


def _recover_function(data: AgentData, outstanding: Outstanding) -> None:
    call = _call(outstanding)
    spec = data.functions.get(call.name)
    problem = OUTCOME_UNKNOWN
    if spec is not None and spec.effect is not Effect.ONCE:
        try:
            arguments, _ = data.functions.check(call.name, call.arguments)
        except CallProblem as error:  # the function changed while the agent was away
            problem = str(error)
        else:
            data.emit(run_effect(data, call, spec, arguments))
            return
    data.outstanding = None
    take_outcome(data, call, False, problem)
    run(data)


def subject(event: Event) -> str:
    """What an event is about, for the story."""
    if isinstance(event, InterruptArrived):
        return f"{event.interrupt.kind.value} {event.interrupt.id}"
    if isinstance(event, ClockAdvanced):
        return ""
    if isinstance(event, Recovered):
        return f"epoch {event.epoch}"
    if isinstance(event, PageRated):
        return event.page_id
    return str(event.call_id)
