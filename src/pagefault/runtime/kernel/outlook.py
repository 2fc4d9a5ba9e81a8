"""Which pages would leave next: what the eviction policy would say if it were asked now, without asking it.

A policy may move its hands when it is asked for victims, so a copy is asked, and the agent goes on as if nobody had
looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from pagefault.policies.contract import Leave
from pagefault.runtime.kernel.pager import EVERYTHING, protected, tokens_to_free
from pagefault.runtime.kernel.pages import facts
from pagefault.runtime.kernel.state import AgentData
from pagefault.runtime.values import PageId, PageKind


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a flush would do.

    ``kept`` says of pages that no flush takes why: ``pinned``, ``newest`` (one of the ``keep_last_pages``), ``in hand``
    (the interrupt of the present chain) or ``handle`` (it has left already).  ``order`` are all others, first to go
    first; of these a flush that came when the context is at its high-water mark, or now if it is above, would take the
    first ``flushed``.  ``leaves`` is what each of them would leave behind.  ``problem`` (when not empty) says why the
    order is not known.
    """

    kept: Mapping[PageId, str] = field(default_factory=dict)
    order: tuple[PageId, ...] = ()
    flushed: int = 0
    leaves: Mapping[PageId, str] = field(default_factory=dict)
    problem: str = ""


def outlook(data: AgentData, used: int) -> Outlook:
    """What would leave the context next, if ``used`` tokens, as corrected, are in it."""
    kept = _kept(data)
    settings = data.definition.context
    needed = tokens_to_free(data, max(used, settings.high_tokens))
    staying = protected(data, settings.keep_last_pages)
    try:
        asked = deepcopy(data.eviction)
    except Exception as error:  # noqa: BLE001 - a plug-in may hold what cannot be copied
        return Outlook(kept, problem=f"{data.eviction.name} cannot be copied: {type(error).__name__}: {error}")
    # Both of one copy: asked again at once a policy answers the same, and a copy can cost more than the answer.
    flushed = [PageId(each) for each in asked.victims(needed, staying, data.turn)]
    others = [PageId(each) for each in asked.victims(EVERYTHING, staying, data.turn)]
    order = tuple(dict.fromkeys([*flushed, *others]))
    return Outlook(kept, order, len(flushed), {page_id: _leaves(data, page_id) for page_id in order}, asked.problem)


def _kept(data: AgentData) -> dict[PageId, str]:
    kept = dict.fromkeys(protected(data, data.definition.context.keep_last_pages), "newest")
    if data.chain is not None and data.chain.page_id in kept:
        kept[data.chain.page_id] = "in hand"
    kept |= dict.fromkeys(data.pinned, "pinned")
    return kept | {shown.page.id: "handle" for shown in data.context.handles()}


def _leaves(data: AgentData, page_id: PageId) -> str:
    """What a page would leave behind, as the pager decides it; empty where the write-back cannot say."""
    shown = data.context.entries[page_id]
    try:
        leave = Leave(data.write_back.choose(facts(shown.page), data.turn))
    except Exception:  # noqa: BLE001 - a plug-in may raise anything; looking must change nothing
        return ""
    if shown.page.kind is PageKind.NOTICE or (leave is Leave.HANDLE and not shown.stored):
        return Leave.NOTHING.value
    return leave.value
