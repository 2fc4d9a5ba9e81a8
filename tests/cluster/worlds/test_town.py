"""A town: the same in both paces and twice, scores that can be lost, and a run that goes on after it was broken off."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.worlds.town import Town, TownSettings
from pagefault.cluster.worlds.town_mind import townsman
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.models.scripted import Reply, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

TEMPLATE: dict[str, Any] = {
    "model": "scripted:pagefault.cluster.worlds.town_mind:townsman",
    "functions": ("send_message", "archival_memory_insert", "archival_memory_search", "conversation_search"),
    "context_tokens": 2048,
    "reply_tokens": 256,
    "search_results": 5,
}


class Silence:
    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass


class Broken(Silence):
    """Ends the run after so many events."""

    def __init__(self, left: int) -> None:
        self._left = left

    def advance(self, count: int = 1) -> None:
        self._left -= count
        if self._left <= 0:
            raise KeyError("broken off")


async def slowly(request: ModelRequest) -> Reply:
    await asyncio.sleep(len(request.messages[-1].text) % 7)
    return townsman(request)


def forgetful(request: ModelRequest) -> Reply:
    """Files nothing that somebody else says."""
    incoming = View(request).incoming
    return nothing() if incoming is not None and "tells you" in incoming.text else townsman(request)


def inventive(request: ModelRequest) -> Reply:
    """Never says what was asked, and says something else every time."""
    view = View(request)
    incoming = view.incoming
    for topic in ("heard about ", "what is "):
        if incoming is not None and topic in incoming.text:
            about = incoming.text.partition(topic)[2].removesuffix("?")
            return say(f"{about} is {'nothing' if topic == 'what is ' else 'everything'}")
    return townsman(request)


def live(settings: TownSettings, folder: Path | None = None, progress: Silence | None = None, **changes: Any) -> Any:
    clock = VirtualClock(settings.seed)

    async def lived() -> Any:
        town = Town(settings)
        async with Local(folder, embedder="hash", clock=clock) as fleet:
            refs = await fleet.spawn_many(town.agents({**TEMPLATE, **changes}))
            return (await town.run(fleet, refs, progress or Silence())).results

    return clock.run(lived())


SMALL = TownSettings(agents=12, days=3, season_days=2)


def test_who_remembers_everything_is_right_about_everything() -> None:
    found = live(SMALL)
    assert found["recall_accuracy"] == found["plans_right"] == 1.0
    assert found["contradiction"] == found["untold"] == found["overflows"] == found["failed_chains"] == 0
    spread = found["spread"]
    assert spread["heard"] == spread["ideal"] == spread["true"] + spread["outdated"] + spread["garbled"]
    assert spread["garbled"] > 0
    assert spread["outdated"] > 0


def test_nobody_need_wait_for_whom_they_do_not_meet_and_what_happens_is_the_same() -> None:
    model = "scripted:tests.cluster.worlds.test_town:slowly"
    few = TownSettings(agents=8, days=2, season_days=2)
    lockstep = live(replace(few, pace="lockstep"), model=model)
    causal = live(few, model=model)
    assert lockstep["world_hash"] == causal["world_hash"] == live(few)["world_hash"]
    assert causal["lived_s"] < lockstep["lived_s"]
    assert live(replace(few, seed=2))["world_hash"] != causal["world_hash"]


def test_who_forgets_news_tells_none() -> None:
    found = live(SMALL, model="scripted:tests.cluster.worlds.test_town:forgetful")
    assert found["recall_accuracy"] < 0.8
    assert found["unknown"] > 0.2
    assert found["spread"]["heard"] < found["spread"]["ideal"]


def test_inventions_and_contradictions_are_seen() -> None:
    found = live(SMALL, model="scripted:tests.cluster.worlds.test_town:inventive")
    assert (found["recall_accuracy"], found["wrong"], found["contradiction"]) == (0.0, 1.0, 1.0)


def test_a_town_that_was_broken_off_goes_on_and_ends_as_it_would_have(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="broken off"):
        live(SMALL, tmp_path / "town", Broken(30))
    assert live(SMALL, tmp_path / "town")["world_hash"] == live(SMALL)["world_hash"]


@pytest.mark.parametrize(("field", "value"), [("agents", 1), ("days", 0), ("at_once", 0), ("pace", "fast")])
def test_what_cannot_be_lived(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"town.{field}: found {value!r}"):
        TownSettings(**{field: value})  # type: ignore[arg-type]  # what a file could say
