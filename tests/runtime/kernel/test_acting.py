"""Calls: what they change, what they leave undone, what is told to the model."""

from __future__ import annotations

from dataclasses import replace

from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.settings import ChainSettings
from pagefault.runtime.values import (
    Effect,
    FunctionCall,
    Hit,
    InterruptKind,
    Page,
    PageId,
    PageKind,
    Priority,
    SearchResult,
)
from tests.runtime.kernel.harness import Desk, call, definition, message


def last_text(desk: Desk) -> str:
    text: str = desk.of(fx.CallModel)[-1].request.messages[-1].text
    return text


def test_a_function_runs_in_the_host_with_checked_arguments() -> None:
    desk = Desk()
    desk.send(message(1))
    effects = desk.replies(call("launch", True, target="moon"))
    run = desk.of(fx.RunFunction, effects)[0]
    assert (run.name, run.arguments, run.effect, run.runs_in) == ("launch", '{"target":"moon"}', Effect.ONCE, "host")
    desk.returns("launched")
    assert last_text(desk) == "[p3] OK: launched"


def test_several_calls_run_one_after_the_other_and_all_are_answered() -> None:
    desk = Desk()
    desk.send(message(1))
    effects = desk.replies(
        call("weigh", False, thing="a"), call("send_message", message="one moment"), call("weigh", True, thing="b")
    )
    assert len(desk.of(fx.RunFunction, effects)) == 1
    assert not desk.of(fx.Deliver, effects), "the second call waits for the first"
    effects = desk.returns("a weighs 1")
    assert desk.of(fx.Deliver, effects)
    assert desk.of(fx.RunFunction, effects)
    desk.returns("b weighs 2")
    roles = [part.role for part in desk.of(fx.CallModel)[-1].request.messages]
    assert roles[-4:] == ["assistant", "tool", "tool", "tool"]


def test_a_failed_function_gets_the_model_another_step() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("weigh", False, thing="a"))
    desk.returns("ValueError: no such thing", "failed")
    assert last_text(desk).endswith("Failed: ValueError: no such thing")


def test_a_function_whose_end_nobody_knows_is_reported_as_such() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("launch", True, target="moon"))
    desk.feed(ev.Recovered(desk.tick(), 2))
    assert "outcome unknown" in last_text(desk)
    assert len(desk.of(fx.RunFunction)) == 1, "once is once"


def test_a_function_that_may_run_again_does_after_a_recovery() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("weigh", True, thing="a"))
    desk.feed(ev.Recovered(desk.tick(), 2))
    runs = desk.of(fx.RunFunction)
    assert len(runs) == 2
    assert runs[0] == runs[1]


def test_every_kind_of_call_is_asked_for_again_after_a_recovery() -> None:
    for calls, kind in (((), fx.CallModel), ((call("conversation_search", True, query="x"),), fx.SearchArchive),
                        ((call("page_in", True, page_id="p7"),), fx.LoadPages)):  # fmt: skip
        desk = Desk()
        desk.send(message(1))
        if calls:
            desk.replies(*calls)
        before = desk.of(kind)[-1]
        desk.feed(ev.Recovered(desk.tick(), 2))
        assert desk.of(kind, desk.last) == [before]


def test_too_many_calls_in_one_reply_are_cut() -> None:
    desk = Desk(definition(chain=ChainSettings(calls_max=2)))
    desk.send(message(1))
    desk.replies(*(call("send_message", message=str(number)) for number in range(5)))
    assert [effect.text for effect in desk.of(fx.Deliver)] == ["0", "1"]
    assert desk.notices("calls_limit")[0].value == 2


def test_a_function_that_was_not_given_cannot_be_called() -> None:
    desk = Desk(definition(functions=("send_message",)))
    desk.send(message(1))
    desk.replies(call("launch", True, target="moon"))
    assert not desk.of(fx.RunFunction)
    assert "was not given to you" in last_text(desk)


def test_huge_arguments_are_refused_and_shown_short() -> None:
    desk = Desk(definition(chain=ChainSettings(call_arguments_chars=5_000)))
    desk.send(message(1))
    desk.replies(FunctionCall("c", "launch", '{"target": "' + "x" * 9_000 + '"}'))
    assert "at most 5000 are taken" in last_text(desk)
    shown = next(part for part in desk.of(fx.CallModel)[-1].request.messages if part.calls)
    assert len(shown.calls[0].arguments) < 400


def test_hits_show_true_totals_and_count_as_hits_or_faults() -> None:
    desk = Desk()
    desk.send(message(1, "in the context"))
    desk.replies(call("conversation_search", True, query="context"))
    query = desk.of(fx.SearchArchive)[0].query
    assert "p1" in query.exclude, "a question does not find itself"
    found = tuple(
        Hit(Page(PageId(page_id), PageKind.MESSAGE, f"text of {page_id}", 9, 0, 1, author="bob"), 1.0)
        for page_id in ("p1", "p77")
    )
    desk.feed(ev.SearchReturned(desk.tick(), desk.call_id, SearchResult(found, 124, 0, 10)))
    assert "Showing 2 of 124 results (page 1/13):" in last_text(desk)
    assert "bob] text of p77" in last_text(desk)
    statistics = desk.agent.statistics
    assert (statistics.page_hits, statistics.page_faults) == (1, 1)
    result = list(desk.agent.context.pages())[-1].page
    assert result.refs == ("p1", "p77")


