"""What a check is, what it is told, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pagefault.runtime.store.open import EDGE, SQLITE

Status = Literal["ok", "warning", "failed", "skipped"]
PROBE_S = 3.0
"""No question to another machine takes longer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, what was seen, and what to do about it.

    ``repair`` does that, where a program may do it without asking; what it raises (``OSError``) is said.
    """

    name: str
    status: Status
    seen: str
    advice: str = ""
    repair: Callable[[], None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """The fleet that is meant, as its settings say: it need not be there yet."""

    folder: Path
    journal: str = SQLITE
    archive: str = EDGE
    embedder: str = "wordllama"
    address: str | None = None
    base_url: str | None = None
    file: Path | None = None


Check: TypeAlias = Callable[[Asked], Sequence[Verdict]]
"""One part of the machine, looked at without changing it.  Raises :class:`~pagefault.runtime.errors.PagefaultError` and
``OSError`` for what keeps it from being looked at."""


def ok(name: str, seen: str) -> Verdict:
    """Nothing to do."""
    return Verdict(name, "ok", seen)


def skipped(name: str, why: str) -> Verdict:
    """It was not looked at, or is not needed."""
    return Verdict(name, "skipped", why)
