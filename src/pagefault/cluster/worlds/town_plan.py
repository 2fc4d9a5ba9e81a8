"""What will happen in a town, from a seed: seasons, routines, encounters, news that changes, words that are misheard.

The plan is lived once in thought, by people who forget nothing (:class:`_Ideal`), so that it is known who could tell
whom what.  What really happens depends on the agents' memories, and is measured against it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pagefault.cluster.worlds.village import POSSESSIONS, QUALITIES, VALUES, villager_name

SEASONS = ("spring", "summer", "autumn", "winter")
DAWN, MORNING, NOON, EVENING, NIGHT = range(5)
SLOTS = ("dawn", "morning", "noon", "evening", "night")
PLACES = ("mill", "market", "tavern", "chapel", "smithy", "field", "school", "well")
QUARTER = 25
"""People of one quarter have its places to themselves; more would not know each other."""
TRAVEL_SHARE = 0.08
MEETING_SHARE = 0.7
FRIEND_SHARE = 0.5
"""How often people turn to whom they know best, of those who are there."""
MISHEARD_SHARE = {"tavern": 0.25, "market": 0.1}
CHANGING_SHARE = 0.3


class Happening(StrEnum):
    """What can happen to somebody."""

    LEARN = "learn"
    MEET = "meet"
    PLAN = "plan"
    REFLECT = "reflect"


@dataclass(frozen=True, slots=True)
class Event:
    """One happening.  ``moment`` counts the slots of all days; ``partner`` hears what ``who`` says of ``topic``.

    ``value``: what is learned; of a meeting, what is heard instead of what is said, if it is misheard.
    """

    number: int
    moment: int
    happening: Happening
    who: str
    place: str = ""
    partner: str = ""
    topic: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class TownPlan:
    """``truths``: of each topic, its values with the moment from which each is true.  ``ideal_spread``: how many people
    would hear of each topic if nobody forgot anything."""

    names: tuple[str, ...]
    days: int
    season_days: int
    events: tuple[Event, ...]
    truths: Mapping[str, tuple[tuple[int, str], ...]]
    ideal_spread: Mapping[str, int]


def season_of(day: int, season_days: int) -> str:
    """The season of a day, from day 1; the second year begins with another spring."""
    number = (day - 1) // season_days
    year = number // len(SEASONS) + 1
    return f"{SEASONS[number % len(SEASONS)]} of year {year}"


def moment_of(day: int, slot: int) -> int:
    """Moments count the slots of all days."""
    return day * len(SLOTS) + slot


def say_moment(moment: int) -> str:
    """In words."""
    day, slot = divmod(moment, len(SLOTS))
    return f"Day {day}, {SLOTS[slot]}"


def other_value(topic: str, value: str, chance: random.Random) -> str:
    """Another value that the topic could have."""
    quality = topic.split()[1]
    return chance.choice([each for each in VALUES[quality] if each != value])


@dataclass(slots=True)
class _Ideal:
    """Somebody who forgets nothing."""

    knows: dict[str, str] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)


class TownPlanner:
    """Makes the plan of a town; the same arguments give the same plan."""

    def __init__(self, agents: int, days: int, season_days: int, facts_each: int, seed: int) -> None:
        self._chance = random.Random(f"town/{seed}")  # noqa: S311 - a seeded world, not a secret
        self._days, self._season_days = days, season_days
        self._names = tuple(villager_name(number) for number in range(agents))
        self._ideal = {name: _Ideal() for name in self._names}
        self._events: list[Event] = []
        self._truths: dict[str, list[tuple[int, str]]] = {}
        self._changes: dict[int, list[tuple[str, str]]] = {}
        self._work = {name: self._chance.choice(PLACES) for name in self._names}
        self._facts_each = facts_each

    def make(self) -> TownPlan:
        """Live all days in thought."""
        self._begin()
        for day in range(1, self._days + 1):
            self._dawn(day)
            for slot in (MORNING, NOON, EVENING):
                self._meetings(day, slot)
            if day % self._season_days == 0 or day == self._days:
                for name in self._names:
                    self._add(moment_of(day, NIGHT), Happening.REFLECT, name)
        spread: Counter[str] = Counter()
        for ideal in self._ideal.values():
            spread.update(ideal.knows.keys())
        truths = {topic: tuple(values) for topic, values in self._truths.items()}
        return TownPlan(self._names, self._days, self._season_days, tuple(self._events), truths, dict(spread))

    def _add(self, moment: int, happening: Happening, who: str, **more: str) -> None:
        self._events.append(Event(len(self._events), moment, happening, who, **more))

    def _begin(self) -> None:
        topics = [(quality, possession) for quality in QUALITIES for possession in POSSESSIONS]
        for name in self._names:
            for quality, possession in self._chance.sample(topics, self._facts_each):
                topic = f"the {quality} of {name}'s {possession}"
                self._learn(moment_of(0, DAWN), name, topic, self._chance.choice(VALUES[quality]))
                if self._days > 1 and self._chance.random() < CHANGING_SHARE:
                    self._changes.setdefault(self._chance.randint(2, self._days), []).append((name, topic))

    def _learn(self, moment: int, name: str, topic: str, value: str) -> None:
        self._truths.setdefault(topic, []).append((moment, value))
        self._ideal[name].knows[topic] = value
        self._add(moment, Happening.LEARN, name, topic=topic, value=value)

    def _dawn(self, day: int) -> None:
        moment = moment_of(day, DAWN)
        if (day - 1) % self._season_days == 0:
            for name in self._names:
                self._add(moment, Happening.PLAN, name)
        for name, topic in self._changes.get(day, ()):
            self._learn(moment, name, topic, other_value(topic, self._truths[topic][-1][1], self._chance))

    # --- encounters

    def _meetings(self, day: int, slot: int) -> None:
        for place, present in self._gatherings(day, slot):
            free = dict.fromkeys(present)
            while len(free) > 1:
                teller = next(iter(free))
                del free[teller]
                if self._chance.random() >= MEETING_SHARE:
                    continue
                listener = self._company(teller, list(free))
                del free[listener]
                self._meet(moment_of(day, slot), place, teller, listener)

    def _gatherings(self, day: int, slot: int) -> Iterator[tuple[str, Sequence[str]]]:
        """Who is where."""
        there: dict[str, list[str]] = {}
        season = season_of(day, self._season_days).split()[0]
        quarters = max(1, len(self._names) // QUARTER)
        for number, name in enumerate(self._names):
            quarter = min(number // QUARTER, quarters - 1)
            if slot == NOON and self._chance.random() < TRAVEL_SHARE:
                quarter = self._chance.randrange(quarters)
            there.setdefault(f"{self._place(name, season, slot)} of quarter {quarter + 1}", []).append(name)
        for place, present in there.items():
            self._chance.shuffle(present)
            yield place, present

    def _place(self, name: str, season: str, slot: int) -> str:
        roll = self._chance.random()
        if slot == EVENING:
            return "tavern" if roll < (0.8 if season == "winter" else 0.5) else self._chance.choice(PLACES)
        if season == "autumn" and roll < 0.6:
            return "field"
        if slot == NOON and roll < 0.4:
            return "market"
        return self._work[name]

    def _company(self, name: str, there: Sequence[str]) -> str:
        met = self._ideal[name].met
        if self._chance.random() < FRIEND_SHARE:
            best = max(met[each] for each in there)
            if best:
                return next(each for each in there if met[each] == best)
        return self._chance.choice(there)

    def _meet(self, moment: int, place: str, teller: str, listener: str) -> None:
        """They talk about what is news for one of them, if anything is."""
        told = self._ideal[teller].knows
        heard = self._ideal[listener].knows
        own = f"{listener}'s "  # nobody has to be told of what is their own
        news = [topic for topic, value in told.items() if heard.get(topic) != value and own not in topic]
        self._ideal[teller].met[listener] += 1
        self._ideal[listener].met[teller] += 1
        if not news:
            return
        topic = self._chance.choice(news[-8:])  # what is fresh is talked about
        share = MISHEARD_SHARE.get(place.split(maxsplit=1)[0], 0.0)
        misheard = other_value(topic, told[topic], self._chance) if self._chance.random() < share else ""
        heard[topic] = misheard or told[topic]
        self._add(moment, Happening.MEET, teller, place=place, partner=listener, topic=topic, value=misheard)
