from __future__ import annotations

import pytest

from pagefault.policies.tiers import Tier, tier_chain
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.page_cache import PageCache
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, ModelRequest, Page, PageId, PageKind

ADA, BOB = AgentId("ada"), AgentId("b/o/b")
HOST = Tier("host", 1_000)


def page(name: str, tokens: int = 100) -> Page:
    return Page(PageId(name), PageKind.MESSAGE, f"the text of {name}", tokens, 0, 1)


def test_pages_are_kept_by_agent_and_given_up_once() -> None:
    cache = PageCache(tier_chain([HOST]))
    cache.demote(ADA, [page("p1"), page("p2")])
    cache.demote(BOB, [page("p1", 200)])
    assert cache.at_hand(ADA, [PageId("p1"), PageId("p9")]) == {"p1": page("p1")}
    assert cache.at_hand(BOB, [PageId("p1")]) == {"p1": page("p1", 200)}
    cache.fetch(BOB, [page("p1", 200)])
    assert not cache.at_hand(BOB, [PageId("p1")])
    assert len(cache) == 2
    assert cache.statistics()["host"] == {"hits": 1, "tokens_up": 200, "inserted": 3, "evicted": 0}


def test_what_is_pushed_out_is_not_kept() -> None:
    cache = PageCache(tier_chain([HOST]))
    cache.demote(BOB, [page("p1", 900)])
    cache.demote(ADA, [page("p2", 900)])
    assert len(cache) == 1
    assert not cache.at_hand(BOB, [PageId("p1")])


def test_forgotten_pages_and_those_of_an_agent_that_leaves_are_not_at_hand() -> None:
    cache = PageCache(tier_chain([HOST]))
    cache.demote(ADA, [page("p1"), page("p2")])
    cache.demote(BOB, [page("p1")])
    cache.forget(ADA, [PageId("p1"), PageId("p7")])
    assert list(cache.at_hand(ADA, [PageId("p1"), PageId("p2")])) == ["p2"]
    cache.drop(ADA)
    assert len(cache) == 1
    assert cache.at_hand(BOB, [PageId("p1")])


def test_without_tiers_it_holds_nothing() -> None:
    cache = PageCache(tier_chain([]))
    cache.demote(ADA, [page("p1")])
    cache.fetch(ADA, [page("p1")])
    assert (cache.is_on, len(cache), cache.statistics()) == (False, 0, {})


@mind("test-turns-pages")
def turns_pages(request: ModelRequest) -> Reply:
    view = View(request)
    text = view.incoming.text if view.incoming else ""
    if view.result is not None:
        return say(request.messages[-1].text)  # the page itself, unless it was there already
    return call("page_in", True, page_id=text.removeprefix("open ")) if text.startswith("open ") else nothing()


async def opened(fleet: Local) -> list[str]:
    """What an agent sees of pages that left its context long ago; the last of them twice."""
    agent = Agent(
        "ada",
        tracks_trust=False,  # what fits is counted to the token
        model="scripted:test-turns-pages",
        functions=("send_message", "page_in"),
        context_tokens=2_000,
        reply_tokens=200,
        write_back="archive",
    )
    ada = await fleet.spawn(agent)
    for number in range(80):
        await ada.ask(f"note {number}: " + "something that takes room, " * 6)
    inspection = await ada.inspect()
    assert inspection.statistics["flushes"] >= 2
    return [await ada.ask(f"open p{number}") for number in (2, 9, 30, 9)]


async def test_an_agent_reads_the_same_with_a_page_cache_and_without_the_archive() -> None:
    async with Local(embedder="hash") as fleet:
        plain = await opened(fleet)
        assert await fleet.tier_statistics() == {}
    async with Local(embedder="hash", tiers=[{"name": "host", "capacity_tokens": 100_000}]) as fleet:
        loads = []
        stores = fleet._stores
        assert stores is not None
        load = stores.load

        async def counted(owner: object, page_ids: object) -> list[Page]:
            loads.append(page_ids)
            return await load(owner, page_ids)  # type: ignore[arg-type]  # passed on as it came

        stores.load = counted  # type: ignore[method-assign]  # a spy on the real archive
        cached = await opened(fleet)
        statistics = await fleet.tier_statistics()
    assert cached == plain
    assert ["paged in] note" in text for text in cached] == [True, True, True, False], cached
    assert not loads, "everything that had left the context was at hand"
    assert statistics["host"]["hits"] >= 3
    assert statistics["archive"]["hits"] == 0


async def test_a_chain_that_cannot_be_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"tier\[0\]\.capacity_tokens"):
        Local(tiers=[{"name": "host", "capacity_tokens": -1}])
