from __future__ import annotations

import pytest

from pagefault.runtime.kernel.mailbox import Mailbox
from pagefault.runtime.kernel.settings import MailboxSettings
from pagefault.runtime.values import InterruptId, InterruptKind, Priority
from tests.runtime.kernel.harness import message

SMALL = MailboxSettings(interrupts_max=3, bytes_max=2_000, interrupt_bytes_max=1_000)


def served(mailbox: Mailbox) -> list[str]:
    order = []
    while (interrupt := mailbox.peek()) is not None:
        mailbox.remove(interrupt.id)
        mailbox.check()
        order.append(str(interrupt.id))
    return order


def test_priority_first_then_arrival() -> None:
    mailbox = Mailbox(MailboxSettings())
    for number, priority in enumerate(
        (Priority.BACKGROUND, Priority.WORLD, Priority.USER, Priority.WORLD, Priority.OPERATOR)
    ):
        assert mailbox.offer(message(number, priority=priority)).taken
    assert served(mailbox) == ["i4", "i2", "i1", "i3", "i0"]


def test_bounds_refuse_and_never_drop() -> None:
    mailbox = Mailbox(SMALL)
    assert not mailbox.offer(message("big", "x" * 1_000)).taken
    assert [mailbox.offer(message(number, "x" * 500)).taken for number in range(4)] == [True, True, True, False]
    assert "3 interrupts wait; at most 3" in mailbox.offer(message(9)).reason
    mailbox.check()
    assert served(mailbox) == ["i0", "i1", "i2"]


def test_bytes_are_bounded_too() -> None:
    mailbox = Mailbox(SMALL)
    assert mailbox.offer(message(1, "x" * 800)).taken
    assert mailbox.offer(message(2, "x" * 800)).taken
    assert "bytes wait; at most 2000" in mailbox.offer(message(3, "x" * 800)).reason


def test_all_that_a_sender_chooses_counts() -> None:
    mailbox = Mailbox(SMALL)
    assert "interrupt of" in mailbox.offer(message(1, sender="s" * 1_000)).reason
    assert mailbox.offer(message(2, coalesce="k" * 700)).taken
    assert mailbox.bytes > 700
    mailbox.check()


def test_coalescing_keeps_the_older_ones_place() -> None:
    mailbox = Mailbox(MailboxSettings())
    mailbox.offer(message(1, coalesce="tick"))
    mailbox.offer(message(2))
    offer = mailbox.offer(message(3, "newer", coalesce="tick"))
    assert offer.replaced is not None
    assert offer.replaced.id == "i1"
    mailbox.check()
    assert served(mailbox) == ["i3", "i2"]


def test_coalescing_is_per_sender() -> None:
    mailbox = Mailbox(MailboxSettings())
    mailbox.offer(message(1, coalesce="tick", sender="a"))
    assert mailbox.offer(message(2, coalesce="tick", sender="b")).replaced is None
    assert len(mailbox) == 2


def test_masked_priorities_wait_but_kill_and_operator_cannot_be_masked() -> None:
    mailbox = Mailbox(MailboxSettings())
    mailbox.set_mask(frozenset(Priority))
    mailbox.offer(message(1))
    mailbox.offer(message(2, priority=Priority.OPERATOR))
    assert mailbox.peek() is not None
    mailbox.remove(InterruptId("i2"))
    assert mailbox.peek() is None
    mailbox.set_mask(frozenset())
    assert served(mailbox) == ["i1"]


def test_timers_can_be_held_back() -> None:
    mailbox = Mailbox(MailboxSettings())
    mailbox.offer(message(1, kind=InterruptKind.TIMER, priority=Priority.TIMER))
    assert mailbox.peek(hold_timers=True) is None
    mailbox.offer(message(2, priority=Priority.BACKGROUND))
    held = mailbox.peek(hold_timers=True)
    assert held is not None
    assert held.id == "i2"


def test_dump_and_load_keep_order_and_mask() -> None:
    mailbox = Mailbox(MailboxSettings())
    for number in range(5):
        mailbox.offer(message(number, priority=Priority(2 + number % 3), coalesce="c" if number == 4 else ""))
    mailbox.set_mask(frozenset({Priority.TIMER}))
    again = Mailbox(MailboxSettings())
    again.load(mailbox.dump())
    again.check()
    assert again.mask == mailbox.mask
    assert served(again) == served(mailbox)


def test_an_interrupt_is_queued_once() -> None:
    mailbox = Mailbox(MailboxSettings())
    mailbox.offer(message(1))
    with pytest.raises(AssertionError, match="queued already"):
        mailbox.offer(message(1))
