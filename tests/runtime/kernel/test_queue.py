"""Chat order: a reply with calls is followed by one ``tool`` message a call, and there is none elsewhere."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.kernel.pages import Entry, cost, entry
from pagefault.runtime.kernel.queue import Queue
from pagefault.runtime.values import FunctionCall, Message, Page, PageId, PageKind
from tests.runtime.kernel.harness import WordCounter

COUNTER = WordCounter()


def page(number: int, kind: PageKind, calls: int = 0, answers: str = "") -> Page:
    made = tuple(FunctionCall(f"c{number}.{index}", "f", "{}") for index in range(calls))
    return Page(PageId(f"p{number}"), kind, f"text {number}", 0, 0, number, calls=made, answers=answers)


def shown(made: Page, *, paged_in: bool = False) -> Entry:
    return entry(COUNTER, made, stored=True, paged_in=paged_in)


def check_chat(messages: list[Message], tokens: int) -> None:
    assert tokens == sum(cost(COUNTER, message) for message in messages), "what is counted is what is sent"
    open_calls: list[str] = []
    for message in messages:
        if message.role == "tool":
            assert message.answers in open_calls, "a tool message without its call"
            open_calls.remove(message.answers)
        else:
            assert not open_calls, "a call without a tool message"
            open_calls = [call.id for call in message.calls]
    assert not open_calls


@given(
    st.lists(
        st.tuples(st.sampled_from(["message", "reply", "result", "remove", "again"]), st.integers(0, 6)), max_size=30
    )
)
def test_the_order_holds_whatever_comes_and_goes(actions: list[tuple[str, int]]) -> None:
    queue = Queue(COUNTER)
    replies: list[Page] = []
    for number, (action, choice) in enumerate(actions, 1):
        if action == "message":
            queue.append(shown(page(number, PageKind.MESSAGE)))
        elif action == "reply":
            replies.append(page(number, PageKind.REPLY, calls=choice % 4))
            queue.append(shown(replies[-1]))
        elif action == "result" and replies and replies[-1].calls:
            calls = replies[-1].calls
            answers = calls[choice % len(calls)].id
            queue.append(shown(page(number, PageKind.RESULT, answers=answers), paged_in=choice == 6))
        elif queue.entries:
            page_id = list(queue.entries)[choice % len(queue.entries)]
            if action == "remove":
                queue.remove(page_id)
            else:
                queue.append(queue.entries[page_id])
        messages, tokens = queue.assemble()
        check_chat(messages, tokens)
        assert (messages, tokens) == queue.assemble_anew()
        assert sum(queue.costs().values()) == tokens
        assert list(queue.costs()) == list(queue.entries)
        assert len(queue.entries) == len(set(queue.entries))


def test_a_result_that_was_paged_in_is_no_tool_message() -> None:
    queue = Queue(COUNTER)
    reply = page(1, PageKind.REPLY, calls=2)
    queue.append(shown(reply))
    queue.append(shown(page(2, PageKind.RESULT, answers=reply.calls[0].id), paged_in=True))
    messages, tokens = queue.assemble()
    assert [message.role for message in messages] == ["assistant", "tool", "tool", "user"]
    assert "paged in" in messages[-1].text
    check_chat(messages, tokens)


def test_a_page_that_enters_again_goes_to_the_end() -> None:
    queue = Queue(COUNTER)
    for number in (1, 2, 3):
        queue.append(shown(page(number, PageKind.MESSAGE)))
    queue.assemble()
    queue.append(shown(replace(page(1, PageKind.MESSAGE), text="anew")))
    assert list(queue.entries) == ["p2", "p3", "p1"]
    assert "anew" in queue.assemble()[0][-1].text
