"""The document of worlds: its own world is played, its settings and defaults are those of the code."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

from pagefault.cluster.console.plan import Plan
from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.playing import NoProgress, Playing
from pagefault.runtime.host.local import Local

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "worlds.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


async def test_the_world_of_its_own_is_played() -> None:
    source = next(block for block in blocks("python") if "class SayAll" in block)
    made: dict[str, Any] = {}
    exec(compile(source, "docs/worlds.md", "exec"), made)  # noqa: S102 - our own document
    playing = Playing(made["recipe"], PlaySettings(worlds=2))
    async with Local(embedder="hash", functions=playing.functions) as fleet:
        model = "scripted:pagefault.cluster.worlds.players:chooser"
        refs = await fleet.spawn_many(playing.agents({"model": model, "functions": ()}))
        report = await playing.run(fleet, refs, NoProgress())
    assert report.results["endings"] == {"even: all is said": 2, "odd: all is said": 2}
    assert sum(report.results["rewards"].values()) == 9
    assert report.results["illegal"] == 0


def test_the_first_program_is_python_and_the_file_is_a_plan() -> None:
    for block in blocks("python"):
        compile(block, "docs/worlds.md", "exec")
    for block in blocks("toml"):
        Plan.model_validate(tomllib.loads(block))


def test_all_settings_are_described() -> None:
    table = TEXT.partition("| setting | default | meaning |")[2].partition("\n\n")[0]
    described = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert described == {field.name for field in dataclasses.fields(PlaySettings)}
