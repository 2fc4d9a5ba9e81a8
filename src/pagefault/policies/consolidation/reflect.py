"""Reflect: when enough that matters has been filed, an agent at rest draws conclusions from it."""

from __future__ import annotations

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, Rest

TEXT = (
    "You have time to think. {pages} passages are new in your archival memory: look at them with "
    "archival_memory_review. Which questions of a higher order do they answer, about people, habits, plans? Search "
    "archival memory for what else bears on these, and file each conclusion, with what it rests on, with "
    "archival_memory_insert. Where an older conclusion has become wrong, replace it with archival_memory_merge. Nobody "
    "waits for you: speak to nobody, and stop when you are done."
)
UNRATED = 0.5
"""What a passage counts that nobody has rated."""


class Reflect:
    """Reflects when the importance of new passages adds up to ``importance`` and nothing has happened for ``idle_s``.

    Generative Agents (Park et al. 2023, §4.2) reflect when the sum passes 150, on a scale of 1 to 10; here importance
    is 0 to 1, so that is 15.
    """

    name = "reflect"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_MODEL, Capability.NEEDS_IMPORTANCE})

    def __init__(self, *, importance: float = 15.0, idle_s: float = 60.0) -> None:
        self._importance = parameters.number("reflect.importance", importance, at_least=0.001, at_most=1e9)
        self._idle_ms = round(parameters.number("reflect.idle_s", idle_s, at_least=0, at_most=30 * 86_400.0) * 1000)

    def wait_ms(self, rest: Rest) -> int | None:
        return self._idle_ms if rest.importance + UNRATED * rest.unrated >= self._importance else None

    def instructions(self, rest: Rest) -> str:
        return TEXT.format(pages=rest.pages)
