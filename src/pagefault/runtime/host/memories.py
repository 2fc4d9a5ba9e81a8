"""What agents remember, as operators see and mend it: what every fleet has alike.

Changes are interrupts of kind ``memory``, recorded like all others: nothing is cut from a journal, replay stays exact,
and a change can itself be undone by a rollback to before it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.approvals import Approvals
from pagefault.runtime.host.fleet import check_receipt
from pagefault.runtime.host.history import open_history
from pagefault.runtime.host.lineage import Derived, Lineage, Origin, read_lineage
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.values import (
    AgentId,
    Interrupt,
    InterruptId,
    InterruptKind,
    MemoryChange,
    PageId,
    Priority,
    ShownPage,
)

ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Blame:
    """Where a page came from, and what was made from it."""

    origin: Origin
    derived: Derived


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rollback of ``agent`` to ``step`` changes: how many pages were made since and go, which ones come back."""

    agent: AgentId
    step: int
    removed: int
    restored: tuple[PageId, ...]
    blocks: tuple[str, ...]
    is_done: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """What a removal takes out of ``agent``: what was meant, and what derives from it."""

    agent: AgentId
    pages: tuple[Origin, ...]
    derived: Derived
    is_done: bool


class Memories(Approvals):
    """Blame, rollbacks and removals.  All methods raise what those of
    :class:`~pagefault.runtime.host.pasts.Pasts` raise."""

    async def blame(self, agent: AgentId | str, page: str | None = None, *, text: str = "") -> list[Blame]:
        """Where a page came from and what derives from it, or all pages that contain a text, ignoring case.

        Raises :class:`~pagefault.runtime.errors.UsageError` for a page that the agent never had.
        """
        if (page is None) == (not text):
            raise UsageError(f"page and text: found {page!r} and {text!r}, allowed: one of them")
        lineage, _ = await self._lineage(agent)
        if page is not None and PageId(page) not in lineage.pages:
            raise UsageError(f"page: found {page!r}, allowed: a page that {agent} has had, such as p17")
        found = lineage.find(text=text) if page is None else [PageId(page)]
        return [Blame(lineage.origin(each), lineage.derived([each])) for each in found]

    async def rollback(self, agent: AgentId | str, to: int, *, dry_run: bool = False) -> Rollback:
        """Put an agent's memory (context, blocks, summary, archive) back to how it was when it had taken ``to`` steps.

        What it does now, its mailbox and its timers stay; the change is made before its next step.  Raises
        :class:`~pagefault.runtime.errors.UsageError` for a step that it has not taken, and
        :class:`~pagefault.runtime.errors.AgentFailed` if it does not take the change.
        """
        workshop, stores = self._archives()
        history = await open_history(workshop, stores, AgentId(agent))
        moment = await history.at_step(to)
        then = Lineage(history.agent)
        async for record, event, effects, state in history.live():
            if record > moment.seq:
                break
            then.take(record, event, effects, state)
        now, present = await read_lineage(history)
        change = _as_it_was(moment.state, then, now)
        blocks = tuple(label for label, text in change.blocks if present.context.blocks[label].text != text)
        if not dry_run:
            await self._change(history.agent, change, f"rollback to step {to}")
        removed = present.ordinal - moment.state.ordinal
        restored = tuple(page.id for page in change.stored)
        return Rollback(history.agent, to, removed, restored, blocks, not dry_run)

    async def remove(
        self,
        agent: AgentId | str | None,
        *,
        source: str = "",
        author: str = "",
        interrupt: str = "",
        derived: bool = True,
        dry_run: bool = False,
    ) -> list[Removal]:
        """Take pages out of the memory of an agent, or of all (``None``): of a source (``world``, ``function``…), an
        author, or those that came of an interrupt; and with ``derived`` what was made from them: pages, what blocks
        say since, the summary, and what came of messages that were sent to others (if all agents are meant).

        Returns what is taken out of each agent that has any.  Raises
        :class:`~pagefault.runtime.errors.UsageError` if nothing says what is meant.
        """
        if not (source or author or interrupt):
            raise UsageError("source, author, interrupt: found none of them, allowed: one or more")
        names = [AgentId(agent)] if agent is not None else await self.agents()
        lives = {name: (await self._lineage(name))[0] for name in names}
        roots = {name: life.find(source=source, author=author, cause=interrupt) for name, life in lives.items()}
        made = {name: life.derived(roots[name]) for name, life in lives.items()}
        if derived:
            _follow_messages(lives, roots, made)
        found = []
        for name, life in lives.items():
            if not roots[name]:
                continue
            if not dry_run:
                await self._change(name, _without(roots[name], made[name], derived=derived), "removal")
            origins = tuple(life.origin(page_id) for page_id in roots[name])
            found.append(Removal(name, origins, made[name], not dry_run))
        return found

    async def review(self, agent: AgentId | str) -> None:
        """Have an agent that has a consolidation policy look over its archival memory now, when nothing else waits.

        Raises :class:`~pagefault.runtime.errors.AgentFailed` if its consolidation is off.
        """
        post = self._post()
        check_receipt(AgentId(agent), await post.deliver(AgentId(agent), review_request(post.clock.now_ms())))

    async def _lineage(self, agent: AgentId | str) -> tuple[Lineage, AgentState]:
        workshop, stores = self._archives()
        return await read_lineage(await open_history(workshop, stores, AgentId(agent)))

    async def _change(self, agent: AgentId, change: MemoryChange, why: str) -> None:
        post = self._post()
        interrupt = memory_interrupt(change, why, post.clock.now_ms(), f"memory/{secrets.token_hex(ID_BYTES)}")
        check_receipt(agent, await post.deliver(agent, interrupt))


