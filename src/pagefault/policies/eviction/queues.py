"""A queue of pages that knows the sum of its tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping

from pagefault.policies.eviction.replacement import first_free


class TokenQueue:
    """Page ids in an order, first to leave first.  Every step is O(1)."""

    __slots__ = ("pages", "tokens")

    def __init__(self) -> None:
        self.pages: OrderedDict[str, int] = OrderedDict()  # page -> its tokens
        self.tokens = 0

    def __len__(self) -> int:
        return len(self.pages)

    def __contains__(self, page_id: str) -> bool:
        return page_id in self.pages

    def __iter__(self) -> Iterator[str]:
        return iter(self.pages)

    def add(self, page_id: str, tokens: int) -> None:
        """Last to leave."""
        self.pages[page_id] = tokens
        self.tokens += tokens

    def add_first(self, page_id: str, tokens: int) -> None:
        """First to leave."""
        self.add(page_id, tokens)
        self.pages.move_to_end(page_id, last=False)

    def remove(self, page_id: str) -> int:
        """Its tokens.  Raises ``KeyError`` if it is not there."""
        tokens = self.pages.pop(page_id)
        self.tokens -= tokens
        return tokens

    def touch(self, page_id: str) -> None:
        """Last to leave, from wherever it is.  Raises ``KeyError`` if it is not there."""
        self.pages.move_to_end(page_id)

    def first(self, held: Collection[str] = ()) -> str | None:
        """The first to leave that is not held, or ``None``."""
        return first_free(self.pages, held)

    def rank(self, page_id: str) -> int:
        """The place of a page, counted from 1."""
        return list(self.pages).index(page_id) + 1


def filled(pages: Collection[str], tokens: Mapping[str, int]) -> TokenQueue:
    """A queue of ``pages`` in their order."""
    queue = TokenQueue()
    for page_id in pages:
        queue.add(page_id, tokens[page_id])
    return queue
