"""The future that offline policies are told, and where in it they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from pagefault.policies import parameters
from pagefault.policies.contract import PolicyError, State

NEVER = math.inf
"""The next use of a page that is not used again."""


class Future:
    """The events of every page, of which the policy's calls use up one each.

    ``uses`` gives for each page id the indices of its events in the trace, ascending: its insertion and its
    references.  Every call of ``on_insert`` or ``on_hit`` is the next of its page's events, whether the page
    came in for the first time, was hit, or came back after a fault.  So a policy must be told of every
    reference exactly once and of nothing else: page-ins ahead of demand would shift its future.  Turns are
    not looked at, as several events may share one.  Raises ``PolicyError`` for indices that do not rise, and
    when a page is told more often than it has events.
    """

    def __init__(self, policy: str, uses: Mapping[str, Sequence[int]]) -> None:
        self._policy = policy
        self._uses = {page_id: tuple(map(int, events)) for page_id, events in uses.items()}
        for page_id, events in self._uses.items():
            if any(later <= earlier for earlier, later in pairwise(events)):
                raise PolicyError(f"{policy}.uses.{page_id}", list(events), "rising indices of events")
        self._passed: dict[str, int] = {}  # events of the page that were told
        self.now = 0

    def tell(self, page_id: str) -> None:
        """The next event of the page happens."""
        told = self._passed.get(page_id, 0)
        events = self._uses.get(page_id, ())
        if told >= len(events):
            allowed = f"a page with more than {told} events in the future that the policy was made with"
            raise PolicyError(f"{self._policy}.page", page_id, allowed)
        self._passed[page_id] = told + 1
        self.now = events[told]

    def next_use(self, page_id: str) -> float:
        """Index of the next event of a page that was told before, or :data:`NEVER`."""
        events = self._uses[page_id]
        told = self._passed[page_id]
        return events[told] if told < len(events) else NEVER

    def dump(self) -> list[list[object]]:
        """How many events of each page were told."""
        return [[page_id, told] for page_id, told in self._passed.items()]

    def load(self, state: State) -> None:
        """Take over what :meth:`dump` gave, under ``passed``."""
        passed = {"policy": self._policy, "pages": state.get("passed")}
        self._passed = dict(parameters.rows(self._policy, {**state, **passed}, (str, int)))
        for page_id, told in self._passed.items():
            events = self._uses.get(page_id, ())
            if not 0 < told <= len(events):
                raise PolicyError(f"{self._policy}.state.passed.{page_id}", told, f"from 1 to {len(events)} events")
        self.now = max((self._uses[page_id][told - 1] for page_id, told in self._passed.items()), default=0)
