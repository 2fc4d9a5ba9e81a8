"""An operator changes an agent's memory: takes pages out of it, or puts it back to how it was.

That is an interrupt like any other: it is recorded, served between steps, and whoever lives the journal again lives it
too.  Nothing is cut from the journal.  The archive follows by the effects.  Agents cannot send such.
"""

from __future__ import annotations

from pagefault.runtime.kernel.effects import ForgetPages
from pagefault.runtime.kernel.pages import Entry, facts
from pagefault.runtime.kernel.state import AgentData
from pagefault.runtime.values import Fidelity, MemoryChange, PageId


def change_memory(data: AgentData, change: MemoryChange) -> None:
    """Do what an operator asked for; pages that are gone already are no mistake."""
    gone = dict.fromkeys(change.removed)
    if change.to_ordinal is not None:
        gone |= dict.fromkeys(PageId(f"p{number}") for number in range(change.to_ordinal + 1, data.ordinal + 1))
    for page_id in [each for each in data.context.entries if each in gone or change.to_ordinal is not None]:
        _take_out(data, page_id)
    for page_id in gone:
        data.evicted.pop(page_id, None)
        data.rating.pop(page_id, None)
    for chain in [*data.suspended, *data.parked.values()]:
        chain.arrivals = [page for page in chain.arrivals if page.id not in gone]
    for label, text in change.blocks:
        if label in data.context.blocks:
            data.context.set_block(label, text, untrusted=label in change.untrusted_blocks)
    if change.summary is not None:
        data.context.set_summary(change.summary, change.summary_pages, untrusted=change.summary_untrusted)
    if change.to_ordinal is not None:
        _put_back(data, change)
    if gone:
        data.emit(ForgetPages(data.cause, tuple(gone)))
    if change.stored:
        data.store(*change.stored)
    data.notice("memory_changed", tuple(change.removed), len(gone))


def _take_out(data: AgentData, page_id: PageId) -> None:
    if data.is_resident(page_id):
        data.eviction.on_remove(page_id, False)
    data.pinned.discard(page_id)
    data.context.queue.remove(page_id)


def _put_back(data: AgentData, change: MemoryChange) -> None:
    """The context has these entries from now on, and the policy knows the same pages."""
    for shown in change.entries:
        made = Entry(shown.page, shown.message, shown.stored, shown.paged_in, shown.is_cut)
        data.context.queue.append(made)
        data.evicted.pop(shown.page.id, None)
        if shown.page.fidelity is Fidelity.FULL:
            data.eviction.on_insert(facts(shown.page), data.turn)
    data.pinned = {page_id for page_id in change.pinned if data.is_resident(page_id)}
    data.seen = dict.fromkeys(change.seen)
    data.warned = False
