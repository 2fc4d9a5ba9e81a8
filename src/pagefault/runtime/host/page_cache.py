"""The host's page cache: pages at hand that have left a context, so that a page fault need not reach the archive.

The tiers between context and archive, shared by the agents of one host, in its memory.  It only saves time:
what it holds is in the archive (or on its way there) too, and it is forgotten with its host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

from pagefault.policies.contract import PageFacts
from pagefault.policies.tiers import Tier, TierStack
from pagefault.runtime.kernel.pages import facts
from pagefault.runtime.values import AgentId, Page, PageId


class PageCache:
    """Pages of resident agents by tier.  With no tier but the archive it holds nothing and costs nothing."""

    def __init__(self, tiers: Sequence[Tier] = ()) -> None:
        self._stack = TierStack(tiers) if len(tiers) > 1 else None
        self._pages: dict[str, Page] = {}
        self._agents: dict[AgentId, set[PageId]] = {}

    @property
    def is_on(self) -> bool:
        return self._stack is not None

    def __len__(self) -> int:
        return len(self._pages)

    def store(self, agent: AgentId, pages: Iterable[Page]) -> None:
        """Pages were made: inclusive tiers keep copies."""
        if self._stack is not None:
            self._each(agent, pages, self._stack.store)

    def demote(self, agent: AgentId, pages: Iterable[Page]) -> None:
        """Pages left the agent's context, in the form in which the archive has them."""
        if self._stack is not None:
            self._each(agent, pages, self._stack.demote)

    def fetch(self, agent: AgentId, pages: Iterable[Page]) -> None:
        """Pages rise into the context, from wherever they were."""
        if self._stack is not None:
            self._each(agent, pages, self._stack.fetch)

    def at_hand(self, agent: AgentId, page_ids: Iterable[PageId]) -> dict[PageId, Page]:
        """Those of the pages that some tier has; :meth:`fetch` takes them."""
        held = self._agents.get(agent, ())
        return {page_id: self._pages[_key(agent, page_id)] for page_id in page_ids if page_id in held}

    def forget(self, agent: AgentId, page_ids: Iterable[PageId]) -> None:
        """These pages are to be found no more."""
        held = self._agents.get(agent)
        if self._stack is None or not held:
            return
        for page_id in page_ids:
            if page_id in held:
                self._stack.remove(_key(agent, page_id))
                self._let_go(agent, page_id)

    def drop(self, agent: AgentId) -> None:
        """The agent leaves the host: what it forgets elsewhere must not be found here when it comes back."""
        self.forget(agent, list(self._agents.get(agent, ())))

    def statistics(self) -> dict[str, dict[str, int]]:
        """By tier: hits, tokens brought up, pages taken in and given away."""
        if self._stack is None:
            return {}
        rows = zip(self._stack.tiers, self._stack.counts, strict=True)
        return {tier.name: asdict(counts) for tier, counts in rows}

    def _each(self, agent: AgentId, pages: Iterable[Page], move: Callable[[PageFacts], object]) -> None:
        assert self._stack is not None, "there is no tier to hold a page"
        for page in pages:
            key = _key(agent, page.id)
            move(replace(facts(page), id=key))
            if key in self._stack:
                self._pages[key] = page
                self._agents.setdefault(agent, set()).add(page.id)
            elif key in self._pages:
                self._let_go(agent, page.id)
            for gone in self._stack.take_gone():
                owner, _, page_id = gone.rpartition("/")
                if gone in self._pages:
                    self._let_go(AgentId(owner), PageId(page_id))

    def _let_go(self, agent: AgentId, page_id: PageId) -> None:
        del self._pages[_key(agent, page_id)]
        held = self._agents[agent]
        held.discard(page_id)
        if not held:
            del self._agents[agent]


def _key(agent: AgentId, page_id: PageId) -> str:
    """One name for a page of a host: a page's id has no slash in it."""
    return f"{agent}/{page_id}"
