"""A schedule that an optimum found, as a policy: what it keeps stays, everything else may leave.

:mod:`~pagefault.policies.offline.exact` says which intervals are worth keeping.  Played through the lab like
any other policy, the schedule has the hits that the optimum promised, and measures of its own besides: what
it would have cost, how much it moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pagefault.policies.contract import Capability
from pagefault.policies.offline.belady import Belady


class Scheduled(Belady):
    """Pages that the schedule does not keep until their next use leave first, the earliest in before others.

    ``uses`` is the future, as for :class:`~pagefault.policies.offline.belady.Belady`; ``kept`` are the events
    at which an interval ends that is kept: the references that are to be hits.  A schedule that fits is
    followed to the letter; where one does not, what it keeps leaves too.
    """

    name = "scheduled"
    capabilities = frozenset({Capability.NEEDS_FUTURE, Capability.SIZE_AWARE})

    def __init__(self, *, uses: Mapping[str, Sequence[int]], kept: Iterable[int]) -> None:
        super().__init__(uses=uses)
        self._kept = frozenset(map(float, kept))

    def explain(self, page_id: str, turn: int) -> str:
        is_kept = "kept" if self._regret(page_id) else "not kept"
        return f"{is_kept} by the schedule, {super().explain(page_id, turn)}"

    def _regret(self, page_id: str) -> float:
        return float(self._future.next_use(page_id) in self._kept)
