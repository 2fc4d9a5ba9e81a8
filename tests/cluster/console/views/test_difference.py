"""What came, went and changed between two steps."""

from __future__ import annotations

import json
from dataclasses import asdict

from pagefault.cluster.console.views.difference import difference
from pagefault.cluster.console.views.look import compare
from pagefault.runtime.host.local import Local
from tests.cluster.console.lived import TOLD, chronicle

REMEMBERED = TOLD + 1
PAGED_IN = TOLD + 4


async def test_nothing_is_otherwise_than_itself(fleet: Local) -> None:
    seen = await fleet.inspect("ada")
    same = difference(seen, seen)
    assert same.is_empty
    assert (same.texts, same.pages, same.statistics) == ((), (), {})
    assert same.prefix_messages == len(seen.messages)


async def test_blocks_summary_and_pages(fleet: Local) -> None:
    found = await compare(fleet, "ada", 5)
    assert not found.is_empty
    assert (found.before, found.after) == (5, (await fleet.inspect("ada")).statistics["steps"])
    texts = {text.name: text.lines for text in found.texts}
    assert "+he likes trains." in texts["human"]
    assert "+Letters came." in texts["summary"]
    went = [page.id for page in found.pages if page.change == "went"]
    came = [page for page in found.pages if page.change == "came"]
    assert "p2" in went
    assert came
    assert all(page.before == "" and page.after == "full" and page.tokens > 0 for page in came)
    grown = sum(page.tokens for page in found.pages)
    assert grown == sum(page.tokens for page in (await fleet.inspect("ada")).pages) - sum(
        page.tokens for page in (await fleet.replay("ada", step=5)).inspection.pages
    )
    assert found.statistics["evictions"] >= len(went)
    json.dumps(asdict(found))


async def test_messages_are_those_that_were_sent(fleet: Local) -> None:
    found = await compare(fleet, "ada", 3, 4)
    assert [change.change for change in found.messages] == ["same", "new"]
    assert "Entry 3" in found.messages[-1].messages[-1][1]
    one = await fleet.replay("ada", step=3)
    assert found.prefix_messages == len(one.messages) == found.messages[0].count


async def test_a_page_that_comes_back_at_full_fidelity_and_is_pinned(fleet: Local) -> None:
    ref = await fleet.spawn(chronicle("bea", write_back="handle"))
    for number in range(40):
        await ref.send(f"Entry {number}: " + "the ferry was late " * 5)
    await fleet.idle()
    before = await fleet.inspect("bea")
    handle = next(page.id for page in before.pages if page.fidelity == "handle")
    resident = next(page.id for page in before.pages if page.fidelity == "full")
    await ref.ask(f"Page {handle}")
    await ref.ask(f"Pin {resident}")
    found = difference(before, await fleet.inspect("bea"))
    changes = {page.id: (page.change, page.before, page.after) for page in found.pages}
    assert changes[handle] == ("fidelity", "handle", "full")
    assert changes[resident][0] in {"pinned", "went"}
    back = difference(await fleet.inspect("bea"), before)
    assert {page.id: page.change for page in back.pages}[handle] == "fidelity"
