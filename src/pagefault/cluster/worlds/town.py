"""A town over seasons: people with routines meet, pass news on, mishear, plan, reflect, and are asked what they know.

The world stands between the people: somebody who meets somebody is told what the other wonders about, says what memory
gives, and the world brings it to the listener, sometimes misheard.  So who was told what, when and by whom is known
exactly, and memory is scored without a judge: recall, staleness, contradiction, spread.

People who do not meet need not wait for each other.  With ``pace="causal"`` whatever happens to somebody waits for what
happened to that person before, and for nothing else (out-of-order execution, as in AI Metropolis, Xie et al. 2024);
``pace="lockstep"`` lives the town slot by slot, everybody waiting for the slowest.  What happens is the same.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pagefault.cluster.worlds.contract import Outcomes, Progress, Report, Row, RunningFleet, Totals, together
from pagefault.cluster.worlds.town_mind import FACT
from pagefault.cluster.worlds.town_plan import (
    NIGHT,
    Event,
    Happening,
    TownPlan,
    TownPlanner,
    moment_of,
    say_moment,
    season_of,
)
from pagefault.cluster.worlds.town_score import (
    RIGHT,
    STALE,
    UNKNOWN,
    WRONG,
    Heard,
    Knowledge,
    judge,
    measure_spread,
    world_hash,
)
from pagefault.cluster.worlds.village import DAY_MS, FIRST_DAY_MS
from pagefault.runtime.errors import ConfigError, InternalError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

PACES = ("causal", "lockstep")
AT_ONCE = 64
INSPECTED_AT_ONCE = 64
VIRTUAL_S = 1e-3
"""In virtual time, minds that think in no time live a season in none."""


@dataclass(frozen=True, slots=True)
class TownSettings:
    """``days`` in seasons of ``season_days``; of ``questions_each`` topics everybody is asked at the end, twice.
    ``at_once``: people that the world talks to at one time."""

    agents: int = 200
    days: int = 7
    season_days: int = 7
    facts_each: int = 1
    questions_each: int = 2
    seed: int = 1
    pace: str = "causal"
    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        for name in ("agents", "days", "season_days", "facts_each", "questions_each", "at_once"):
            value, least = getattr(self, name), 2 if name == "agents" else 1
            if type(value) is not int or value < least:
                raise ConfigError(f"town.{name}", value, f"a whole number from {least}")
        if self.pace not in PACES:
            raise ConfigError("town.pace", self.pace, " or ".join(PACES))


class Town:
    """Lives a plan on a fleet."""

    name = "town"

    def __init__(self, settings: TownSettings) -> None:
        self.settings = settings
        self.plan: TownPlan = TownPlanner(
            settings.agents, settings.days, settings.season_days, settings.facts_each, settings.seed
        ).make()

    def agents(self, template: Mapping[str, Any]) -> list[Agent]:
        """One agent a person, all made alike but for the name."""
        return [Agent(**{**template, "name": name}) for name in self.plan.names]

    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report:
        """Live all days, and ask at the end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        life = _Life(self.plan, fleet, progress, self.settings.at_once)
        progress.begin("life in the town", len(self.plan.events))
        await (life.in_lockstep() if self.settings.pace == "lockstep" else life.as_it_comes())
        lived_s = loop.time() - began
        inquiry = _Inquiry(self.settings, life)
        await inquiry.ask()
        seconds = loop.time() - began
        totals = Totals()
        for start in range(0, len(refs), INSPECTED_AT_ONCE):
            for inspection in await together(ref.inspect() for ref in refs[start : start + INSPECTED_AT_ONCE]):
                totals.add(inspection)
        return _report(self.plan, life, inquiry, totals, (lived_s, max(seconds, VIRTUAL_S)))


