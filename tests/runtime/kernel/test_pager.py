"""Pressure, flushes, write-backs, and the bound that is never passed (the desk asserts it at every request)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pagefault.runtime.errors import ContextTooSmall
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.functions import Block
from pagefault.runtime.values import Fidelity, PageId
from tests.runtime.kernel.harness import Desk, call, definition, message

LONG = "something was said here that takes some room in the context, number {0} of many. " * 2


def talk(desk: Desk, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        desk.send(message(number, LONG.format(number)))
        desk.settle()


def test_the_model_is_warned_once_a_period_and_flushed_to_the_low_mark() -> None:
    desk = Desk(definition(write_back="archive"))
    number = 0
    while not desk.agent.statistics.flushes:
        talk(desk, 1, number)
        number += 1
    assert desk.agent.statistics.warnings == 1
    assert len(desk.notices("pressure")) == 1
    settings = desk.definition.context
    flushed = desk.notices("flushed")[0]
    assert len(flushed.page_ids) > 5, "pages leave in one batch"
    after = desk.agent.context.corrected(desk.agent.context.assemble().tokens)
    assert after <= settings.low_tokens + 150
    talk(desk, number, number)
    assert desk.agent.statistics.warnings == 2, "a new period warns anew"


@pytest.mark.parametrize("write_back", ["handle", "summarize", "archive", "drop"])
@pytest.mark.parametrize("eviction", ["fifo", "lru", "importance"])
def test_never_over_budget_whatever_the_policies(eviction: str, write_back: str) -> None:
    desk = Desk(definition(eviction=eviction, write_back=write_back))
    talk(desk, 150)
    statistics = desk.agent.statistics
    assert statistics.flushes >= 3
    assert statistics.evictions >= 50
    assert statistics.overflows == 0
    assert 0 < statistics.context_tokens_max <= desk.definition.context.high_tokens


def test_an_evicted_page_leaves_a_handle_and_comes_back_when_asked_for() -> None:
    desk = Desk(definition(write_back="handle"))
    talk(desk, 60)
    handle = desk.agent.context.handles()[-1].page
    assert f"[{handle.id} " in desk.agent.context.entries[handle.id].look().text
    desk.send(message("again", "look back"))
    desk.replies(call("page_in", True, page_id=handle.id))
    assert desk.of(fx.LoadPages)[-1].page_ids == (handle.id,)
    desk.answer()
    shown = desk.agent.context.entries[handle.id]
    assert shown.page.fidelity is Fidelity.FULL
    assert list(desk.agent.context.entries)[-1] == handle.id, "paged-in pages go to the end of the queue"
    statistics = desk.agent.statistics
    assert (statistics.page_faults, statistics.refaults) == (1, 1)
    assert statistics.tokens_paged_in > 0


def test_pages_fetched_along_are_no_faults() -> None:
    made = definition(write_back="archive")
    desk = Desk(replace(made, policies=replace(made.policies, fetch="neighbours")))
    talk(desk, 60)
    wanted = PageId("p21")
    assert all(PageId(f"p{number}") not in desk.agent.context.entries for number in range(19, 24))
    desk.send(message("again", "look back"))
    desk.replies(call("page_in", True, page_id=wanted))
    desk.answer()
    statistics = desk.agent.statistics
    assert (statistics.page_faults, statistics.page_hits) == (1, 0)
    assert desk.notices("page_fault")[-1].page_ids == (wanted,)
    entered = desk.notices("paged_in")[-1].page_ids
    assert wanted in entered
    assert len(entered) > 1
    desk.replies(call("page_in", True, page_id=wanted))
    assert (statistics.page_faults, statistics.page_hits) == (1, 1)


def test_related_pages_are_asked_for_and_take_no_more_room_than_a_page() -> None:
    made = definition(write_back="archive")
    desk = Desk(replace(made, policies=replace(made.policies, fetch="related")))
    talk(desk, 60)
    desk.send(message("again", "look back at the boat"))
    desk.replies(call("page_in", True, page_id="p1"))
    query = desk.of(fx.LoadPages)[-1].related
    assert query is not None
    assert "look back at the boat" in query.text
    shown = [shown.page.id for shown in desk.agent.context.pages()]
    assert set(query.exclude) <= set(shown), "what is there need not be found"
    found = [page for page in desk.archive.values() if page.id not in shown][:40]
    assert found[0].id == "p1"
    desk.feed(ev.PagesLoaded(desk.tick(), desk.call_id, tuple(found)))
    entered = desk.notices("paged_in")[-1].page_ids
    assert entered[0] == "p1"
    assert 1 < len(entered) < len(found)
    limit = desk.agent.context.page_tokens_max()
    entries = desk.agent.context.entries
    assert sum(entries[page_id].page.tokens for page_id in entered[1:]) <= limit
    assert desk.agent.statistics.page_faults == 1


def test_a_page_that_the_model_pages_out_is_no_eviction_of_the_policys() -> None:
    desk = Desk()
    told: list[tuple[str, bool]] = []
    policy = desk.agent.eviction._policy
    remove = policy.on_remove

    def listen(page_id: str, evicted: bool) -> None:
        told.append((page_id, evicted))
        remove(page_id, evicted)

    policy.on_remove = listen  # type: ignore[method-assign]  # a spy on the real policy
    desk.send(message(1, LONG))
    desk.replies(call("page_out", True, page_id="p1"))
    assert told == [("p1", False)]


def test_a_page_that_is_resident_is_a_hit_and_no_fault() -> None:
    desk = Desk()
    desk.send(message(1, "here I am"))
    desk.replies(call("page_in", True, page_id="p1"))
    assert not desk.of(fx.LoadPages)
    assert desk.agent.statistics.page_hits == 1
    assert desk.agent.statistics.page_faults == 0


def test_a_page_that_does_not_exist_is_told() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("page_in", True, page_id="p999"))
    desk.answer()
    assert "there is no page p999" in desk.of(fx.CallModel)[-1].request.messages[-1].text


def test_summaries_are_recursive_and_bounded() -> None:
    desk = Desk(definition(write_back="summarize"))
    number = 0
    while not desk.of(fx.Summarize):
        desk.send(message(number, LONG.format(number)))
        while desk.agent.outstanding is not None and desk.agent.outstanding.kind == "model":
            desk.answer()
        number += 1
    first = desk.of(fx.Summarize)[0].request
    assert first.purpose == "summarize"
    assert "(none)" in first.messages[1].text
    while desk.agent.outstanding is not None and desk.agent.outstanding.kind == "summary":
        desk.feed(ev.SummaryReady(desk.tick(), desk.call_id, "We spoke of many things. " * 300))
    settings = desk.definition.context
    assert 0 < desk.agent.context.summary_tokens <= settings.summary_tokens_max
    desk.settle()
    talk(desk, 80, 1000)
    later = desk.of(fx.Summarize)[-1].request
    assert "(none)" not in later.messages[1].text, "the next summary folds in the last one"


def test_a_small_share_still_holds_a_summary() -> None:
    desk = Desk(
        definition(write_back="summarize", functions=("send_message",), budget_tokens=1200, summary_share=0.001)
    )
    talk(desk, 60)
    assert desk.agent.statistics.summaries
    assert desk.agent.context.summary
    assert desk.agent.context.summary_tokens <= desk.definition.context.summary_tokens_max


def test_the_summarizers_own_input_is_cut_into_pieces() -> None:
    desk = Desk(
        definition(
            write_back="summarize", functions=("send_message",), budget_tokens=1000, low_share=0.05, summary_share=0.2
        )
    )
    pieces = 0
    for number in range(40):
        desk.send(message(number, LONG.format(number)))
        while desk.agent.outstanding is not None:
            if desk.agent.outstanding.kind == "summary":
                pieces += 1
            desk.answer()
    flushes = desk.agent.statistics.summaries
    assert flushes
    assert pieces > flushes, "some flushes needed more than one piece"


def test_when_the_summarizer_fails_the_pages_leave_handles() -> None:
    desk = Desk(definition(write_back="summarize"))
    number = 0
    while desk.agent.outstanding is None or desk.agent.outstanding.kind != "summary":
        desk.settle()
        desk.send(message(number, LONG.format(number)))
        number += 1
    desk.feed(ev.SummaryFailed(desk.tick(), desk.call_id, "down"))
    assert desk.notices("summary_failed")
    assert desk.agent.context.handles()
    assert desk.agent.context.summary == ""
    desk.settle()


def test_forgotten_pages_leave_the_archive() -> None:
    desk = Desk(definition(write_back="drop"))
    talk(desk, 60)
    forgotten = {page_id for effect in desk.of(fx.ForgetPages) for page_id in effect.page_ids}
    assert PageId("p1") in forgotten
    assert PageId("p1") not in desk.archive


def test_pinned_pages_stay_and_pins_are_bounded() -> None:
    desk = Desk(definition(write_back="archive"))
    desk.send(message("pin me", "never forget this"))
    desk.replies(call("pin", False, page_id="p1"))
    talk(desk, 100)
    assert PageId("p1") in desk.agent.context.entries
    desk.send(message("more", "x" * 1500))
    page_id = list(desk.agent.context.entries)[-1]
    desk.replies(call("pin", True, page_id=page_id))
    desk.send(message("even more", "y" * 1500))
    desk.settle()
    desk.send(message("last", "z" * 1500))
    page_id = list(desk.agent.context.entries)[-1]
    desk.replies(call("pin", True, page_id=page_id))
    assert desk.agent.pinned_tokens <= desk.definition.context.prompt_limit * 0.15


def test_a_large_text_is_cut_and_the_rest_can_be_paged_in() -> None:
    desk = Desk()
    text = " ".join(f"word{number}" for number in range(1000))
    desk.send(message(1, text))
    cut = desk.notices("cut")[0]
    assert len(cut.page_ids) > 1
    first = desk.agent.context.entries[cut.page_ids[0]].page
    assert f"continues in {cut.page_ids[1]}" in first.text
    stored = "".join(desk.archive[page_id].text.split(" […continues in ")[0] for page_id in cut.page_ids)
    assert stored == text, "nothing of it is lost"
    desk.replies(call("page_in", True, page_id=cut.page_ids[1]))
    desk.answer()
    assert cut.page_ids[1] in desk.agent.context.entries


def test_a_servers_larger_count_shrinks_what_is_sent() -> None:
    desk = Desk(definition(write_back="archive"))
    desk.send(message(1))
    outstanding = desk.agent.outstanding
    assert outstanding is not None
    desk.replies(prompt_tokens=int(outstanding.counted_tokens * 1.3))
    assert desk.agent.context.correction_permille == pytest.approx(1300, abs=2)
    talk(desk, 100, 10)
    sent = desk.of(fx.CallModel)[-1].request
    assert sent.prompt_tokens <= desk.definition.context.prompt_limit
    counted = desk.agent.context.assemble().tokens
    assert counted <= desk.definition.context.prompt_limit / 1.05


def test_a_server_that_says_too_long_is_asked_again_with_less_and_not_for_ever() -> None:
    desk = Desk(definition(write_back="archive"))
    talk(desk, 30)
    desk.send(message("now"))
    asked = 0
    while desk.agent.outstanding is not None:
        asked += 1
        desk.feed(ev.ModelFailed(desk.tick(), desk.call_id, "overflow", "too long"))
    assert asked == desk.definition.chain.overflow_retries + 1
    assert desk.ended()[-1][1] == "overflow"


def test_a_context_that_cannot_hold_the_fixed_parts_is_refused_with_what_it_needs() -> None:
    with pytest.raises(ContextTooSmall, match=r"context\.budget_tokens: found 1200, allowed: about \d+ or more"):
        Desk(definition(budget_tokens=1200))


def test_a_block_that_would_crowd_out_the_conversation_is_refused() -> None:
    desk = Desk(definition(budget_tokens=3000, blocks=(Block("human", "", 20_000),)))
    desk.send(message(1))
    desk.replies(call("core_memory_append", False, label="human", content="x" * 9_000))
    assert desk.agent.context.blocks["human"].text == ""
    assert "too little of the context" in desk.of(fx.CallModel)[-1].request.messages[-1].text
