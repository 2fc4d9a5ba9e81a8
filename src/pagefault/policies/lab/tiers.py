"""A trace through a whole chain of tiers: what the context lets go and asks for, met by the tiers below it.

What the context does does not depend on the tiers under it, so a replay of the context comes first, and its
entries and leavings drive the same :class:`~pagefault.policies.tiers.TierStack` that a live host has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pagefault.policies.lab.log import Entered, Left
from pagefault.policies.lab.replay import Replay
from pagefault.policies.tiers import Tier, TierCounts, TierStack


@dataclass(frozen=True, slots=True)
class TierReport:
    """What a chain of tiers did in one replay.

    ``counts`` has one row a tier, the archive's last.  ``requests`` are pages that the context asked for,
    ``latency_ms`` the time that they took by the tiers' own figures, ``price`` what their tokens cost.
    """

    tiers: tuple[Tier, ...]
    counts: tuple[TierCounts, ...]
    requests: int
    latency_ms: float
    price: float

    @property
    def mean_latency_ms(self) -> float:
        """Time a request, 0 if there was none."""
        return self.latency_ms / self.requests if self.requests else 0.0

    def hit_ratio(self, tier: str) -> float:
        """Share of the requests that ended at a tier; 0 if there were none."""
        for each, counts in zip(self.tiers, self.counts, strict=True):
            if each.name == tier:
                return counts.hits / self.requests if self.requests else 0.0
        raise KeyError(tier)

    def to_rows(self) -> list[dict[str, str | float | int]]:
        """A row a tier."""
        return [
            {
                "tier": tier.name,
                "policy": tier.policy if tier.capacity_tokens is not None else "",
                "capacity_tokens": tier.capacity_tokens or 0,
                "inclusive": tier.inclusive,
                "hit_ratio": self.hit_ratio(tier.name),
                **asdict(counts),
            }
            for tier, counts in zip(self.tiers, self.counts, strict=True)
        ]


def replay_tiers(replay: Replay, tiers: Sequence[Tier]) -> TierReport:
    """Play what a context did against the tiers below it.

    Raises :class:`~pagefault.policies.contract.PolicyError` for tiers that make no chain.
    """
    stack = TierStack(tiers)
    pages, stays = replay.trace.pages, replay.stays
    entered, left = stays.entered.tolist(), stays.left.tolist()
    page_of = stays.page.tolist()
    requests = 0
    for _, is_leaving, stay in _moves(replay):
        page = pages[page_of[stay]]
        if not is_leaving:
            if entered[stay] == Entered.INSERTED:
                stack.store(page)
            else:
                requests += 1
                stack.fetch(page)
        elif left[stay] == Left.FORGOTTEN:
            stack.remove(page.id)
        else:
            stack.demote(page)
    latency_ms = sum(tier.latency_ms * counts.hits for tier, counts in zip(stack.tiers, stack.counts, strict=True))
    price = sum(
        tier.price_per_mtok * counts.tokens_up / 1e6 for tier, counts in zip(stack.tiers, stack.counts, strict=True)
    )
    return TierReport(stack.tiers, tuple(stack.counts), requests, latency_ms, price)


def _moves(replay: Replay) -> list[tuple[int, bool, int]]:
    """Entries and leavings in the order in which they happened: ``(event, is it a leaving, stay)``."""
    stays = replay.stays
    entries = [(event, False, stay) for stay, event in enumerate(stays.since.tolist())]
    in_order = replay.evicted.tolist()
    rank = {stay: place for place, stay in enumerate(in_order)}
    gone = np.flatnonzero(stays.left != Left.STAYED).tolist()
    until = stays.until.tolist()
    leavings = sorted((until[stay], rank.get(stay, -1), stay) for stay in gone)
    # A page comes in before others leave for it: at one event, entries are first.
    return sorted(
        [*entries, *((event, True, stay) for event, _, stay in leavings)], key=lambda move: (move[0], move[1])
    )
