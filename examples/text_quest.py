"""Four agents, four TextWorld quests: each reads its own, and follows the walkthrough that it is shown.

pip install pagefault[worlds] textworld        (what textworld brings along has the GPL as its licence)
"""

import asyncio

import pagefault as pf
from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.playing import NoProgress, Playing
from pagefault.cluster.worlds.textworld import textworld_world


@pf.mind("adventurer")
def adventurer(request: pf.ModelRequest) -> pf.Reply:
    view = pf.View(request)
    shown = view.incoming.text if view.incoming else ""
    advice = shown.partition("The walkthrough says: ")[2]
    return pf.call("act", command=advice) if advice and view.result is None else pf.nothing()


async def main() -> None:
    quests = Playing(textworld_world(rooms=3, objects=4, quest_length=3, walkthrough=True), PlaySettings(worlds=4))
    async with pf.Local(functions=quests.functions) as fleet:
        refs = await fleet.spawn_many(quests.agents({"model": "scripted:adventurer"}))
        report = await quests.run(fleet, refs, NoProgress())
        print(f"{report.results['endings'].get('player: won', 0)} of {report.results['episodes']} quests won")


asyncio.run(main())
