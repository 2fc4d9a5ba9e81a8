"""An agent at rest looks over what it has filed, and merges it; everything else goes before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pagefault.policies.contract import Capability, Rest
from pagefault.runtime.host.records import CODEC
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import InterruptKind, PageId, Priority
from tests.runtime.kernel.harness import Desk, call, definition, message, new_agent

IDLE_MS = 60_000


def keeper(*, tracks_trust: bool = False) -> Desk:
    """An agent that reviews after two passages and a minute of rest."""
    made = definition()
    policies = replace(
        made.policies, consolidation="review", consolidation_parameters=(("pages", 2), ("idle_s", IDLE_MS / 1000))
    )
    functions = ("send_message", "archival_memory_insert", "archival_memory_search", "consolidation")
    return Desk(replace(made, functions=functions, policies=policies, tracks_trust=tracks_trust))


def file(desk: Desk, number: int, text: str, sender: str = "user") -> PageId:
    """The agent is told something, and files it."""
    desk.send(message(number, text, sender=sender))
    desk.replies(call("archival_memory_insert", content=text))
    (stored,) = [each for each in desk.of(fx.StorePages, desk.last) if each.pages[0].space == "archival"]
    desk.settle()
    page_id: PageId = stored.pages[0].id
    return page_id


def rest(desk: Desk, ms: int = IDLE_MS) -> list[fx.AnyEffect]:
    desk.now_ms += ms
    return desk.feed(ev.ClockAdvanced(desk.now_ms))


def asked(desk: Desk) -> str:
    """What the model is asked by the last event."""
    return "".join(effect.request.messages[-1].text for effect in desk.of(fx.CallModel, desk.last))


def test_after_enough_passages_and_some_rest_a_review_comes() -> None:
    desk = keeper()
    file(desk, 1, "the key is in the drawer")
    rest(desk)
    assert not asked(desk), "one passage is not enough"
    file(desk, 2, "the key is on the hook")
    assert desk.agent.wake_times_ms == [desk.agent.filed.due_ms]
    rest(desk, IDLE_MS - 1_000)
    assert not asked(desk), "it is not yet time"
    rest(desk, 1_000)
    assert "2 passages are new" in asked(desk)
    desk.settle()
    rest(desk)
    assert not asked(desk), "there is nothing new"
    assert desk.agent.statistics.reviews == 1


def test_whoever_is_spoken_to_is_not_at_rest() -> None:
    desk = keeper()
    file(desk, 1, "one")
    file(desk, 2, "two")
    rest(desk, IDLE_MS // 2)
    desk.send(message(3, "are you there?"))
    desk.settle()
    rest(desk, IDLE_MS // 2 + 1_000)
    assert not asked(desk), "the time of rest began anew"
    rest(desk)
    assert "passages are new" in asked(desk)


def test_a_message_preempts_a_review() -> None:
    desk = keeper()
    file(desk, 1, "one")
    file(desk, 2, "two")
    rest(desk)
    desk.send(message(3, "quick!"))
    desk.replies(call("archival_memory_review", True))
    desk.answer()
    assert "quick!" in asked(desk), "between two steps of the review"
    desk.settle()
    assert [outcome for _, outcome in desk.ended()] == ["yielded"] * 4
    assert desk.agent.statistics.preemptions == 1


def test_passages_are_listed_and_merged_and_the_context_is_as_before() -> None:
    desk = keeper()
    old = file(desk, 1, "the key is in the drawer")
    rest(desk)
    first = file(desk, 2, "the key is on the hook")
    before = list(desk.agent.context.entries)
    rest(desk)
    desk.replies(call("archival_memory_review", True))
    desk.answer()
    assert old in asked(desk)
    assert first in asked(desk)
    desk.replies(call("archival_memory_merge", True, passages=[old, f"[{first}]"], content="it is on the hook now"))
    assert desk.phase() is Phase.PAGING
    desk.answer()
    assert desk.of(fx.ForgetPages, desk.last)[0].page_ids == (old, first)
    (made,) = desk.of(fx.StorePages, desk.last)[-1].pages
    assert (made.text, made.refs, made.space) == ("it is on the hook now", (old, first), "archival")
    assert f"Merged {old}, {first} into {made.id}" in asked(desk)
    desk.settle()
    assert {page.id for page in desk.archive.values() if page.space == "archival"} == {made.id}
    assert list(desk.agent.context.entries) == before, "a review leaves nothing in the context"
    assert desk.agent.filed.pages == 0, "what it wrote is not looked over again"
    assert desk.agent.statistics.passages_merged == 2
    recall = [page.text for page in desk.archive.values() if page.space == "recall"]
    assert not [text for text in recall if "are new" in text], "nothing of it is in recall"


def test_only_passages_of_its_own_can_be_merged() -> None:
    desk = keeper()
    filed = file(desk, 1, "one")
    file(desk, 2, "two")
    spoken = next(page.id for page in desk.archive.values() if page.space == "recall")
    rest(desk)
    desk.replies(call("archival_memory_merge", True, passages=[filed, spoken], content="all"))
    desk.answer()
    assert f"{spoken} is not in your archival memory" in asked(desk)
    desk.replies(call("archival_memory_merge", True, passages=[filed, "p900"], content="all"))
    desk.answer()
    assert "there is no page p900" in asked(desk)
    assert not desk.of(fx.ForgetPages)
    assert filed in desk.archive


def test_wrong_arguments_are_told() -> None:
    desk = keeper()
    file(desk, 1, "one")
    desk.send(message(2, "tidy up"))
    desk.replies(call("archival_memory_merge", True, passages=["[]"], content="all"))
    assert "an id is empty" in asked(desk)
    desk.replies(call("archival_memory_merge", True, passages=["p2"], content=" "))
    assert "The content is empty" in asked(desk)


def test_what_is_made_from_words_of_others_is_marked_as_such() -> None:
    desk = keeper(tracks_trust=True)
    filed = file(desk, 1, "the bank's number is 1234", sender="stranger")
    other = file(desk, 2, "the bank is open")
    rest(desk)
    desk.replies(call("archival_memory_merge", passages=[filed, other], content="the bank, 1234, is open"))
    desk.answer()
    assert desk.of(fx.StorePages, desk.last)[-1].pages[0].untrusted


def test_agents_may_not_ask_for_reviews_operators_may() -> None:
    desk = keeper()
    desk.send(message(1, "", Priority.BACKGROUND, kind=InterruptKind.REVIEW, sender="b", hops=1))
    assert desk.of(fx.Reject, desk.last)
    desk.send(message(2, "", Priority.BACKGROUND, kind=InterruptKind.REVIEW, sender="operator"))
    assert "0 passages are new" in asked(desk)
    off = Desk()
    off.send(message(2, "", Priority.BACKGROUND, kind=InterruptKind.REVIEW, sender="operator"))
    assert "consolidation is off" in off.of(fx.Reject, off.last)[0].reason


def test_a_policy_that_raises_does_not_stop_the_agent() -> None:
    class Broken:
        name = "broken"
        capabilities: frozenset[Capability] = frozenset()

        def wait_ms(self, rest: Rest) -> int | None:
            raise RuntimeError("no")

        def instructions(self, rest: Rest) -> str:
            raise RuntimeError("no")

    desk = keeper()
    desk.agent.consolidation = Broken()
    file(desk, 1, "one")
    assert desk.agent.statistics.policy_failures > 0
    assert desk.phase() is Phase.IDLE


def test_a_snapshot_in_the_middle_of_a_merge_goes_on() -> None:
    desk = keeper()
    old, new = file(desk, 1, "one"), file(desk, 2, "two")
    rest(desk)
    desk.replies(call("archival_memory_merge", passages=[old, new], content="both"))
    again = new_agent(desk.definition)
    saved: Any = CODEC.decode(CODEC.encode(desk.agent.dump()))
    again.load(saved)
    assert again.filed == desk.agent.filed
    desk.agent = again
    desk.feed(ev.Recovered(desk.tick(), 2))
    assert desk.of(fx.LoadPages, desk.last)[0].page_ids == (old, new)
    desk.settle()
    assert [page.text for page in desk.archive.values() if page.space == "archival"] == ["both"]