class _Life:
    """What happens, and who has heard what of it."""

    def __init__(self, plan: TownPlan, fleet: RunningFleet, progress: Progress, at_once: int) -> None:
        self.plan = plan
        self.known = {name: Knowledge() for name in plan.names}
        self.outcomes = Outcomes()
        self.untold = 0
        self._fleet = fleet
        self._progress = progress
        self._gate = asyncio.Semaphore(at_once)
        self._reached = dict.fromkeys(plan.names, 0)

    async def in_lockstep(self) -> None:
        """Slot by slot."""
        for _, events in itertools.groupby(self.plan.events, key=lambda event: event.moment):
            await together(self._happen(event, [_done()] * 2, [_done()] * 2) for event in events)

    async def as_it_comes(self) -> None:
        """Whatever happens to somebody as soon as all before it has happened to that person."""
        last = {name: _done() for name in self.plan.names}
        work = []
        for event in self.plan.events:
            people = [event.who, *([event.partner] if event.partner else [])]
            before = [last[name] for name in people]
            after = [asyncio.get_running_loop().create_future() for _ in people]
            last.update(zip(people, after, strict=True))
            work.append(self._happen(event, before, after))
        await together(work)

    async def tell(self, name: str, key: str, text: str, moment: int, *, is_asked: bool = False) -> str:
        """Have somebody take note of something; returns the words of the answer, if there were any."""
        kind, priority, sender = InterruptKind.OBSERVATION, Priority.WORLD, "town"
        if is_asked:
            kind, priority, sender = InterruptKind.MESSAGE, Priority.USER, "stranger"
        day, _ = divmod(moment, moment_of(1, 0))
        at_ms = FIRST_DAY_MS + moment * DAY_MS // moment_of(1, 0)
        interrupt = Interrupt(
            InterruptId(key), kind, priority, sender, text, created_ms=at_ms, session=f"day {day}", ephemeral=is_asked
        )
        async with self._gate:
            answer = await self.outcomes.answer(self._fleet, AgentId(name), interrupt)
        return answer.text

    async def _happen(
        self, event: Event, before: Sequence[asyncio.Future[None]], after: Sequence[asyncio.Future[None]]
    ) -> None:
        await before[0]
        self._reach(event.who, event)
        words = await self.tell(event.who, f"event-{event.number}", self._text(event), event.moment)
        _finish(after[0])
        if event.happening is Happening.PLAN:
            self.known[event.who].plans[self._season(event)] = words
        elif event.happening is Happening.LEARN:
            self.known[event.who].hear(event.topic, Heard(event.moment, event.value, ""))
        elif event.happening is Happening.MEET:
            await before[1]
            self._reach(event.partner, event)
            await self._overhear(event, words)
            _finish(after[1])
        self._progress.advance()

    async def _overhear(self, event: Event, words: str) -> None:
        """The listener hears what was said, or something like it."""
        said = next((value for topic, value in FACT.findall(words) if topic == event.topic), "")
        self.known[event.who].met[event.partner] += 1
        self.known[event.partner].met[event.who] += 1
        where = f"{say_moment(event.moment)}, at the {event.place}: you meet {event.who}"
        if not said:
            self.untold += 1
            text = f"{where}, who has no news."
        else:
            value = event.value or said
            text = f"{where}, who tells you that {event.topic} is {value}."
            self.known[event.partner].hear(event.topic, Heard(event.moment, value, event.who))
        await self.tell(event.partner, f"event-{event.number}-heard", text, event.moment)

    def _reach(self, name: str, event: Event) -> None:
        """Causality: nobody lives anything before what came before it."""
        if event.moment < self._reached[name]:
            raise InternalError(f"{name} lived moment {event.moment} after {self._reached[name]}")
        self._reached[name] = event.moment

    def _season(self, event: Event) -> str:
        return season_of(max(1, event.moment // moment_of(1, 0)), self.plan.season_days)

    def _text(self, event: Event) -> str:
        when = say_moment(event.moment)
        if event.happening is Happening.LEARN:
            return f"{when}: you see that {event.topic} is {event.value}."
        if event.happening is Happening.MEET:
            return f"{when}, at the {event.place}: you meet {event.partner}, who wonders about {event.topic}."
        if event.happening is Happening.PLAN:
            return f"{when}: the {self._season(event)} begins. What do you plan?"
        return f"{when}: the {self._season(event)} ends. Whom have you met?"


class _Inquiry:
    """Strangers who ask everybody, in two wordings, of what was heard; and of plans and friends."""

    def __init__(self, settings: TownSettings, life: _Life) -> None:
        self._life = life
        self._settings = settings
        self._chance = random.Random(f"inquiry/{settings.seed}")  # noqa: S311 - a seeded world, not a secret
        self.judged: Counter[str] = Counter()
        self.contradicted = self.pairs = 0
        self.friends_right = self.friends_asked = 0
        self.plans_right = self.plans_asked = 0
        self.answers: list[str] = []

    async def ask(self) -> None:
        """All questions of all people."""
        answers = await together(
            self._ask_one(number, name, self._topics(name)) for number, name in enumerate(self._life.plan.names)
        )
        self.answers = [words for each in answers for words in each]

    def _topics(self, name: str) -> list[str]:
        heard = sorted(self._life.known[name].topics)
        return self._chance.sample(heard, min(self._settings.questions_each, len(heard)))

    async def _ask_one(self, number: int, name: str, topics: Sequence[str]) -> list[str]:
        life, person = self._life, self._life.known[name]
        moment = moment_of(life.plan.days, NIGHT)
        said = []

        async def ask(key: str, text: str) -> str:
            words = await life.tell(name, f"ask-{number}-{key}", text, moment, is_asked=True)
            said.append(words)
            return words

        for place, topic in enumerate(topics):
            first = await ask(f"{place}-1", f"Tell me, what is {topic}?")
            second = await ask(f"{place}-2", f"What have you heard about {topic}?")
            verdicts = [judge(words, topic, person.topics[topic]) for words in (first, second)]
            self.judged.update(verdicts[:1])
            self.pairs += 1
            self.contradicted += _values(first, topic) != _values(second, topic)
        for season, plan in sorted(person.plans.items()):
            self.plans_asked += 1
            words = await ask(f"plan-{season}", f"What did you plan for the {season}?")
            self.plans_right += bool(plan) and plan in words
        if person.met:
            best = max(person.met.values())
            words = await ask("friend", "Whom in this town do you know best?")
            self.friends_asked += 1
            self.friends_right += any(f"know {each} best" in words for each, met in person.met.items() if met == best)
        return said


def _values(words: str, topic: str) -> list[str]:
    return [value for about, value in FACT.findall(words) if about == topic]


def _done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _report(plan: TownPlan, life: _Life, inquiry: _Inquiry, totals: Totals, took_s: tuple[float, float]) -> Report:
    asked = max(1, inquiry.pairs)
    spread = measure_spread(plan, life.known)
    shares = {verdict: round(inquiry.judged[verdict] / asked, 4) for verdict in (RIGHT, STALE, WRONG, UNKNOWN)}
    memory = totals.results(took_s[1])
    meetings = sum(event.happening is Happening.MEET for event in plan.events)
    results = {
        "agents": len(plan.names),
        "days": plan.days,
        "events": len(plan.events),
        "meetings": meetings,
        "untold": life.untold,
        "questions": inquiry.pairs,
        "recall_accuracy": shares[RIGHT],
        "staleness": shares[STALE],
        "wrong": shares[WRONG],
        "unknown": shares[UNKNOWN],
        "contradiction": round(inquiry.contradicted / asked, 4),
        "spread": asdict(spread),
        "friends_right": round(inquiry.friends_right / max(1, inquiry.friends_asked), 4),
        "plans_right": round(inquiry.plans_right / max(1, inquiry.plans_asked), 4),
        "lived_s": round(took_s[0], 3),
        "faults_per_step": round(totals["page_faults"] / max(1, totals["steps"]), 4),
        "world_hash": world_hash(life.known, inquiry.answers),
        **memory,
        "failed_chains": life.outcomes.failed,
    }
    rows = [
        Row(
            "people",
            f"{len(plan.names):,}",
            f"{plan.days} days, {len(plan.events):,} events, {meetings:,} of them meetings",
        ),
        Row("recalled right", f"{shares[RIGHT]:.1%}", f"of {inquiry.pairs:,} things that they were told"),
        Row("  stale", f"{shares[STALE]:.1%}", "what they had been told before that"),
        Row("  wrong or unknown", f"{shares[WRONG] + shares[UNKNOWN]:.1%}", "what they never heard, or nothing"),
        Row("contradictions", f"{results['contradiction']:.1%}", "another answer to the same question in other words"),
        Row("spread", f"{spread.heard:,} of {spread.ideal:,}", "of the news that would spread if nobody forgot"),
        Row("  true now", f"{spread.true:,}", f"{spread.outdated:,} outdated, {spread.garbled:,} garbled on the way"),
        Row("friends known", f"{results['friends_right']:.1%}", "whom they met most often, by their own reflection"),
        Row("plans known", f"{results['plans_right']:.1%}", "what they planned when each season began"),
        Row("failed chains", f"{life.outcomes.failed:,}", f"of {life.outcomes.chains:,}"),
        *totals.rows(took_s[1]),
    ]
    return Report("Town", results, rows, life.outcomes.problem(totals))
