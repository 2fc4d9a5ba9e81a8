"""Looks into a resident agent without changing it."""

from __future__ import annotations

from dataclasses import asdict

from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.records import Inspection, PageState


def inspect(frame: Frame) -> Inspection:
    """Everything about an agent that people and tests look at."""
    state = frame.state
    context = state.context
    assembled = context.assemble()
    pages = tuple(
        PageState(
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
        )
        for page in (shown.page for shown in context.entries.values())
    )
    return Inspection(
        agent=frame.id,
        phase=state.phase.value,
        epoch=frame.epoch,
        records=frame.next_seq - 1,
        tokens=context.corrected(assembled.tokens),
        prompt_limit=state.definition.context.prompt_limit,
        fixed_tokens=context.fixed_tokens,
        summary=context.summary,
        blocks=tuple((block.label, block.text) for block in context.blocks.values()),
        pages=pages,
        waiting=len(state.mailbox),
        suspended=len(state.suspended),
        parked=len(state.parked),
        statistics=asdict(state.statistics),
        messages=assembled.messages,
        digest=state.digest(),
        story=str(state.story),
    )
