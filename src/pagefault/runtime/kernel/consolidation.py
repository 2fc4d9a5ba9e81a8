"""Idle-time consolidation: an agent at rest looks over what it has filed, when its policy says that it is time.

What is new in its own archival memory is counted.  Whenever the agent comes to rest the policy is asked how long it is
to be left alone; if nothing happens until then, it gets an interrupt of kind ``review`` and background priority, which
everything else preempts.  The chain of a review is scratch: nothing of it is written to recall, and what it brought
into the context leaves with its end, so that tidying does not push the conversation out for good.  What it merges is
recorded as all else is; a passage that was merged away can be brought back by a rollback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pagefault.runtime.kernel.effects import ForgetPages, LoadPages, SetTimer
from pagefault.runtime.kernel.functions import CallProblem, Insert, MergePassages
from pagefault.runtime.kernel.intake import take_insert, take_result
from pagefault.runtime.kernel.others import is_from_agent
from pagefault.runtime.kernel.state import AgentData, Chain
from pagefault.runtime.kernel.trust import UNTRUSTED
from pagefault.runtime.kernel.view import AgentView
from pagefault.runtime.values import (
    FunctionCall,
    Interrupt,
    InterruptId,
    InterruptKind,
    Page,
    PageId,
    PageKind,
    Priority,
    Space,
)

SENDER = "system"
OFF = "off"
TAGS_MAX = 16


def plan_review(data: AgentData) -> None:
    """The agent has come to rest: if its policy wants a review, the time for it begins to run."""
    filed = data.filed
    filed.due_ms = 0
    if not filed.pages:
        return
    rest = data.filed.rest(data.now_ms)
    try:
        wait_ms = data.consolidation.wait_ms(rest)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
        _failed(data, error)
        return
    if wait_ms is not None:
        filed.due_ms = max(data.now_ms + max(0, int(wait_ms)), data.paused_until_ms)
        data.emit(SetTimer(InterruptId(""), filed.due_ms))


def due_review(data: AgentData) -> Interrupt | None:
    """The review whose time has come, if the agent is still at rest; whoever is busy will be asked again."""
    filed = data.filed
    if not filed.due_ms or filed.due_ms > data.now_ms:
        return None
    filed.due_ms = 0
    if data.chain is not None or data.suspended or data.parked or len(data.mailbox):
        return None
    if data.now_ms < data.paused_until_ms:
        filed.due_ms = data.paused_until_ms
        data.emit(SetTimer(InterruptId(""), filed.due_ms))
        return None
    return Interrupt(
        id=InterruptId(data.next_call_id()),
        kind=InterruptKind.REVIEW,
        priority=Priority.BACKGROUND,
        sender=SENDER,
        text=_instructions(data),
        created_ms=data.now_ms,
    )


def _instructions(data: AgentData) -> str:
    try:
        return data.consolidation.instructions(data.filed.rest(data.now_ms))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
        _failed(data, error)
        return ""


def begin_review(data: AgentData, chain: Chain) -> None:
    """A review begins; one that an operator asked for without a word is told what the policy says."""
    rest = data.filed.rest(data.now_ms)
    data.notice("review_started", value=rest.pages)
    data.statistics.reviews += 1
    if not chain.interrupt.text:
        chain.interrupt = replace(chain.interrupt, text=_instructions(data))
    data.filed.begin_review(data.now_ms)


def review_problem(data: AgentData, interrupt: Interrupt) -> str:
    """Why a review that somebody asks for cannot be, or nothing: agents may not, and the agent's policy is needed."""
    if is_from_agent(interrupt):
        return "only an operator may ask for a review"
    return "" if data.definition.policies.consolidation != OFF else "consolidation is off for this agent"


def end_review(data: AgentData, chain: Chain) -> None:
    """What the review brought into the context leaves it."""
    for page_id in [key for key, shown in data.context.entries.items() if shown.page.cause == chain.cause]:
        if data.is_resident(page_id):
            data.eviction.on_remove(page_id, False)
        data.pinned.discard(page_id)
        data.context.queue.remove(page_id)
        data.evicted.pop(page_id, None)


# --- merging ----------------------------------------------------------------------------------------


def merge_effect(data: AgentData) -> LoadPages:
    """The request for the passages that the outstanding call merges (made again after a recovery)."""
    outstanding = data.outstanding
    assert outstanding is not None, "nothing is outstanding"
    return LoadPages(outstanding.cause, outstanding.call_id, tuple(outstanding.page_ids))


def take_merge(data: AgentData, chain: Chain, call: FunctionCall, pages: Iterable[Page]) -> None:
    """The passages that a call merges have been read: one takes their place.  Raises :class:`CallProblem`."""
    spec = data.functions.get(call.name)
    assert spec is not None, f"{call.name} was run but is not in the table"
    assert spec.system_call is not None, f"{call.name} is no system call"
    outcome = spec.system_call(AgentView(data), data.functions.check(call.name, call.arguments)[0])
    assert isinstance(outcome, MergePassages), f"{call.name} does not merge"
    found = {page.id: page for page in pages}
    passages = [found[page_id] for page_id in outcome.page_ids if page_id in found]
    _check_passages(outcome.page_ids, passages)
    if data.definition.tracks_trust and any(page.untrusted for page in passages):
        data.see(UNTRUSTED)  # what is made from words of others is such, too
    tags = outcome.tags or tuple(dict.fromkeys(tag for page in passages for tag in page.tags))[:TAGS_MAX]
    rated = [page.importance for page in passages if page.importance is not None]
    importance = max(rated, default=None)
    made = take_insert(data, Insert(outcome.text, tags=tags, importance=importance, refs=outcome.page_ids))
    _forget(data, outcome.page_ids)
    data.statistics.passages_merged += len(passages)
    data.notice("merged", outcome.page_ids, len(passages), text=", ".join(made))
    take_result(data, call, True, f"Merged {', '.join(outcome.page_ids)} into {', '.join(made)}.", stored=False)
    chain.malformed = 0


def _check_passages(wanted: tuple[PageId, ...], passages: list[Page]) -> None:
    known = {page.id for page in passages}
    absent = [page_id for page_id in wanted if page_id not in known]
    if absent:
        raise CallProblem(f"passages: there is no page {', '.join(absent)}; use ids that a search result shows")
    others = [page.id for page in passages if page.space != Space.ARCHIVAL.value or page.kind is not PageKind.PASSAGE]
    if others:
        raise CallProblem(
            f"passages: {', '.join(others)} is not in your archival memory; only passages there can be merged, what "
            "was said stays as it was said"
        )


def _forget(data: AgentData, page_ids: tuple[PageId, ...]) -> None:
    for page_id in page_ids:
        if page_id in data.context.entries:
            if data.is_resident(page_id):
                data.eviction.on_remove(page_id, False)
            data.pinned.discard(page_id)
            data.context.queue.remove(page_id)
        data.evicted.pop(page_id, None)
    data.emit(ForgetPages(data.cause, page_ids))


def _failed(data: AgentData, error: Exception) -> None:
    data.statistics.policy_failures += 1
    data.notice("policy_failed", text=f"consolidation {data.consolidation.name}: {error}")
