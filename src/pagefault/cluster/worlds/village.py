"""The village: people who meet, tell each other what they know, and are asked about it long after.

Everything follows from a seed: who knows which fact at first, who meets whom, and what they talk about.  A
fact travels only if the teller finds it in its own memory, so the accuracy at the end is that of memory
and not of the plan; the truth is known for every question.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pagefault.cluster.worlds.contract import Outcomes, Progress, Report, Row, RunningFleet, Totals, together
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

DAY_MS = 86_400_000
FIRST_DAY_MS = 1_700_000_000_000
AT_ONCE = 64
"""Villagers that the world talks to at one time."""

FIRST_NAMES = (
    "Ada Bela Cora Dion Edda Finn Greta Hugo Ines Jonas Kaja Levi Mara Nils Olga Pavel Quinn Rosa Sven Tilda Ugo Vera "
    "Wim Xenia Yara Zeno"
).split()
LAST_NAMES = "Ash Birch Cole Dell Elm Fox Gale Hart Ivey Jay Kerr Lund Moss Nash Oak Pine Reed Stone Thorn Vale".split()
SUBJECTS = (
    "baker miller smith weaver potter ferrier cooper tailor mason fisher hunter brewer carter tanner healer".split()
)
POSSESSIONS = "cat dog goat boat cart lamp fiddle garden ladder kettle cloak ring mule barn well".split()
QUALITIES = "name colour price age maker".split()
VALUES = {
    "name": "Miso Bramble Pepper Juniper Clover Nettle Marlow Saffron Tansy Fennel".split(),
    "colour": "crimson cobalt amber teal ivory slate olive violet copper indigo".split(),
    "price": "three-coins nine-coins twelve-coins twenty-coins forty-coins sixty-coins".split(),
    "age": "two-years five-years eight-years eleven-years fifteen-years thirty-years".split(),
    "maker": "Orla Tobin Wenda Ysolt Brannoc Cerys Dunstan Elowen Garrick Isolde".split(),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is true in this village: ``the colour of the miller's goat is teal``."""

    subject: str
    possession: str
    quality: str
    value: str

    @property
    def topic(self) -> str:
        return f"the {self.quality} of the {self.subject}'s {self.possession}"

    @property
    def sentence(self) -> str:
        return f"{self.topic} is {self.value}"


@dataclass(frozen=True, slots=True)
class Meeting:
    """On a day, ``teller`` tells ``listener`` a fact."""

    day: int
    teller: str
    listener: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will happen: what each knows at first, the meetings in order of day, the questions."""

    names: tuple[str, ...]
    known: tuple[tuple[str, Fact], ...]
    meetings: tuple[Meeting, ...]
    questions: tuple[tuple[str, Fact], ...]


def make_plan(agents: int, days: int, facts_each: int, questions_each: int, seed: int) -> Plan:
    """A village's life from a seed: the same arguments always give the same plan."""
    chance = random.Random(seed)  # noqa: S311 - a seeded world, not a secret
    names = tuple(villager_name(number) for number in range(agents))
    topics = [
        (subject, possession, quality) for subject in SUBJECTS for possession in POSSESSIONS for quality in QUALITIES
    ]
    chance.shuffle(topics)
    knows: dict[str, list[Fact]] = {name: [] for name in names}
    known = []
    for number in range(agents * facts_each):
        subject, possession, quality = topics[number % len(topics)]
        # The same topic always has the same value: villagers never contradict each other.
        value = random.Random(f"{seed}/{subject}/{possession}/{quality}").choice(VALUES[quality])  # noqa: S311 - as above
        fact = Fact(subject, possession, quality, value)
        name = names[number % agents]
        if fact not in knows[name]:
            knows[name].append(fact)
            known.append((name, fact))
    meetings = []
    for day in range(1, days + 1):
        order = list(names)
        chance.shuffle(order)
        pairs = list(zip(order[::2], order[1::2], strict=False))
        for teller, listener in pairs:
            news = [fact for fact in knows[teller] if fact not in knows[listener]]
            if news:
                meetings.append(Meeting(day, teller, listener, chance.choice(news)))
        for meeting in meetings:
            if meeting.day == day:
                knows[meeting.listener].append(meeting.fact)
    questions = []
    for name in names:
        old = knows[name]
        questions += [(name, fact) for fact in chance.sample(old, min(questions_each, len(old)))]
    return Plan(names, tuple(known), tuple(meetings), tuple(questions))


