"""Demand: a page comes in when it is asked for, and nothing with it."""

from __future__ import annotations

from collections.abc import Sequence

from pagefault.policies.contract import Capability


class Demand:
    """Fetches no companions."""

    name = "demand"
    capabilities: frozenset[Capability] = frozenset()

    def companions(self, page_id: str, ordinal: int, room_tokens: int) -> Sequence[int]:
        return ()
