"""Named places at which tests make a process die, fail or wait.

A crash can come between any two instructions; what matters is between which two *effects* it comes.  Each such
place has a name here, and calls :func:`failpoint` with it.  Outside of tests nothing is armed, and a call costs one
look at an empty dictionary.  That every name is reached, and what holds when the process dies there, is what
``python -m benchmarks.crashpoints`` finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from pagefault.runtime.errors import UsageError

FAILPOINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "journal.activate.before_commit": "an activation's new epoch is written, not committed",
        "journal.activate.after_commit": "an activation's new epoch is durable, nobody runs under it yet",
        "journal.append.begun": "a group of appends has reached the journal, nothing is written",
        "journal.append.before_commit": "a group of appends is written, not committed",
        "journal.append.after_commit": "a group of appends is durable, nobody has been told",
        "journal.register.before_commit": "agents are written, not committed",
        "journal.close": "the journal is about to be closed",
        "archive.write.before": "pages are about to be written to the archive",
        "archive.write.after": "pages are in the archive, and still in the queue before it",
        "host.append.taken": "a group has been taken from its agents and not been handed to the journal",
        "host.append.settled": "a group is durable, its gated effects have not been performed",
        "host.effects.performed": "the gated effects of one agent's append have been begun",
        "host.snapshot.taken": "a snapshot has been taken, the archive is not flushed",
        "host.snapshot.flushed": "the archive has everything before a snapshot, the snapshot is not saved",
        "host.snapshot.saved": "a snapshot is durable",
        "host.function.begun": "a function's call is durable, it has not run",
        "host.function.ended": "a function has run, its result is not in the journal",
        "host.activate.revived": "an agent is rebuilt, nothing that was outstanding has been asked for again",
    }
)
"""Every failpoint, and what is true when it is reached."""

_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Do what a test has armed this place with; nothing otherwise."""
    if _armed:
        _reached(name)


def _reached(name: str) -> None:
    _check(name)
    action = _armed.get(name)
    if action is not None:
        action()


@contextmanager
def armed(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Run ``action`` whenever a failpoint is reached, from whatever thread, until the block ends.

    Raises :class:`~pagefault.runtime.errors.UsageError` for a name that is not in :data:`FAILPOINTS`, or is
    armed already.
    """
    _check(name)
    if name in _armed:
        raise UsageError(f"failpoint {name!r} is armed already")
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]


def _check(name: str) -> None:
    if name not in FAILPOINTS:
        raise UsageError(f"failpoint: found {name!r}, allowed: {', '.join(FAILPOINTS)}")
