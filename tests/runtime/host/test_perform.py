"""Effects through a whole host: ratings beside the steps, and read-ahead by meaning."""

from __future__ import annotations

from pathlib import Path

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelReply, ModelRequest, PageId

FILLER = "the weather was as it always is at this time of the year, and nobody minded"
RATED: list[str] = []


@mind("test-rates")
def rates(request: ModelRequest) -> Reply | ModelReply:
    if request.purpose == "rate":
        RATED.append(request.messages[0].text)
        return ModelReply(text="10" if "fire" in request.messages[0].text else "2")
    return say("heard")


async def test_pages_are_rated_once_and_stay_rated(tmp_path: Path) -> None:
    RATED.clear()
    agent = Agent("ada", model="scripted:test-rates", policy="importance", scorer="model_rated")
    async with Local(tmp_path / "fleet", embedder="hash") as fleet:
        ada = await fleet.spawn(agent)
        await ada.ask("there was a fire")
        await ada.ask("nice weather")
        await fleet.idle()  # a rating is awaited by nobody but the end of all work
        assert (await ada.inspect()).statistics["ratings"] == 2
    async with Local(tmp_path / "fleet", embedder="hash") as fleet:
        inspection = await fleet.agent("ada").inspect()
        why = {page.id: page.explanation for page in inspection.pages if page.kind == "message"}
    assert len(RATED) == 2
    assert "importance 1.00" in why[PageId("p1")]
    assert all("importance 1.00" not in text for page_id, text in why.items() if page_id != "p1")


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
