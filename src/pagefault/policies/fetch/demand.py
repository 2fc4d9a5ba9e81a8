"""Demand: a page comes in when it is asked for, and nothing with it."""

from __future__ import annotations

from collections.abc import Sequence


class Demand:
    """Fetches no companions."""

    name = "demand"

    def companions(self, page_id: str, ordinal: int, room_tokens: int) -> Sequence[int]:
        return ()
