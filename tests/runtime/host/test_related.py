"""Read-ahead by meaning, from the policy through the host and its archive into the context."""

from __future__ import annotations

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

FILLER = "the weather was as it always is at this time of the year, and nobody minded"


@mind("test-opens-one-page")
def opens_one_page(request: ModelRequest) -> Reply:
    view = View(request)
    if view.result is not None:
        return say("read")
    text = view.incoming.text if view.incoming else ""
    return call("page_in", True, page_id="p2") if text.startswith("Which boat") else nothing()


async def test_what_the_archive_holds_about_the_matter_comes_in_with_the_page() -> None:
    async with Local() as fleet:
        agent = Agent(
            "ada",
            model="scripted:test-opens-one-page",
            functions=("send_message", "page_in"),
            context_tokens=2_000,
            reply_tokens=200,
            write_back="archive",
            fetch="related",
        )
        ada = await fleet.spawn(agent)
        await ada.ask("Marta has bought the boat of her uncle, a blue one with two masts.")
        for number in range(70):
            await ada.ask(f"day {number}: {FILLER}")
        before = {page.id for page in (await ada.inspect()).pages}
        await ada.ask("Which boat did Marta buy from her uncle?")
        inspection = await ada.inspect()
        entered = [page for page in inspection.pages if page.id not in before]
    assert "p1" not in before
    assert "p1" in {page.id for page in entered}, "it was not asked for, but is what the question is about"
    assert inspection.statistics["page_faults"] == 1