def test_no_more_results_are_asked_for_than_a_small_context_can_show() -> None:
    desk = Desk(replace(definition(budget_tokens=1800, functions=("conversation_search",)), search_results=100))
    desk.send(message(1))
    desk.replies(call("conversation_search", True, query="x"))
    query = desk.of(fx.SearchArchive)[0].query
    room = desk.definition.context.results_tokens_max
    assert query.limit == room // 24 < 100
    found = tuple(
        Hit(Page(PageId(f"p{90 + place}"), PageKind.MESSAGE, "y" * 400, 100, 0, 1), 1.0) for place in range(query.limit)
    )
    desk.feed(ev.SearchReturned(desk.tick(), desk.call_id, SearchResult(found, 400, 0, query.limit)))
    (page,) = [shown.page for shown in desk.agent.context.pages() if shown.page.kind is PageKind.RESULT]
    assert page.tokens <= room + 24 * query.limit // 4, "headings may take a little more than their share"


def test_long_hits_are_cut_to_fit_and_only_whole_ones_are_quoted() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("conversation_search", True, query="x"))
    sizes = (40, 8_000, 60, 9_000)
    found = tuple(
        Hit(Page(PageId(f"p{90 + place}"), PageKind.MESSAGE, "y" * size, size // 4, 0, 1), 1.0)
        for place, size in enumerate(sizes)
    )
    desk.feed(ev.SearchReturned(desk.tick(), desk.call_id, SearchResult(found, 4, 0, 10)))
    (page,) = [shown.page for shown in desk.agent.context.pages() if shown.page.kind is PageKind.RESULT]
    assert page.tokens <= desk.definition.context.results_tokens_max
    assert page.refs == ("p90", "p92")
    assert page.text.count("[…cut; page_in it]") == 2


def test_a_search_that_fails_is_told() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("conversation_search", True, query="x"))
    desk.feed(ev.SearchReturned(desk.tick(), desk.call_id, None, "the disk is gone"))
    assert "memory cannot be searched now: the disk is gone" in last_text(desk)


def test_page_out_leaves_a_handle_at_once() -> None:
    desk = Desk()
    desk.send(message(1, "some words that are long enough to be worth more than a handle of their own " * 4))
    desk.replies(call("page_out", True, page_id="p1"))
    assert [handle.page.id for handle in desk.agent.context.handles()] == ["p1"]
    desk.replies(call("page_out", True, page_id="p1"))
    assert "out of your context already" in last_text(desk)


def test_timers_go_off_repeat_without_a_storm_and_can_be_cancelled() -> None:
    desk = Desk(definition(functions=("all",), budget_tokens=8000))
    desk.send(message(1))
    desk.replies(call("set_timer", False, minutes=1, message="water the plants", repeat=True))
    (timer_id,) = desk.agent.timers
    desk.now_ms += 10 * 60_000
    desk.feed(ev.ClockAdvanced(desk.tick()))
    assert "water the plants" in last_text(desk)
    desk.settle()
    desk.feed(ev.ClockAdvanced(desk.tick()))
    assert desk.agent.statistics.chains == 2, "nine missed ticks are one"
    desk.send(message(2))
    desk.replies(call("cancel_timer", False, timer_id=timer_id))
    assert not desk.agent.timers
    desk.send(message(3))
    desk.replies(call("cancel_timer", True, timer_id=timer_id))
    assert f"no timer {timer_id} is running" in last_text(desk)


def test_paused_heartbeats_are_dropped_and_timers_wait() -> None:
    desk = Desk(definition(functions=("all",), budget_tokens=8000))
    desk.send(message(1))
    desk.replies(call("set_timer", True, minutes=1, message="ring"))
    desk.replies(call("pause_heartbeats", minutes=5))
    desk.send(message(2, kind=InterruptKind.HEARTBEAT, priority=Priority.TIMER))
    assert ("i2", "expired") in desk.ended()
    desk.now_ms += 2 * 60_000
    desk.feed(ev.ClockAdvanced(desk.tick()))
    assert desk.agent.outstanding is None, "paused"
    desk.now_ms += 4 * 60_000
    desk.feed(ev.ClockAdvanced(desk.tick()))
    assert "ring" in last_text(desk)


def test_a_passage_is_stored_and_does_not_enter_the_context() -> None:
    desk = Desk(definition(functions=("all",), budget_tokens=8000))
    desk.send(message(1))
    desk.replies(call("archival_memory_insert", False, content="the vault code is 7731"))
    (page,) = [page for page in desk.archive.values() if page.kind is PageKind.PASSAGE]
    assert (page.text, page.space, page.source, page.cause) == ("the vault code is 7731", "archival", "model", "i1")
    assert page.id not in desk.agent.context.entries


def test_an_ephemeral_interrupt_leaves_nothing_in_the_archive() -> None:
    desk = Desk()
    desk.send(message(1, "do not remember this", ephemeral=True))
    desk.replies(call("send_message", message="nor this"))
    assert desk.archive == {}
    desk.send(message(2, "remember this"))
    assert [page.text for page in desk.archive.values()] == ["remember this"]
