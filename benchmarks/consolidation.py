"""Does tidying up at rest pay?  The same life with and without it: what is known at its end, and what it cost.

A caretaker is told where things are, day after day: much of it again in other words, some of it new.  It files all that
it hears.  At the end of every tenth day it is asked where each thing is, and answers twice: with the best hit of its
search, and with the newest of the first ten.  Nights are long enough for a review, by the policy ``review`` and a mind
that merges what is about one thing into what was said last.  Time is virtual, so one seed gives one result.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._report import Options, read_options, report
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import Line, View, read_hits
from pagefault.runtime.values import (
    AgentId,
    Interrupt,
    InterruptId,
    InterruptKind,
    ModelRequest,
    Priority,
)

AGENT = AgentId("caretaker")
DAY_S = 24 * 3600.0
FULL_DAYS, QUICK_DAYS = 120, 30
HEARD_A_DAY = 12
ASK_EVERY = 10
CHANGES = 0.25
THINGS = "ladder wheelbarrow lantern kettle anvil saddle barrel rope broom scythe tarpaulin trunk".split()
PLACES = "barn cellar attic porch stable kitchen chapel mill boathouse orchard forge hallway".split()
WORDS = (
    "The {thing} is in the {place} now.",
    "I saw the {thing} in the {place} today.",
    "Somebody left the {thing} in the {place}.",
    "If you need the {thing}, look in the {place}.",
)
HOW_MANY = "How many passages are there?"
_PLACE = re.compile(rf"\b({'|'.join(PLACES)})\b")
_THING = re.compile(rf"\b({'|'.join(THINGS)})\b")


@mind("benchmark-caretaker")
def caretaker(request: ModelRequest) -> Reply:
    """Files what it hears, answers from what it finds, and tidies up when it is told to."""
    view = View(request)
    incoming = view.incoming
    if incoming is None:
        return nothing()
    if incoming.author == "system":
        return tidy(view)
    if incoming.text == HOW_MANY:
        return say(str(view.hits().total)) if view.results else call("archival_memory_search", True, query="")
    if incoming.text.startswith("Where"):
        return answer(view)
    return call("archival_memory_insert", content=incoming.text) if not view.results else nothing()


def answer(view: View) -> Reply:
    """The place that the best hit names, and the one that the newest of them names."""
    if view.result is None:
        assert view.incoming is not None
        return call("archival_memory_search", True, query=view.incoming.text)
    assert view.incoming is not None
    thing = _named(_THING, view.incoming.text)
    hits = [line for line in view.hits().lines if _named(_THING, line.text) == thing]
    if not hits:
        return say("unknown unknown")
    return say(f"{_named(_PLACE, hits[0].text)} {_named(_PLACE, max(hits, key=age).text)}")


def tidy(view: View) -> Reply:
    """One thing after the other: search for it, and merge what is about it into what was said last."""
    listed = [each for each in view.results if each.name == "archival_memory_review"]
    lines = [line for each in listed for line in read_hits(each.text).lines]
    if not listed or len(lines) < read_hits(listed[-1].text).total:
        return call("archival_memory_review", True, page=len(listed))
    last = view.result
    assert last is not None
    if last.name == "archival_memory_search":
        thing = str(last.arguments["query"])
        hits = [line for line in read_hits(last.text).lines if _named(_THING, line.text) == thing]
        if len(hits) > 1:
            newest = max(hits, key=age)
            return call(
                "archival_memory_merge", True, passages=[line.id for line in hits], content=newest.text, tags=[thing]
            )
    done = [str(each.arguments["query"]) for each in view.results if each.name == "archival_memory_search"]
    left = [thing for thing in dict.fromkeys(_named(_THING, line.text) for line in lines) if thing not in done]
    return call("archival_memory_search", True, query=left[0]) if left else nothing()


def age(line: Line) -> tuple[int, int]:
    """Newer is more; what was written in the same minute goes by its number."""
    return line.at_ms, int(line.id[1:])


def _named(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def message(key: str, text: str, *, is_question: bool = False) -> Interrupt:
    """What the user says; a question leaves no trace, so that asking does not change what is asked about."""
    return Interrupt(InterruptId(key), InterruptKind.MESSAGE, Priority.USER, "user", text, ephemeral=is_question)


class Life:
    """One caretaker, from the first day to the last."""

    def __init__(self, folder: Path, days: int, seed: int, consolidation: str) -> None:
        self._folder = folder
        self._days = days
        self._chance = random.Random(seed)
        self._clock = VirtualClock(seed)
        self._consolidation = consolidation
        self._where = {thing: self._chance.choice(PLACES) for thing in THINGS}
        self._asked = self._first = self._newest = 0

    def live(self) -> dict[str, Any]:
        """What is known and what it cost."""
        began = time.process_time()
        results = self._clock.run(self._live())
        return {**results, "cpu_s": round(time.process_time() - began, 2)}

    async def _live(self) -> dict[str, Any]:
        template: dict[str, Any] = {
            "model": "scripted:benchmark-caretaker",
            "functions": ("send_message", "archival_memory_insert", "archival_memory_search"),
            "context_tokens": 8192,
            "consolidation": self._consolidation,
        }
        async with Local(self._folder, embedder="hash", clock=self._clock, durability="async") as fleet:
            await fleet.spawn(Agent(AGENT, **template))
            for day in range(1, self._days + 1):
                await self._day(fleet, day)
            await fleet.idle()
            seen = (await fleet.inspect(AGENT)).statistics
            pages = int(await fleet.ask(AGENT, message("count", HOW_MANY, is_question=True)))
        return {
            "pages": pages,
            "asked": self._asked,
            "right_best_hit": round(self._first / self._asked, 3),
            "right_newest_hit": round(self._newest / self._asked, 3),
            "steps": seen["steps"],
            "prompt_tokens": seen["prompt_tokens"],
            "reviews": seen["reviews"],
            "passages_merged": seen["passages_merged"],
            "evictions": seen["evictions"],
        }

    async def _day(self, fleet: Local, day: int) -> None:
        for number in range(HEARD_A_DAY):
            thing = self._chance.choice(THINGS)
            if self._chance.random() < CHANGES:
                self._where[thing] = self._chance.choice(PLACES)
            text = self._chance.choice(WORDS).format(thing=thing, place=self._where[thing])
            await fleet.answer(AGENT, message(f"d{day}-{number}", text))
            await self._clock.sleep_until(self._clock.now_ms() + 60_000)
        if day % ASK_EVERY == 0:
            for thing in THINGS:
                said = await fleet.ask(AGENT, message(f"q{day}-{thing}", f"Where is the {thing}?", is_question=True))
                first, newest = said.split()
                self._asked += 1
                self._first += first == self._where[thing]
                self._newest += newest == self._where[thing]
        await self._clock.sleep_until(self._clock.now_ms() + round(DAY_S * 1000) - HEARD_A_DAY * 60_000)


def measure(options: Options) -> dict[str, Any]:
    """The same life twice."""
    days = QUICK_DAYS if options.quick else FULL_DAYS
    results: dict[str, Any] = {"days": days}
    for policy in ("off", "review"):
        with tempfile.TemporaryDirectory(prefix="pagefault-consolidation-") as folder:
            results[policy] = Life(Path(folder), days, options.seed, policy).live()
    off, review = results["off"], results["review"]
    results["pages_ratio"] = round(review["pages"] / off["pages"], 3)
    results["steps_ratio"] = round(review["steps"] / off["steps"], 3)
    results["prompt_tokens_ratio"] = round(review["prompt_tokens"] / off["prompt_tokens"], 3)
    return results


def main() -> None:
    """Measure and print the table."""
    options = read_options("consolidation", "What tidying up archival memory at rest brings, and what it costs.")
    results = measure(options)
    off, review = results["off"], results["review"]
    rows = [
        (name, f"{off[key]:,}", f"{review[key]:,} with reviews: {what}")
        for name, key, what in (
            ("passages", "pages", f"in the archive after {results['days']} days"),
            ("right, best hit", "right_best_hit", f"share of {off['asked']} answers"),
            ("right, newest hit", "right_newest_hit", "share, by the newest of the first ten hits"),
            ("steps", "steps", f"{results['steps_ratio']} times as many"),
            ("prompt tokens", "prompt_tokens", f"{results['prompt_tokens_ratio']} times as many"),
            ("evictions", "evictions", "pages that left the context"),
        )
    ]
    report("consolidation", options, results, rows, ("qdrant-edge-py",))


if __name__ == "__main__":
    main()
