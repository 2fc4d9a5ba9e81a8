"""TextWorld: generated quests are won by their walkthrough; what cannot be done is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.environment import IllegalAction
from pagefault.cluster.worlds.playing import Playing
from pagefault.cluster.worlds.textworld import PLAYER, around, textworld_world
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from tests.cluster.worlds.toys import Silence

pytest.importorskip("textworld", reason="textworld is not installed: it is not part of the extra worlds")
SMALL: dict[str, Any] = {"rooms": 2, "objects": 3, "quest_length": 2}


async def test_quests_are_won_by_agents_that_follow_the_walkthrough() -> None:
    playing = Playing(textworld_world(**SMALL, walkthrough=True), PlaySettings(worlds=4, episodes=2))
    async with Local(embedder="hash", durability="exit", functions=playing.functions) as fleet:
        model = "scripted:pagefault.cluster.worlds.players:walkthrough"
        refs = await fleet.spawn_many(playing.agents({"model": model, "functions": ()}))
        report = await playing.run(fleet, refs, Silence())
    assert report.results["endings"] == {"player: won": 8}
    assert report.results["rewards"] == {PLAYER: 1.0}


def test_the_same_seed_is_the_same_quest() -> None:
    first, second = (textworld_world(**SMALL, walkthrough=True).make() for _ in range(2))
    first.reset(5)  # what was made before changes nothing
    assert first.reset(11) == second.reset(11)
    assert first.reset(11) != first.reset(12)
    for environment in (first, second):
        environment.close()


def test_what_cannot_be_done_is_refused_or_answered_by_the_game() -> None:
    strict = textworld_world(**SMALL).make()
    sight = strict.reset(11).to_act[PLAYER]
    assert sight.legal
    assert "Your quest: " in sight.text
    assert f"You may: {', '.join(sight.legal)}." in sight.text
    assert "walkthrough" not in sight.text
    with pytest.raises(IllegalAction, match=r"'dance' cannot be done now\. You may: "):
        strict.check(PLAYER, {"command": "dance"})
    with pytest.raises(IllegalAction, match="empty"):
        strict.check(PLAYER, {"command": " "})
    strict.check(PLAYER, {"command": f"  {sight.legal[0]} "})
    lenient = textworld_world(**SMALL, only_admissible=False, steps_max=2).make()
    lenient.reset(11)
    lenient.check(PLAYER, {"command": "dance"})
    assert lenient.step({PLAYER: {"command": "dance"}}).to_act
    assert lenient.step({PLAYER: {"command": "dance"}}).ended == {PLAYER: "truncated"}
    strict.close()
    lenient.close()


@pytest.mark.slow
def test_a_compiled_quest_tells_its_own_story_and_can_be_played_from_its_file(tmp_path: Path) -> None:
    environment = textworld_world(**SMALL, prose=True, walkthrough=True).make()
    moment = environment.reset(11)
    text = moment.to_act[PLAYER].text
    assert "-= " in text
    assert "$$" not in text
    assert "\n\n" not in text
    file = tmp_path / "quest.z8"
    folder: Any = getattr(environment, "_folder")  # noqa: B009 - not part of the contract
    file.write_bytes((Path(folder.name) / "quest.z8").read_bytes())
    (tmp_path / "quest.json").write_bytes((Path(folder.name) / "quest.json").read_bytes())
    environment.close()
    again = textworld_world(path=str(file), walkthrough=True).make()
    moment = again.reset(1)
    while moment.to_act:
        command = moment.to_act[PLAYER].text.rpartition("The walkthrough says: ")[2]
        again.check(PLAYER, {"command": command})
        moment = again.step({PLAYER: {"command": command}})
    assert moment.ended == {PLAYER: "won"}
    again.close()


@pytest.mark.parametrize("field", ["rooms", "objects", "quest_length", "steps_max"])
def test_sizes_are_checked(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"textworld\.{field}: found 0"):
        textworld_world(**{**SMALL, field: 0}).make()


def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match=r"textworld\.path: found"):
        textworld_world(path="nowhere.z8").make()


def test_what_is_around_is_told_from_facts() -> None:
    facts = [
        "at(P, kitchen: r)",
        "at(stove: s, kitchen: r)",
        "on(apple: f, stove: s)",
        "at(chest: c, kitchen: r)",
        "closed(chest: c)",
        "in(pearl: o, chest: c)",
        "east_of(hall: r, kitchen: r)",
        "west_of(kitchen: r, hall: r)",
        "link(kitchen: r, gate: d, hall: r)",
        "locked(gate: d)",
        "in(brass key: k, I)",
    ]
    assert around(facts).split("\n") == [
        "You are in: kitchen.",
        "Here: stove with apple.",
        "Here: chest (closed).",
        "East: hall through gate (locked).",
        "You hold: brass key.",
    ]