def villager_name(number: int) -> str:
    """The name of one of any number of people."""
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    last = LAST_NAMES[number // len(FIRST_NAMES) % len(LAST_NAMES)]
    again = number // (len(FIRST_NAMES) * len(LAST_NAMES))
    return f"{first}-{last}" + (f"-{again + 1}" if again else "")


class Village:
    """Lives a plan on a fleet."""

    name = "village"

    def __init__(
        self, agents: int = 200, days: int = 6, facts_each: int = 3, questions_each: int = 2, seed: int = 1
    ) -> None:
        for field, value, least in (
            ("agents", agents, 2),
            ("days", days, 1),
            ("facts_each", facts_each, 1),
            ("questions_each", questions_each, 1),
        ):
            if value < least:
                raise ConfigError(f"village.{field}", value, f"{least} or more")
        self.plan = make_plan(agents, days, facts_each, questions_each, seed)
        self._days = days
        self._token = secrets.token_hex(4)  # a run that goes on where another stopped asks again

    def agents(self, template: Mapping[str, Any]) -> list[Agent]:
        """One agent a villager, all made alike but for the name."""
        return [Agent(**{**template, "name": name}) for name in self.plan.names]

    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report:
        """Learn, meet day by day, and answer at the end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        plan = self.plan
        progress.begin("life in the village", len(plan.known) + len(plan.meetings) + len(plan.questions))
        gate = asyncio.Semaphore(AT_ONCE)
        outcomes = Outcomes()

        async def tell(name: str, event: Interrupt) -> str:
            async with gate:
                answer = await outcomes.answer(fleet, AgentId(name), event)
            progress.advance()
            return answer.text if answer.outcome == "yielded" else ""

        learned = [tell(name, _learn(number, name, fact)) for number, (name, fact) in enumerate(plan.known)]
        await together(learned)
        for day in range(1, self._days + 1):
            today = [meeting for meeting in plan.meetings if meeting.day == day]
            await together(tell(meeting.teller, _meet(meeting)) for meeting in today)
            await fleet.idle()  # the day ends when everybody has heard what they were told
        asked = [
            tell(name, _ask(f"{number}-{self._token}", fact, self._days + 30))
            for number, (name, fact) in enumerate(plan.questions)
        ]
        answers = await together(asked)
        seconds = loop.time() - began
        totals = Totals()
        for start in range(0, len(refs), AT_ONCE):
            for inspection in await together(ref.inspect() for ref in refs[start : start + AT_ONCE]):
                totals.add(inspection)
        return self._report(answers, outcomes, totals, seconds)

    def _report(self, answers: Sequence[str], outcomes: Outcomes, totals: Totals, seconds: float) -> Report:
        plan = self.plan
        first_hand = set(plan.known)
        right: Counter[str] = Counter()
        asked: Counter[str] = Counter()
        for (name, fact), answer in zip(plan.questions, answers, strict=True):
            kind = "learned" if (name, fact) in first_hand else "heard"
            asked[kind] += 1
            right[kind] += fact.value in answer
        accuracy = sum(right.values()) / max(1, sum(asked.values()))
        heard = right["heard"] / max(1, asked["heard"])
        results = {
            "agents": len(plan.names),
            "meetings": len(plan.meetings),
            "questions": len(plan.questions),
            "accuracy": round(accuracy, 4),
            "accuracy_heard": round(heard, 4),
            **totals.results(seconds),
            "failed_chains": outcomes.failed,
        }
        rows = [
            Row("villagers", f"{len(plan.names):,}", "agents, each with a memory of its own"),
            Row(
                "meetings",
                f"{len(plan.meetings):,}",
                f"over {self._days} days; at each, one tells another a fact from memory",
            ),
            Row("questions", f"{len(plan.questions):,}", "about facts from long ago, at the end"),
            Row("answered right", f"{accuracy:.1%}", "the true answers are known"),
            Row(
                "  of what they were told",
                f"{heard:.1%}",
                f"{asked['heard']:,} questions about what another villager said",
            ),
            Row("failed chains", f"{outcomes.failed:,}", f"of {outcomes.chains:,} that the village began"),
            *totals.rows(seconds),
        ]
        return Report("Village", results, rows, outcomes.problem(totals))


def _event(key: str, kind: InterruptKind, sender: str, text: str, day: int) -> Interrupt:
    priority = Priority.USER if kind is InterruptKind.MESSAGE else Priority.WORLD
    return Interrupt(
        InterruptId(key), kind, priority, sender, text, created_ms=FIRST_DAY_MS + day * DAY_MS, session=f"day {day}"
    )


def _learn(number: int, name: str, fact: Fact) -> Interrupt:
    text = f"You find out that {fact.sentence}."
    return _event(f"learn-{number}-{name}", InterruptKind.OBSERVATION, "village", text, 0)


def _meet(meeting: Meeting) -> Interrupt:
    text = f"You meet {meeting.listener} at the well, who wonders about {meeting.fact.topic}."
    key = f"meet-{meeting.day}-{meeting.teller}"
    return _event(key, InterruptKind.OBSERVATION, "village", text, meeting.day)


def _ask(number: str, fact: Fact, day: int) -> Interrupt:
    return _event(f"ask-{number}", InterruptKind.MESSAGE, "stranger", f"Tell me, what is {fact.topic}?", day)