def memory_interrupt(change: MemoryChange, why: str, now_ms: int, key: str) -> Interrupt:
    """What an operator sends to change a memory; ``key`` is its id."""
    return Interrupt(
        id=InterruptId(key),
        kind=InterruptKind.MEMORY,
        priority=Priority.OPERATOR,
        sender="operator",
        text=why,
        created_ms=now_ms,
        change=change,
    )


def review_request(now_ms: int) -> Interrupt:
    """What an operator sends for an agent to look over its archival memory."""
    return Interrupt(
        id=InterruptId(f"review/{secrets.token_hex(ID_BYTES)}"),
        kind=InterruptKind.REVIEW,
        priority=Priority.BACKGROUND,
        sender="operator",
        created_ms=now_ms,
    )


def _follow_messages(
    lives: dict[AgentId, Lineage], roots: dict[AgentId, list[PageId]], made: dict[AgentId, Derived]
) -> None:
    """What came to others by messages that were made from what is removed is removed with it, and so on."""
    followed: set[InterruptId] = set()
    while fresh := {key for each in made.values() for key in each.messages} - followed:
        followed |= fresh
        for name, life in lives.items():
            known = set(roots[name])
            more = [page_id for key in fresh for page_id in life.find(cause=key) if page_id not in known]
            if more:
                roots[name] += dict.fromkeys(more)
                made[name] = life.derived(roots[name])


def _without(roots: list[PageId], made: Derived, *, derived: bool) -> MemoryChange:
    if not derived:
        return MemoryChange(removed=tuple(roots))
    summary = "" if made.summary else None
    return MemoryChange(removed=(*roots, *made.pages), blocks=made.blocks, summary=summary)


def _as_it_was(state: AgentState, then: Lineage, now: Lineage) -> MemoryChange:
    context = state.context
    stored = tuple(page for page_id, page in then.archived.items() if page_id not in now.archived)
    entries = tuple(
        ShownPage(shown.page, shown.message, shown.stored, shown.paged_in, shown.is_cut)
        for shown in context.entries.values()
    )
    return MemoryChange(
        stored=stored,
        blocks=tuple((block.label, block.text) for block in context.blocks.values()),
        untrusted_blocks=tuple(block.label for block in context.blocks.values() if block.untrusted),
        summary=context.summary,
        summary_pages=context.summary_pages,
        summary_untrusted=context.summary_untrusted,
        to_ordinal=state.ordinal,
        entries=entries,
        pinned=tuple(sorted(state.pinned)),
        seen=tuple(state.seen),
    )
