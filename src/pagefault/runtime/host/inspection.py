"""Looks into a resident agent without changing it."""

from __future__ import annotations

from dataclasses import asdict

from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.records import Inspection, PageState, Part
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.outlook import Outlook, outlook
from pagefault.runtime.kernel.pages import Entry, said


def inspect(frame: Frame) -> Inspection:
    """Everything about an agent that people and tests look at."""
    state = frame.state
    context = state.context
    settings = state.definition.context
    assembled = context.assemble()
    used = context.corrected(assembled.tokens)
    seen = outlook(state, used)
    costs = context.queue.costs()
    ranks = {page_id: rank for rank, page_id in enumerate(seen.order, 1)}
    return Inspection(
        agent=frame.id,
        phase=state.phase.value,
        epoch=frame.epoch,
        records=frame.next_seq - 1,
        tokens=used,
        prompt_limit=settings.prompt_limit,
        fixed_tokens=context.fixed_tokens,
        summary=context.summary,
        blocks=tuple((block.label, block.text) for block in context.blocks.values()),
        pages=tuple(
            _page(state, shown, costs[page_id], ranks.get(page_id, 0), seen)
            for page_id, shown in context.entries.items()
        ),
        waiting=len(state.mailbox),
        suspended=len(state.suspended),
        parked=len(state.parked),
        statistics=asdict(state.statistics),
        messages=assembled.messages,
        digest=state.digest(),
        story=str(state.story),
        at_ms=state.now_ms,
        parts=_parts(state),
        correction_permille=context.correction_permille,
        reply_tokens=settings.reply_tokens,
        warn_tokens=settings.warn_tokens,
        high_tokens=settings.high_tokens,
        low_tokens=settings.low_tokens,
        policy=state.eviction.name,
        write_back=state.write_back.name,
        model=state.definition.model.name,
        problem=seen.problem or state.eviction.problem,
    )


def _page(state: AgentState, shown: Entry, shown_tokens: int, rank: int, seen: Outlook) -> PageState:
    page = shown.page
    return PageState(
        id=page.id,
        kind=page.kind.value,
        author=page.author,
        tokens=page.tokens,
        fidelity=page.fidelity.value,
        pinned=page.id in state.pinned,
        created_ms=page.created_ms,
        refs=page.refs,
        explanation=state.explain(page.id),
        text=page.text,
        ordinal=page.ordinal,
        source=page.source,
        session=page.session,
        cause=page.cause,
        importance=page.importance,
        untrusted=page.untrusted,
        paged_in=shown.paged_in,
        stored=shown.stored,
        shown_tokens=shown_tokens,
        kept=seen.kept.get(page.id, ""),
        rank=rank,
        goes=0 < rank <= seen.flushed,
        leaves=seen.leaves.get(page.id, ""),
        calls=tuple(said(call) for call in page.calls),
    )


def _parts(state: AgentState) -> tuple[Part, ...]:
    context = state.context
    schemas, system, blocks = context.costs()
    parts = [Part("schemas", "functions", schemas), Part("system", "system", system)]
    parts += [Part("block", label, tokens, context.blocks[label].untrusted) for label, tokens in blocks.items()]
    if context.summary:
        parts.append(
            Part("summary", "summary", context.summary_tokens, context.summary_untrusted, context.summary_pages)
        )
    return tuple(parts)
