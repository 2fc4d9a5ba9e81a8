"""A village of one's own: five people pass a secret on, each from its own memory, and the last is asked."""

import asyncio
import itertools

import pagefault as pf

PEOPLE = ("mira", "oskar", "ilse", "pavel", "runa")


@pf.mind("neighbour")
def neighbour(request: pf.ModelRequest) -> pf.Reply:
    view = pf.View(request)
    text = view.incoming.text if view.incoming else ""
    if "?" not in text:  # news: file it, and let that be all
        return pf.nothing() if view.result else pf.call("archival_memory_insert", content=text)
    if view.result is None:
        return pf.call("archival_memory_search", True, query=text)
    found = view.hits().lines
    return pf.say(found[0].text if found else "I have heard nothing.")


async def live(clock: pf.VirtualClock) -> None:
    async with pf.Local(clock=clock) as fleet:
        refs = await fleet.spawn_many(pf.Agent(name, model="scripted:neighbour") for name in PEOPLE)
        await refs[0].send("The baker hides his best bread behind the blue door.")
        for teller, listener in itertools.pairwise(refs):
            await asyncio.sleep(86_400)  # they meet on the next day, which passes in no time
            await listener.send(await teller.ask("What do you know of the baker?"))
        print(f"{refs[-1].id}: {await refs[-1].ask('What about the bread?')}")


clock = pf.VirtualClock(seed=1)
clock.run(live(clock))
