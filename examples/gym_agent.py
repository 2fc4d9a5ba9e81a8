"""An agent crosses Gymnasium's frozen lake.  It reads where it is and calls `act`; a language model would do the same.

pip install pagefault[worlds]
"""

import asyncio

import pagefault as pf
from pagefault.cluster.worlds.gymnasium import gymnasium_world
from pagefault.cluster.worlds.playing import NoProgress, Playing

MAP = "SFFF FHFH FFFH HFFG".split()


@pf.mind("walker")
def walker(request: pf.ModelRequest) -> pf.Reply:
    view = pf.View(request)
    if view.incoming is None or view.result is not None or "one of left" not in view.incoming.text:
        return pf.nothing()  # it has acted, or the crossing is over
    state = int(view.incoming.text.split("\n")[1].split()[0])  # "4 (of 0 to 15)"
    row, column = divmod(state, 4)
    below = MAP[row + 1][column] if row < 3 else "H"
    return pf.call("act", action="right" if below == "H" else "down")


async def main() -> None:
    lake = Playing(gymnasium_world("FrozenLake-v1", is_slippery=False))
    async with pf.Local(functions=lake.functions) as fleet:  # or pf.Cluster: the lake is a Ray actor then
        refs = await fleet.spawn_many(lake.agents({"model": "scripted:walker"}))
        report = await lake.run(fleet, refs, NoProgress())
        print(f"{report.results['world_steps']} steps, reward {report.results['rewards']['player']:g}")


asyncio.run(main())
