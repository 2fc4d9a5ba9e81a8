"""Two agents play chess: white knows an opening, black answers from a book of its own, and the board decides.

pip install pagefault[worlds] chess pygame-ce        (`chess` has the GPL as its licence)
"""

import asyncio

import pagefault as pf
from pagefault.cluster.worlds.pettingzoo import pettingzoo_world
from pagefault.cluster.worlds.playing import NoProgress, Playing

BOOKS = {"white": ("e2e4", "d1h5", "f1c4", "h5f7"), "black": ("e7e5", "b8c6", "g8f6")}


@pf.mind("chess player")
def player(request: pf.ModelRequest) -> pf.Reply:
    view = pf.View(request)
    shown = view.incoming.text if view.incoming else ""
    if "Legal moves: " not in shown or view.result is not None:
        return pf.nothing()
    legal = shown.partition("Legal moves: ")[2].split(", ")
    return pf.call("act", move=next(move for move in (*BOOKS[view.agent], *legal) if move in legal))


async def main() -> None:
    match = Playing(pettingzoo_world("classic/chess-v6"))
    async with pf.Local(functions=match.functions) as fleet:
        agents = [pf.Agent(name, model="scripted:chess player", functions=("act",)) for name in BOOKS]
        report = await match.run(fleet, await fleet.spawn_many(agents), NoProgress())
        print(*report.results["endings"], sep="\n")


asyncio.run(main())
