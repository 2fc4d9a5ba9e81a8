"""The map shows what is sent, in its order, to the last token."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from pagefault.cluster.console.views.memory_map import FREE, HANDLES, PAGED_IN, REGIONS, REPLY, MemoryMap, memory_map
from pagefault.runtime.host.local import Local
from tests.cluster.console.lived import HOSTILE, chronicle


def check(shown: MemoryMap) -> None:
    at = 0
    for region in shown.regions:
        assert region.start == at, "regions have no gaps"
        assert region.kind in REGIONS
        at += region.tokens
    assert at == shown.budget_tokens
    sent = [region for region in shown.regions if region.kind not in {FREE, REPLY}]
    assert sum(region.tokens for region in sent) == shown.tokens
    assert abs(sum(region.share for region in shown.regions) - 1) < 1e-9
    assert [key for region in shown.regions for key in region.pages] == [page.id for page in shown.pages]
    assert [shown.going.index(page.id) + 1 for page in shown.pages if page.rank] == [
        page.rank for page in shown.pages if page.rank
    ]
    assert json.loads(json.dumps(asdict(shown)))["agent"] == shown.agent


async def test_regions_fill_the_window_at_every_step(fleet: Local) -> None:
    for step in (0, 1, 20, 38, 41):
        found = await fleet.replay("ada", step=step)
        check(memory_map(found.inspection))


async def test_what_is_in_the_window_and_why(fleet: Local) -> None:
    shown = memory_map(await fleet.inspect("ada"))
    kinds = [region.kind for region in shown.regions]
    assert kinds[:5] == ["schemas", "system", "block", "block", "summary"]
    assert kinds[-2:] == [FREE, REPLY]
    assert PAGED_IN in kinds
    blocks = {region.name: region for region in shown.regions if region.kind == "block"}
    assert "he likes trains" in blocks["human"].text
    summary = shown.regions[4]
    assert (summary.text, summary.pages_summed > 10) == ("The ferry was late, again and again.\nLetters came.", True)
    back = shown.page("p1")
    assert back is not None
    assert (back.region, back.pinned, back.rank, back.goes) == (PAGED_IN, True, 0, False)
    assert back.why == "pinned: no flush takes it"
    first = shown.page(shown.going[0])
    assert first is not None
    assert (first.rank, first.goes, first.leaves) == (1, True, "summary")
    assert "turn" in first.why or "used" in first.why
    assert 0 < shown.flushed < len(shown.pages)
    assert [page.trust for page in shown.pages if page.text == HOSTILE] == ["others"]
    assert shown.page("p999") is None


async def test_handles_are_a_region(fleet: Local) -> None:
    ref = await fleet.spawn(chronicle("bea", write_back="handle"))
    for number in range(40):
        await ref.send(f"Entry {number}: " + "the ferry was late " * 5)
    await fleet.idle()
    shown = memory_map(await fleet.inspect("bea"))
    check(shown)
    handle = next(page for page in shown.pages if page.region == HANDLES)
    assert (handle.fidelity, handle.rank) == ("handle", 0)
    assert handle.age_pages > 10


async def test_a_corrected_count_is_shared_out_without_loss(fleet: Local) -> None:
    seen = await fleet.inspect("ada")
    for permille in (700, 1001, 1337, 3000):
        corrected = -(-sum(page.shown_tokens for page in seen.pages) * permille // 1000)
        fixed = sum(part.tokens for part in seen.parts)
        tokens = -(-(fixed + sum(page.shown_tokens for page in seen.pages)) * permille // 1000)
        shown = memory_map(replace(seen, correction_permille=permille, tokens=tokens, prompt_limit=max(tokens, 1744)))
        check(shown)
        assert abs(sum(page.tokens for page in shown.pages) - corrected) <= 1
