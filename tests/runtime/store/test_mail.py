"""Dead letters and subscriptions: kept once, bounded, and there again after the journal was closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagefault.runtime.errors import StoreCorrupt, UnknownAgent
from pagefault.runtime.store import mail
from pagefault.runtime.store.mail import SqliteMail, letter_id
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, InterruptId, InterruptKind, LetterId, Priority

ANN, BOB, NOBODY = AgentId("ann"), AgentId("bob"), AgentId("nobody")


def letter(number: int, to: AgentId = NOBODY, why: str = "there is no such agent") -> DeadLetter:
    interrupt = Interrupt(
        InterruptId(f"ann/{number}"), InterruptKind.MESSAGE, Priority.AGENT, "ann", f"text {number}", tags=("x",)
    )
    return DeadLetter(letter_id(to, interrupt), to, interrupt, why, 1_000 + number)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.register_many([(ANN, b"x"), (BOB, b"x")])
    yield journal
    journal.close()


def test_letters_read_back_newest_first_also_from_a_journal_that_was_closed(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    letters = [letter(number, BOB if number == 2 else NOBODY) for number in range(5)]
    assert journal.mail.add_letters(letters) == 0
    journal.close()
    again = SqliteJournal(tmp_path / "journal.sqlite")
    assert again.mail.letters(3) == letters[:1:-1]
    assert again.mail.letters(9, BOB) == [letters[2]]
    assert again.mail.letters_by_id([letters[4].id, letters[1].id, LetterId("gone")]) == [letters[1], letters[4]]
    assert again.mail.remove_letters([letters[1].id, LetterId("gone")]) == 1
    assert again.mail.letters(9) == [letters[4], letters[3], letters[2], letters[0]]
    again.close()


def test_the_same_message_to_the_same_agent_is_one_letter(journal: SqliteJournal) -> None:
    first, other = letter(1), letter(1, BOB)
    journal.mail.add_letters([first, other])
    later = DeadLetter(first.id, first.to, first.interrupt, "its mailbox stayed full", 9_000)
    journal.mail.add_letters([later])
    assert first.id != other.id
    assert journal.mail.letters(9) == [other, later]


def test_a_shard_keeps_so_many_letters_and_the_oldest_go(journal: SqliteJournal) -> None:
    small = SqliteMail(journal._transaction, journal._read, letters_max=3)
    assert small.add_letters([letter(number) for number in range(3)]) == 0
    assert small.add_letters([letter(3), letter(4)]) == 2
    assert [each.interrupt.text for each in small.letters(9)] == ["text 4", "text 3", "text 2"]


def test_a_damaged_letter_is_noticed(journal: SqliteJournal, tmp_path: Path) -> None:
    journal.mail.add_letters([letter(1)])
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("UPDATE dead_letters SET data = CAST(data || x'00' AS BLOB)")
    connection.close()
    with pytest.raises(StoreCorrupt, match="checksum"):
        journal.mail.letters(1)


def test_subscriptions_are_kept_once_counted_and_listed(journal: SqliteJournal) -> None:
    assert journal.mail.subscribe(BOB, "news")
    assert journal.mail.subscribe(ANN, "news")
    assert journal.mail.subscribe(ANN, "news"), "a second time changes nothing"
    assert journal.mail.subscribe(ANN, "weather")
    assert journal.mail.subscribers("news") == [ANN, BOB]
    assert journal.mail.subscribers("sport") == []
    assert journal.mail.topics() == [("news", 2), ("weather", 1)]
    assert journal.mail.topics(BOB) == [("news", 2)]
    assert journal.mail.unsubscribe(ANN, "news")
    assert not journal.mail.unsubscribe(ANN, "news")
    assert journal.mail.topics() == [("news", 1), ("weather", 1)]
    with pytest.raises(UnknownAgent, match="nobody"):
        journal.mail.subscribe(NOBODY, "news")


def test_an_agent_has_so_many_topics_at_most(journal: SqliteJournal) -> None:
    taken = [journal.mail.subscribe(ANN, f"topic {number}") for number in range(mail.TOPICS_MAX + 1)]
    assert taken == [True] * mail.TOPICS_MAX + [False]
    assert journal.mail.subscribe(ANN, "topic 0"), "what it has, it has"
    assert journal.mail.subscribe(BOB, "another"), "the limit is each agent's own"
