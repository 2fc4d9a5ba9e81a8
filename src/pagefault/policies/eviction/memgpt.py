"""MemGPT: the oldest messages leave together, never the last three, and never so that a user's begins the rest.

As in the code of MemGPT 0.2 (Packer et al., "MemGPT: Towards LLMs as Operating Systems", 2023, section 2.2):
messages leave in the order in which they came in; the last ``keep_last`` stay if the others suffice; and if
the first message that would stay is a user's, it leaves, too.

The rest of MemGPT's memory management is elsewhere: the marks at which the model is warned (70 %) and the queue is
flushed (100 %, down to 50 %) are settings of the context, and the recursive summary of what leaves is the write-back
``summarize``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pagefault.policies import parameters
from pagefault.policies.eviction.history import History
from pagefault.policies.eviction.selection import first_to_leave, rank


class MemGpt(History):
    """``keep_last`` is from 0 to 1000, ``user_kind`` the kind of page that a user's message is."""

    name = "memgpt"

    def __init__(self, *, keep_last: int = 3, user_kind: str = "message") -> None:
        super().__init__()
        self._keep_last = parameters.whole("memgpt.keep_last", keep_last, at_least=0, at_most=1000)
        self._user_kind = user_kind

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        last = set(self._last())
        free = self._free(protected)
        older = [page_id for page_id in free if page_id not in last]
        order = [*older, *(page_id for page_id in free if page_id in last)]
        leaving = first_to_leave(((page_id, self._tokens[page_id]) for page_id in order), tokens_needed, ())
        if leaving and len(leaving) < len(older) and self._kinds[older[len(leaving)]] == self._user_kind:
            leaving.append(older[len(leaving)])
        return leaving

    def explain(self, page_id: str, turn: int) -> str:
        if page_id in self._last():
            return f"one of the last {self._keep_last} messages: stays if the others suffice"
        return f"number {rank(page_id, self._tokens)} of {len(self._tokens)} to leave, in the order of coming in"

    def _last(self) -> list[str]:
        newest_first = reversed(self._tokens)
        return [page_id for page_id, _ in zip(newest_first, range(self._keep_last), strict=False)]
