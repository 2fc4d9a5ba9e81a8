"""How well a town remembers, held against what everybody was told: the truth is known for every answer."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pagefault.cluster.worlds.town_mind import FACT
from pagefault.cluster.worlds.town_plan import TownPlan

RIGHT, STALE, WRONG, UNKNOWN = "right", "stale", "wrong", "unknown"


@dataclass(frozen=True, slots=True)
class Heard:
    """At a moment, a value was heard, from ``source`` (empty: seen by oneself)."""

    moment: int
    value: str
    source: str


@dataclass(slots=True)
class Knowledge:
    """What one person has heard of each topic, in order, and whom they have met."""

    topics: dict[str, list[Heard]] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    plans: dict[str, str] = field(default_factory=dict)

    def hear(self, topic: str, heard: Heard) -> None:
        """Something new, or the same again."""
        self.topics.setdefault(topic, []).append(heard)


def judge(answer: str, topic: str, heard: Iterable[Heard]) -> str:
    """``right``: what was heard last; ``stale``: what was heard before that; ``wrong``: what never was; ``unknown``."""
    values = [each.value for each in heard]
    said = next((value for about, value in FACT.findall(answer) if about == topic), "")
    if not said:
        return UNKNOWN
    if said == values[-1]:
        return RIGHT
    return STALE if said in values else WRONG


@dataclass(frozen=True, slots=True)
class Spread:
    """Of all topics together: how many people know each, and what of it is so."""

    heard: int
    ideal: int
    true: int
    outdated: int
    garbled: int


def measure_spread(plan: TownPlan, known: Mapping[str, Knowledge]) -> Spread:
    """Who believes what at the end: what is true now, what was true once, and what never was."""
    counts: Counter[str] = Counter()
    for person in known.values():
        for topic, heard in person.topics.items():
            values = [value for _, value in plan.truths[topic]]
            believed = heard[-1].value
            counts["true" if believed == values[-1] else "outdated" if believed in values else "garbled"] += 1
    ideal = sum(plan.ideal_spread.values())
    return Spread(sum(counts.values()), ideal, counts["true"], counts["outdated"], counts["garbled"])


def world_hash(known: Mapping[str, Knowledge], answers: Iterable[str]) -> str:
    """One number for all that happened: who heard what when from whom, who met whom, and every answer."""
    digest = hashlib.sha256()
    for name in sorted(known):
        person = known[name]
        for topic in sorted(person.topics):
            digest.update(repr((name, topic, [(h.moment, h.value, h.source) for h in person.topics[topic]])).encode())
        digest.update(repr((sorted(person.met.items()), sorted(person.plans.items()))).encode())
    for answer in answers:
        digest.update(answer.encode() + b"\0")
    return digest.hexdigest()
