from __future__ import annotations

import pytest

from pagefault.runtime.errors import AgentFailed, Overloaded, UsageError
from pagefault.runtime.host.fleet import as_answer, as_interrupt, check_receipt, text_of
from pagefault.runtime.host.records import Answer, Receipt
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, PageId, Priority


def test_a_text_is_a_users_message_and_an_interrupt_stays_as_it_is() -> None:
    made = as_interrupt("hello", "k", 5)
    assert (made.id, made.kind, made.priority, made.sender) == ("k", InterruptKind.MESSAGE, Priority.USER, "user")
    assert (made.text, made.created_ms) == ("hello", 5)
    assert as_interrupt(made, "other", 6) is made
    with pytest.raises(UsageError, match="int"):
        as_interrupt(5, "k", 1)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(UsageError, match=r"interrupt\.id"):
        as_interrupt(Interrupt(InterruptId(""), InterruptKind.MESSAGE, Priority.USER, "user"), "k", 1)


def test_receipts_say_whether_to_try_again() -> None:
    check_receipt("ada", Receipt(True))
    with pytest.raises(Overloaded) as busy:
        check_receipt("ada", Receipt(False, reason="full", retry_after_ms=70))
    assert busy.value.retry_after_ms == 70
    with pytest.raises(AgentFailed, match="killed") as refused:
        check_receipt("ada", Receipt(False, reason="killed"))
    assert refused.value.reason == "refused"


def test_what_a_host_gave_is_an_answer_or_says_why_there_is_none() -> None:
    assert as_answer("ada", Answer("words", "yielded", 1)).text == "words"
    before = as_answer("ada", Receipt(True, duplicate=True, page_id=PageId("p1"), under_way=False))
    assert (before.outcome, before.page_id) == ("duplicate", "p1")
    with pytest.raises(Overloaded, match="full"):
        as_answer("ada", Receipt(False, reason="full", retry_after_ms=5))


@pytest.mark.parametrize(("text", "outcome"), [("words", "step_limit"), ("", "yielded"), ("words", "yielded")])
def test_words_are_an_answer_and_so_is_silence_that_was_meant(text: str, outcome: str) -> None:
    assert text_of("ada", Answer(text, outcome, 1)) == text


def test_a_chain_that_failed_without_a_word_raises() -> None:
    with pytest.raises(AgentFailed, match="step_limit: why") as caught:
        text_of("ada", Answer("", "step_limit", 1, "why"))
    assert caught.value.reason == "step_limit"
