"""Interrupts come in: accepted, coalesced, refused, or done at once if they steer the agent."""

from __future__ import annotations

from pagefault.runtime.kernel.consolidation import review_problem
from pagefault.runtime.kernel.effects import Accept, Reject
from pagefault.runtime.kernel.events import InterruptArrived
from pagefault.runtime.kernel.others import is_from_agent, may_cancel
from pagefault.runtime.kernel.state import AgentData
from pagefault.runtime.kernel.turns import cancel, kill, report_end, run
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, PageId, Priority

_STEERING = frozenset({InterruptKind.CANCEL, InterruptKind.KILL, InterruptKind.MASK})


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
    elif interrupt.kind is InterruptKind.APPROVAL:
        _take_approval(data, interrupt)
    elif interrupt.kind is InterruptKind.MEMORY and not _is_memory_change(interrupt):
        data.notice("memory_refused", cause=interrupt.id)
        _refuse(data, interrupt, "only an operator may change what an agent remembers", retry=False)
        return
    elif interrupt.kind is InterruptKind.REVIEW and (problem := review_problem(data, interrupt)):
        data.notice("review_refused", cause=interrupt.id)
        _refuse(data, interrupt, problem, retry=False)
        return
    elif interrupt.kind is InterruptKind.HEARTBEAT and data.now_ms < data.paused_until_ms:
        _accept(data, interrupt)
        data.notice("suppressed", cause=interrupt.id)
        report_end(data, interrupt, "expired", "heartbeats are paused")
    elif not queue(data, interrupt):
        return
    run(data)


def refusal(data: AgentData, interrupt: Interrupt) -> Reject | None:
    """What an interrupt would get that is refused now for its size, or since the mailbox is full; changes nothing.

    Hosts ask before they record it: a flood of what is refused must not fill journals.
    """
    if interrupt.id in data.remembered or data.is_under_way(interrupt.id):
        return None
    retry_after_ms = 0
    reason = data.mailbox.size_problem(interrupt)
    if not reason and interrupt.kind not in _STEERING and interrupt.kind is not InterruptKind.REPLY:
        reason = data.mailbox.problem(interrupt)
        retry_after_ms = data.definition.mailbox.retry_after_ms
    return Reject(interrupt.id, reason, retry_after_ms) if reason else None


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


def queue(data: AgentData, interrupt: Interrupt) -> bool:
    """Put an interrupt into the mailbox; ``False`` if it was refused."""
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
    if interrupt.kind is InterruptKind.CANCEL and is_from_agent(interrupt):
        _take_back(data, interrupt)
        return
    _accept(data, interrupt)
    if interrupt.kind is InterruptKind.KILL:
        kill(data)
    elif interrupt.kind is InterruptKind.CANCEL:
        cancel(data, interrupt.target)
    else:
        data.mailbox.set_mask(frozenset(interrupt.mask))
    report_end(data, interrupt, "yielded")


def _take_back(data: AgentData, interrupt: Interrupt) -> None:
    """The agent that waited for what we do waits no more."""
    if not may_cancel(interrupt):
        data.notice("cancel_refused", text=interrupt.target, cause=interrupt.id)
        _refuse(data, interrupt, "an agent may cancel only what it sent", retry=False)
        return
    _accept(data, interrupt)
    if interrupt.target not in data.remembered and not data.is_under_way(interrupt.target):
        data.remember(interrupt.target)  # it is still on its way, and must not begin any more
    cancel(data, interrupt.target, "withdrawn")
    report_end(data, interrupt, "yielded")


def _take_answer(data: AgentData, interrupt: Interrupt) -> None:
    _accept(data, interrupt)
    chain = data.parked.get(InterruptId(interrupt.in_reply_to))
    if chain is None or chain.answer is not None:
        data.notice("late", text=interrupt.in_reply_to, cause=interrupt.id)
        return
    chain.answer = interrupt


def _take_approval(data: AgentData, interrupt: Interrupt) -> None:
    """An operator agrees to a call that waits, or does not; agents are no operators."""
    chain = data.parked.get(interrupt.target)
    is_operator = interrupt.priority is Priority.OPERATOR and not is_from_agent(interrupt)
    if not is_operator or chain is None or chain.waits_for or chain.answer is not None:
        data.notice("approval_refused", text=interrupt.target, cause=interrupt.id)
        why = "no call of that id waits for approval" if is_operator else "only an operator may approve or deny"
        _refuse(data, interrupt, why, retry=False)
        return
    _accept(data, interrupt)
    chain.answer = interrupt
    report_end(data, interrupt, "yielded")


def _is_memory_change(interrupt: Interrupt) -> bool:
    is_operator = interrupt.priority is Priority.OPERATOR and not is_from_agent(interrupt)
    return is_operator and interrupt.change is not None


def on_interrupt_stopped(data: AgentData, event: InterruptArrived) -> None:
    """A killed agent takes nothing."""
    if event.interrupt.id in data.remembered:
        _accept_again(data, event.interrupt.id)
    else:
        _refuse(data, event.interrupt, "the agent was killed", retry=False)
