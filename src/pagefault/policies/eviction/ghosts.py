"""Pages that left not long ago: what a policy remembers of them is that they were there."""

from __future__ import annotations

from collections import OrderedDict


class Ghosts:
    """Ids of evicted pages, oldest first, each with its tokens."""

    __slots__ = ("_pages", "tokens")

    def __init__(self, pages: OrderedDict[str, int] | None = None) -> None:
        self._pages: OrderedDict[str, int] = OrderedDict() if pages is None else pages
        self.tokens = sum(self._pages.values())

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, page_id: str) -> bool:
        return page_id in self._pages

    def add(self, page_id: str, tokens: int) -> None:
        """The newest ghost."""
        self._pages[page_id] = tokens
        self.tokens += tokens

    def discard(self, page_id: str) -> bool:
        """Forget a ghost; whether there was one."""
        tokens = self._pages.pop(page_id, None)
        if tokens is None:
            return False
        self.tokens -= tokens
        return True

    def drop_oldest(self) -> str:
        """Forget the oldest ghost and say which it was.  Raises ``KeyError`` when there is none."""
        page_id, tokens = self._pages.popitem(last=False)
        self.tokens -= tokens
        return page_id

    def add_within(self, page_id: str, tokens: int, limit_tokens: float) -> None:
        """The newest ghost, at the expense of the oldest; none if it alone exceeds the limit."""
        if tokens > limit_tokens:
            return
        while self.tokens + tokens > limit_tokens:
            self.drop_oldest()
        self.add(page_id, tokens)

    def rows(self) -> list[list[str | int]]:
        """For a dump."""
        return [[page_id, tokens] for page_id, tokens in self._pages.items()]
