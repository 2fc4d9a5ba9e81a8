"""A first agent: it remembers what it is told and looks it up when asked."""

import asyncio

import pagefault as pf


@pf.mind("keeper")
def keeper(request: pf.ModelRequest) -> pf.Reply:
    view = pf.View(request)
    if view.result is not None:  # a search came back: answer from it
        return pf.say(view.hits().lines[0].text if view.hits().lines else "I do not know.")
    text = view.incoming.text if view.incoming else ""
    return pf.call("conversation_search", True, query=text) if text.endswith("?") else pf.nothing()


async def main() -> None:
    async with pf.Local() as fleet:  # or pf.Cluster(): the same methods, on Ray
        ada = await fleet.spawn(pf.Agent("ada", model="scripted:keeper"))
        await ada.send("The key is under the third flowerpot.")
        print(await ada.ask("Where is the key?"))


asyncio.run(main())
