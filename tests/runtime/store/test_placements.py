"""Wishes of agents are kept with them, and damage to one is noticed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pagefault.runtime.errors import StoreCorrupt, UnknownAgent
from pagefault.runtime.store.sqlite import ROWS_A_READ, SqliteJournal
from pagefault.runtime.values import AgentId

MANY = [AgentId(f"agent-{number}") for number in range(2 * ROWS_A_READ + 7)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.register_many([(agent, b"x") for agent in MANY])
    journal.set_placements([(agent, agent.encode()) for agent in MANY])
    journal.close()
    return tmp_path / "journal.sqlite"


def test_wishes_come_back_change_and_go(path: Path) -> None:
    journal = SqliteJournal(path)
    assert dict(journal.placements()) == {agent: agent.encode() for agent in MANY}
    journal.set_placements([(MANY[0], b"other"), (MANY[1], None)])
    kept = dict(journal.placements())
    assert kept[MANY[0]] == b"other"
    assert MANY[1] not in kept
    assert len(kept) == len(MANY) - 1
    journal.close()


def test_wishes_of_a_group_are_kept_all_or_none(path: Path) -> None:
    journal = SqliteJournal(path)
    with pytest.raises(UnknownAgent, match="nobody"):
        journal.set_placements([(MANY[0], None), (AgentId("nobody"), b"x")])
    assert len(dict(journal.placements())) == len(MANY)
    journal.close()


def test_a_damaged_wish_is_noticed(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE placements SET data = x'00' WHERE agent = 3")
    connection.commit()
    connection.close()
    journal = SqliteJournal(path)
    with pytest.raises(StoreCorrupt, match="agent-2"):
        list(journal.placements())
    journal.close()
