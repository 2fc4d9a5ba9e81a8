"""Runs the calls of a reply, one after the other, and takes their results.

A system call is done here and now, or becomes a search, a page load or a wait for another agent; other
functions run in the host.  A call that cannot be run, or fails, changes nothing and is told to the model,
which then always gets another step to mend it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pagefault.policies.contract import Leave
from pagefault.runtime.kernel.approval import (
    ask_operator,
    note_capabilities,
    note_pages,
    promotes,
    take_approval,
    wants_approval,
)
from pagefault.runtime.kernel.consolidation import merge_effect
from pagefault.runtime.kernel.effects import Deliver, RunFunction, SearchArchive, Send, SetTimer
from pagefault.runtime.kernel.fetching import load_effect, with_room
from pagefault.runtime.kernel.functions import (
    CallProblem,
    Change,
    Done,
    FetchPages,
    FunctionSpec,
    Insert,
    MergePassages,
    Outcome,
    PageOut,
    PauseHeartbeats,
    Pin,
    PublishTo,
    Say,
    Search,
    SendTo,
    SetBlock,
    StartTimer,
    StopTimer,
    SubscribeTo,
)
from pagefault.runtime.kernel.intake import format_hits, take_insert, take_loaded, take_result
from pagefault.runtime.kernel.others import check_exported, check_hops, group_effect, message_to_other, park, publish
from pagefault.runtime.kernel.pager import evict
from pagefault.runtime.kernel.state import AgentData, Chain, Outstanding, Phase, Timer
from pagefault.runtime.kernel.view import AgentView
from pagefault.runtime.values import (
    AgentId,
    Fidelity,
    FunctionCall,
    Page,
    PageId,
    SearchResult,
)

PIN_SHARE = 0.15
"""Pinned pages may take this share of the prompt limit."""


def run_calls(data: AgentData) -> bool:
    """Run pending calls until one must be waited for (``True``) or all are done (``False``).

    After ``True`` either something is outstanding, or the chain is parked and there is none any more.
    """
    chain = data.chain
    assert chain is not None, "calls without a chain"
    while chain.pending:
        call = chain.pending.pop(0)
        try:
            if _run(data, chain, call):
                return True
        except CallProblem as problem:
            _failed(data, chain, call, str(problem))
    for page in chain.arrivals:
        if not data.touch(page.id):  # another chain may have brought it in while this one was parked
            take_loaded(data, page)
    chain.arrivals.clear()
    return False


def _run(data: AgentData, chain: Chain, call: FunctionCall) -> bool:
    if len(call.arguments) > data.definition.chain.call_arguments_chars:
        limit = data.definition.chain.call_arguments_chars
        raise CallProblem(
            f"{call.name}: the arguments have {len(call.arguments)} characters, at most {limit} are taken"
        )
    arguments, heartbeat = data.functions.check(call.name, call.arguments)
    spec = data.functions.get(call.name)
    assert spec is not None, f"{call.name} was checked but is not in the table"
    is_approved = take_approval(chain, call)
    if not is_approved and wants_approval(data, spec):
        ask_operator(data, chain, call)
        return True
    data.notice("function_called", text=call.name)
    note_capabilities(data, spec)
    wants_step = spec.chains == "always" or (spec.chains == "requested" and heartbeat)
    if data.definition.chaining == "calls" and spec.chains != "never":
        wants_step = True
    if spec.system_call is None:
        chain.proceed = chain.proceed or wants_step
        _wait(data, "function", call)
        data.emit(run_effect(data, call, spec, arguments))
        return True
    outcome = spec.system_call(AgentView(data), arguments)
    if chain.is_call:
        check_exported(call, outcome)
    if not is_approved and promotes(data, outcome):
        ask_operator(data, chain, call)
        return True
    waiting = False
    if isinstance(outcome, Done):
        _check_changes(data, outcome.changes)
        notes = [_apply(data, chain, change) for change in outcome.changes]
        text = " ".join([outcome.text, *(note for note in notes if note)])
        take_result(data, call, True, text, stored=False)
        chain.yielding = chain.yielding or outcome.yields
        chain.malformed = 0
    else:
        waiting = _begin(data, chain, call, outcome)
    chain.proceed = chain.proceed or wants_step
    return waiting


def _begin(data: AgentData, chain: Chain, call: FunctionCall, outcome: Outcome) -> bool:
    """Ask for what the result of a system call needs; ``False`` if that is there already."""
    if isinstance(outcome, FetchPages):
        return _fetch(data, chain, call, outcome.page_ids)
    if isinstance(outcome, Search):
        outstanding = _wait(data, "search", call, page=outcome.page)
        own = tuple(shown.page.id for shown in data.context.entries.values() if shown.page.cause == chain.cause)
        outstanding.query = replace(outcome.query, exclude=own)  # or a question would find itself first
        data.emit(SearchArchive(chain.cause, outstanding.call_id, outstanding.query))
    elif isinstance(outcome, MergePassages):
        _wait(data, "merge", call, page_ids=outcome.page_ids)
        data.emit(merge_effect(data))
    elif isinstance(outcome, SubscribeTo | PublishTo):
        if isinstance(outcome, PublishTo):
            check_hops(data)
        _wait(data, "function", call)
        data.emit(group_effect(data, outcome))
    else:
        assert not isinstance(outcome, Done), "a call that is done needs nothing"
        park(data, chain, call, outcome)
    return True


def _wait(
    data: AgentData, kind: str, call: FunctionCall, *, page: int = 0, page_ids: tuple[PageId, ...] = ()
) -> Outstanding:
    assert data.outstanding is None, f"{data.outstanding} is outstanding already"
    outstanding = Outstanding(data.next_call_id(), kind, data.cause, call, page=page, page_ids=list(page_ids))
    data.outstanding = outstanding
    data.phase = Phase.PAGING if kind in ("load", "merge") else Phase.ACTING
    return outstanding


def ask_again(data: AgentData, call: FunctionCall, spec: FunctionSpec) -> None:
    """After a recovery: ask the host once more for what the outstanding call needs.  Raises :class:`CallProblem`."""
    arguments, _ = data.functions.check(call.name, call.arguments)
    if spec.system_call is None:
        data.emit(run_effect(data, call, spec, arguments))
        return
    outcome = spec.system_call(AgentView(data), arguments)
    assert isinstance(outcome, SubscribeTo | PublishTo), f"{call.name} asks nothing of the host"
    data.emit(group_effect(data, outcome))


def take_subscribers(data: AgentData, outstanding: Outstanding, agents: tuple[AgentId, ...]) -> None:
    """It is known who hears the topic of the call that publishes."""
    call = outstanding.call
    assert call is not None, "nobody publishes"
    spec = data.functions.get(call.name)
    assert spec is not None, f"{call.name} was run but is not in the table"
    assert spec.system_call is not None, f"{call.name} is no system call"
    outcome = spec.system_call(AgentView(data), data.functions.check(call.name, call.arguments)[0])
    assert isinstance(outcome, PublishTo), f"{call.name} does not publish"
    take_outcome(data, call, True, publish(data, outcome, outstanding.call_id, agents))


def run_effect(data: AgentData, call: FunctionCall, spec: FunctionSpec, arguments: Mapping[str, Any]) -> RunFunction:
    """The request to run a host function (made again after a recovery, unless it is ``once``)."""
    assert data.outstanding is not None
    checked = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return RunFunction(data.cause, data.outstanding.call_id, call.name, checked, spec.effect, spec.runs_in)


# --- changes of memory ------------------------------------------------------------------------------


def _check_changes(data: AgentData, changes: tuple[Change, ...]) -> None:
    """Everything that can be wrong with a change is found before the first one is applied."""
    for change in changes:
        _check_change(data, change)


def _check_change(data: AgentData, change: Change) -> None:
    if isinstance(change, SetBlock):
        block = data.context.blocks[change.label]
        if block.read_only or len(change.text) > block.limit_chars:
            raise CallProblem(f"{change.label} is read-only or would exceed {block.limit_chars} characters")
        fixed = data.context.fixed_tokens_with(change.label, change.text, untrusted=data.is_tainted)
        grown = fixed - data.context.fixed_tokens
        room = data.context.room_tokens(data.pinned_tokens)
        if grown > 0 and room - grown < data.definition.context.prompt_limit // 10:
            raise CallProblem(
                f"{change.label} would leave too little of the context for the conversation. Shorten it, or move what"
                " is not needed all the time to archival memory with archival_memory_insert."
            )
    elif isinstance(change, Pin) and change.pinned:
        shown = data.context.entries.get(change.page_id)
        if shown is None or shown.page.fidelity is not Fidelity.FULL:
            raise CallProblem(f"{change.page_id} is not in the context; page_in it first")
        limit = int(data.definition.context.prompt_limit * PIN_SHARE)
        if data.pinned_tokens + shown.page.tokens > limit and change.page_id not in data.pinned:
            raise CallProblem(f"pinned pages may take {limit} tokens together; unpin something first")
    elif isinstance(change, PageOut):
        shown = data.context.entries.get(change.page_id)
        if shown is None or shown.page.fidelity is not Fidelity.FULL:
            raise CallProblem(f"{change.page_id} is not in the context")
    elif isinstance(change, StartTimer | StopTimer):
        _check_timer(data, change)
    elif isinstance(change, SendTo):
        check_hops(data)


def _check_timer(data: AgentData, change: StartTimer | StopTimer) -> None:
    running = data.timers
    if isinstance(change, StopTimer):
        if change.timer_id not in running:
            raise CallProblem(f"no timer {change.timer_id} is running; these are: {', '.join(running) or 'none'}")
        return
    limit = data.definition.chain.timers_max
    if len(running) >= limit and change.timer_id not in running:
        raise CallProblem(f"{limit} timers are running; no more may until one has gone off or was cancelled")


def _apply(data: AgentData, chain: Chain, change: Change) -> str:
    if isinstance(change, SetBlock):
        data.context.set_block(change.label, change.text, untrusted=data.is_tainted)
    elif isinstance(change, Say):
        chain.said.append(change.text)
        data.emit(Deliver(chain.cause, chain.interrupt.sender, change.text))
    elif isinstance(change, Insert):
        return f"({', '.join(take_insert(data, change))})"
    elif isinstance(change, Pin):
        (data.pinned.add if change.pinned else data.pinned.discard)(change.page_id)
    elif isinstance(change, PageOut):
        evict(data, change.page_id, Leave.HANDLE, by_policy=False)
    elif isinstance(change, PauseHeartbeats):
        data.paused_until_ms = change.until_ms
        data.emit(SetTimer(chain.cause, change.until_ms))
    elif isinstance(change, StartTimer):
        data.timers[change.timer_id] = Timer(change.at_ms, change.text, change.every_ms or 0)
        data.emit(SetTimer(chain.cause, change.at_ms))
    elif isinstance(change, StopTimer):
        del data.timers[change.timer_id]
    else:
        message = message_to_other(data, data.next_call_id(), change.text)
        data.emit(Send(chain.cause, AgentId(change.agent), message))
    return ""


# --- page faults ------------------------------------------------------------------------------------


def _fetch(data: AgentData, chain: Chain, call: FunctionCall, page_ids: tuple[PageId, ...]) -> bool:
    missing = tuple(page_id for page_id in page_ids if not data.touch(page_id))
    if not missing:
        take_result(data, call, True, f"{', '.join(page_ids)} is in the context already", stored=False)
        chain.malformed = 0
        return False
    _wait(data, "load", call, page_ids=missing)
    data.emit(load_effect(data))
    return True


# --- results ----------------------------------------------------------------------------------------


def take_outcome(data: AgentData, call: FunctionCall, ok: bool, text: str) -> None:
    """A host function ended."""
    chain = data.chain
    assert chain is not None
    if ok:
        take_result(data, call, True, text)
    else:
        chain.proceed = True  # a failure is always told to the model, as in MemGPT
        data.notice("function_failed", text=f"{call.name}: {text}")
        take_result(data, call, False, text)
    chain.malformed = 0  # it could be run


def take_hits(data: AgentData, call: FunctionCall, result: SearchResult, number: int) -> None:
    """A search ended."""
    assert data.chain is not None
    note_pages(data, (hit.page for hit in result.hits))
    text, refs = format_hits(data, result, number)
    take_result(data, call, True, text, refs=refs, stored=False)
    data.chain.malformed = 0


def take_pages(data: AgentData, call: FunctionCall, wanted: list[PageId], pages: tuple[Page, ...]) -> None:
    """A page fault is served: the pages enter after the reply's last result."""
    chain = data.chain
    assert chain is not None
    found = {page.id for page in pages}
    absent = [page_id for page_id in wanted if page_id not in found]
    if absent:
        data.notice("page_fault", tuple(wanted))
        _failed(
            data,
            chain,
            call,
            f"there is no page {', '.join(absent)}; ids look like p17 and stand in handles and results",
        )
    else:
        take_result(data, call, True, f"{', '.join(wanted)} paged in below", stored=False)
        chain.malformed = 0
    arrived = {page.id for page in chain.arrivals}
    resident = {page_id for page_id in wanted if data.touch(page_id)}  # it came back while this was under way
    resident |= {page.id for page in pages if page.id not in wanted and data.is_resident(page.id)}
    fresh = [page for page in pages if page.id not in arrived and page.id not in resident]
    fresh = with_room(data, fresh, wanted)
    note_pages(data, fresh)
    needed = tuple(page.id for page in fresh if page.id in wanted)  # the others were fetched along with them
    if fresh:
        data.fault(needed, sum(page.tokens for page in fresh))
        data.notice("paged_in", tuple(page.id for page in fresh), sum(page.tokens for page in fresh))
        chain.arrivals.extend(fresh)


def _failed(data: AgentData, chain: Chain, call: FunctionCall, problem: str) -> None:
    chain.malformed += 1
    chain.proceed = True  # told to the model, which gets another step to mend it
    data.statistics.malformed_calls += 1
    data.notice("function_failed", text=f"{call.name}: {problem}")
    take_result(data, call, False, problem, stored=False)


def fail_call(data: AgentData, call: FunctionCall, problem: str) -> None:
    """A call could not be done for a reason that came from outside."""
    assert data.chain is not None
    _failed(data, data.chain, call, problem)
