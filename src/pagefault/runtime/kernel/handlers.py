"""One handler an event: takes it in, then lets :func:`.turns.run` go on.

Which handler serves which event in which phase is said in :mod:`.phases` and nowhere else.
"""

from __future__ import annotations

from typing import Any

from pagefault.runtime.errors import InvalidTransition
from pagefault.runtime.kernel.acting import (
    ask_again,
    fail_call,
    take_hits,
    take_outcome,
    take_pages,
    take_subscribers,
)
from pagefault.runtime.kernel.consolidation import merge_effect, take_merge
from pagefault.runtime.kernel.context import CORRECTION_CEILING
from pagefault.runtime.kernel.effects import SearchArchive, SetTimer
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
    SubscribersFound,
    SummaryFailed,
    SummaryReady,
)
from pagefault.runtime.kernel.fetching import load_effect
from pagefault.runtime.kernel.functions import CallProblem
from pagefault.runtime.kernel.intake import take_result
from pagefault.runtime.kernel.pager import Room, drop_summary, summarize_effect, take_summary
from pagefault.runtime.kernel.quarantine import count_crash, note_survival, quarantine
from pagefault.runtime.kernel.state import AgentData, Chain, Outstanding, Phase
from pagefault.runtime.kernel.turns import (
    end_chain,
    fail_overflow,
    finish_cancel,
    model_effect,
    run,
    take_model_reply,
)
from pagefault.runtime.values import Effect, FunctionCall

OVERFLOW_CORRECTION_PERCENT = 15
OUTCOME_UNKNOWN = (
    "outcome unknown: the process that ran it died before its end was recorded. It may or may not have happened; "
    "find out before you call it again."
)

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
    note_survival(data.chain, outstanding)
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


def on_subscribers_found(data: AgentData, event: SubscribersFound) -> None:
    """It is known whom a message that is published goes to."""
    outstanding = _expected(data, event, "function")
    if outstanding is None:
        return
    if event.problem:
        take_outcome(data, _call(outstanding), False, event.problem)
    else:
        try:
            take_subscribers(data, outstanding, event.agents)
        except CallProblem as error:  # the function changed while the agent was away
            fail_call(data, _call(outstanding), str(error))
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
    """A page fault is served, or what is to be merged is there."""
    merges = data.outstanding is not None and data.outstanding.kind == "merge"
    outstanding = _expected(data, event, "merge" if merges else "load")
    if outstanding is None:
        return
    if event.problem:
        fail_call(data, _call(outstanding), f"pages cannot be read now: {event.problem}")
    elif merges:
        try:
            take_merge(data, _running(data), _call(outstanding), event.pages)
        except CallProblem as problem:
            fail_call(data, _call(outstanding), str(problem))
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


# --- recovery ------------------------------------------------------------------------------


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
    elif event.crashed and count_crash(data):
        quarantine(data)
        run(data)
    else:
        _ask_again(data, outstanding)


def _ask_again(data: AgentData, outstanding: Outstanding) -> None:
    if outstanding.kind == "model":
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
    elif outstanding.kind == "merge":
        data.emit(merge_effect(data))
    else:
        _recover_function(data, outstanding)


def _recover_function(data: AgentData, outstanding: Outstanding) -> None:
    call = _call(outstanding)
    spec = data.functions.get(call.name)
    problem = OUTCOME_UNKNOWN
    if spec is not None and spec.effect is not Effect.ONCE:
        try:
            ask_again(data, call, spec)
        except CallProblem as error:  # the function changed while the agent was away
            problem = str(error)
        else:
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
