"""The read-only look at an agent that system calls get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pagefault.runtime.kernel.context import HIT_TOKENS_MIN
from pagefault.runtime.kernel.functions import Block, PageLine
from pagefault.runtime.kernel.pages import Entry
from pagefault.runtime.kernel.state import AgentData
from pagefault.runtime.values import PageId


class AgentView:
    """Implements :class:`.functions.MemoryView` over live data; valid during one call only."""

    __slots__ = ("_data",)

    def __init__(self, data: AgentData) -> None:
        self._data = data

    @property
    def now_ms(self) -> int:
        return self._data.now_ms

    @property
    def agent_id(self) -> str:
        return self._data.definition.id

    @property
    def blocks(self) -> Mapping[str, Block]:
        return MappingProxyType(self._data.context.blocks)

    @property
    def sender(self) -> str:
        return self._data.chain.interrupt.sender if self._data.chain is not None else ""

    @property
    def free_tokens(self) -> int:
        context = self._data.context
        used = context.corrected(context.assemble().tokens)
        return max(0, context.uncorrected(self._data.definition.context.high_tokens - used))

    @property
    def results_tokens_max(self) -> int:
        return self._data.context.results_tokens_max(self._data.pinned_tokens)

    @property
    def spaces(self) -> Sequence[str]:
        return self._data.definition.spaces

    @property
    def search_results(self) -> int:
        # A static bound, so that page n of the results is the same whatever is pinned meanwhile.
        fitting = self._data.definition.context.results_tokens_max // HIT_TOKENS_MIN
        return max(1, min(self._data.definition.search_results, fitting))

    @property
    def review_since_ms(self) -> int:
        return self._data.filed.review_since_ms

    def page(self, page_id: PageId) -> PageLine | None:
        shown = self._data.context.entries.get(page_id)
        return None if shown is None else self._line(shown)

    def resident(self) -> Sequence[PageLine]:
        return [self._line(shown) for shown in self._data.context.entries.values()]

    def _line(self, shown: Entry) -> PageLine:
        page = shown.page
        return PageLine(page.id, page.kind.value, page.tokens, page.id in self._data.pinned, page.fidelity.value)
