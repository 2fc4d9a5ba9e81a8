"""A disk under a production journal: it can lose power, and then it has what was synced and a torn piece of the rest.

The journal is real SQLite on real files.  Appending to a write-ahead log only ever makes it longer, and checkpoints
are far apart, so what a power cut leaves is the log up to where it was last synced, and anything of what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.store.sqlite_file import ASYNC_WINDOW_MS

SYNCHRONOUS_FULL = 2
"""SQLite's number for: a commit returns when it is on the disk."""
TORN_BYTES = 64
"""What is garbled at the end of a torn write."""


class SimulatedSyncer:
    """Stands for :class:`~pagefault.runtime.store.sqlite_file.LogSyncer`, whose thread is time here: the disk reckons
    what it would have synced (:meth:`SimulatedDisk.lose_power`)."""

    def __init__(self, log_path: Path) -> None:
        self.path = log_path
        self.is_needed = self
        self.is_set = False

    def set(self) -> None:
        """Something new is in the log."""
        self.is_set = True

    def close(self) -> None:
        """Nothing runs."""


class WatchedJournal(SqliteJournal):
    """A journal that says what SQLite makes of what it was told."""

    def synchronous(self) -> int:
        """How far a commit goes before it returns, as SQLite has it."""
        return self._file.synchronous()


class SimulatedDisk:
    """The files of one journal in ``folder``.  ``now_ms`` is the simulation's time."""

    def __init__(self, folder: Path, durability: str, chance: Random, now_ms: Callable[[], int]) -> None:
        self._path = folder / "journal.sqlite"
        self._durability = durability
        self._chance = chance
        self._now_ms = now_ms
        self._journal: WatchedJournal | None = None
        self._commits: list[tuple[int, int]] = []  # when, and how long the log was then
        self._is_synced_by_commits = True
        self._is_syncing = False
        self._synced = 0
        self._before_commit: int | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def open(self) -> SqliteJournal:
        """Open the journal, as a process does that starts."""
        self._journal = WatchedJournal(self._path, self._durability)
        self._is_synced_by_commits = self._journal.synchronous() >= SYNCHRONOUS_FULL
        self._commits = [(self._now_ms(), self._log_bytes())]
        self._is_syncing = False
        return self._journal

    @property
    def journal(self) -> WatchedJournal | None:
        """The journal while it is open."""
        return self._journal

    def commits(self) -> None:
        """A transaction is about to be committed."""
        self._before_commit = self._log_bytes()
        self._is_syncing = self._journal is not None and self._journal.synchronous() >= SYNCHRONOUS_FULL

    def committed(self) -> None:
        """The commit has returned."""
        self._before_commit = None
        if self._is_syncing:
            self._is_syncing, self._synced = False, self._log_bytes()
        self._commits.append((self._now_ms(), self._log_bytes()))

    def crash(self) -> None:
        """The process dies: the files stay as they are, and what was not synced still is not."""
        self._synced = min(self._synced_bytes(), self._log_bytes())
        self._leave(None)

    def lose_power(self) -> None:
        """The machine dies: of what was not synced, a random piece is left, its end garbled.  What is left is
        synced."""
        whole = self._log_bytes()
        synced = min(self._synced_bytes(), whole)
        self._leave(self._chance.randint(synced, whole), synced)

    def _synced_bytes(self) -> int:
        if self._is_synced_by_commits:
            return self._before_commit if self._before_commit is not None else self._log_bytes()
        if self._durability == "sync":
            return 0  # it should have been, and nothing else does it
        last_sync_ms = self._now_ms() // ASYNC_WINDOW_MS * ASYNC_WINDOW_MS
        return max([self._synced, *(size for at_ms, size in self._commits if at_ms <= last_sync_ms)])

    def _log_bytes(self) -> int:
        log = self._log()
        return log.stat().st_size if log.exists() else 0

    def _log(self) -> Path:
        return self._path.with_name(self._path.name + "-wal")

    def _leave(self, log_bytes: int | None, synced_bytes: int = 0) -> None:
        """Close the journal without what closing does: checkpoint, and take the log away."""
        if self._journal is None:
            return
        data, log = self._path.read_bytes(), self._log()
        logged = log.read_bytes() if log.exists() else b""
        self._journal.close()
        self._journal = None
        self._before_commit = None
        if log_bytes is not None:
            logged = self._torn(logged[:log_bytes], synced_bytes)
            self._synced = len(logged)
        self._path.write_bytes(data)
        log.write_bytes(logged)
        self._path.with_name(self._path.name + "-shm").unlink(missing_ok=True)

    def _torn(self, logged: bytes, synced_bytes: int) -> bytes:
        loose = len(logged) - synced_bytes
        if loose <= 0 or self._chance.random() < 0.5:
            return logged
        count = self._chance.randint(1, min(TORN_BYTES, loose))
        return logged[:-count] + self._chance.randbytes(count)
