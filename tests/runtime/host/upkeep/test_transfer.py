"""Agents on the way from journal to journal: a run that is killed goes on, and what differs is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pagefault.runtime.errors import AgentExists
from pagefault.runtime.host.upkeep.transfer import migrate_agents
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId

NAMES = [AgentId(f"agent-{number}") for number in range(9)]
KILLED_AFTER_FOUR = """
import os, signal, sys
from pathlib import Path
from pagefault.runtime.host.upkeep.transfer import migrate_agents
from pagefault.runtime.store.sqlite import SqliteJournal
source, target = (SqliteJournal(Path(each)) for each in sys.argv[1:])
told = []
def tell(agent):
    told.append(agent)
    if len(told) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
migrate_agents([source], lambda agent: target, tell)
"""


def _filled(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.register_many([(name, b"d") for name in NAMES])
    for name in NAMES:
        epoch = journal.activate(name).epoch
        journal.append([Append(name, epoch, 1, (name.encode(), b"two"), b"snapshot", wake_ms=5)])
    journal.close()


def test_a_migration_that_was_killed_goes_on(tmp_path: Path) -> None:
    paths = [tmp_path / "source.sqlite", tmp_path / "target.sqlite"]
    _filled(paths[0])
    done = subprocess.run([sys.executable, "-c", KILLED_AFTER_FOUR, *map(str, paths)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    source, target = map(SqliteJournal, paths)
    assert migrate_agents([source], lambda _: target, lambda _: None) == (5, 4)
    for name in NAMES:
        assert target.life(name) == source.life(name)
        assert list(target.records(name)) == list(source.records(name))
    source.close()
    target.close()


def test_an_agent_that_is_there_as_another_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path / "source.sqlite")
    source, target = SqliteJournal(tmp_path / "source.sqlite"), SqliteJournal(tmp_path / "target.sqlite")
    target.register(NAMES[2], b"somebody else")
    with pytest.raises(AgentExists, match="'agent-2' is in the journal to migrate to"):
        migrate_agents([source], lambda _: target, lambda _: None)
    source.close()
    target.close()
