"""A run that kills its own process once, in the midst of a step: ``python -m tests.cluster.worlds.killed_run DIR``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.playing import NoProgress, Playing
from pagefault.runtime.host.local import Local
from tests.cluster.worlds.toys import sum_recipe


async def main(folder: Path) -> None:
    recipe = sum_recipe(players=2, goal=12, kills_once=str(folder / "killed"))
    playing = Playing(recipe, PlaySettings(worlds=2, episodes=2))
    async with Local(folder, embedder="hash", functions=playing.functions) as fleet:
        agents = playing.agents({"model": "scripted:tests.cluster.worlds.toys:adder", "functions": ()})
        report = await playing.run(fleet, await fleet.spawn_many(agents), NoProgress())
    same = ("episodes", "finished", "illegal", "rewards", "endings")
    sys.stdout.write(json.dumps({key: report.results[key] for key in same}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
