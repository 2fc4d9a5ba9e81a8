"""The policy contract: everything that a policy author needs, on one screen.

A policy is a plain object.  It sees :class:`PageFacts`, never pages or agents; it is told what happened
(``on_insert``, ``on_hit``, ``on_remove``) and is asked what should leave (``victims``).  The same object
serves a live agent and the lab.  It must be deterministic: no clock, no global randomness (take a seed),
no files; ``turn`` is the only time there is.  ``dump`` and ``load`` carry its state through a snapshot as
plain lists, dicts, strings and numbers.

Telling a policy of a page that it does not hold is the caller's mistake and may raise ``KeyError``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

State = Mapping[str, Any]
"""What ``dump`` returns and ``load`` takes: JSON-like values only, keys are strings."""


class PolicyError(ValueError):
    """A policy was asked for what it cannot do: ``field`` is the dotted name of the setting, ``found`` what
    was given, ``allowed`` what would have been accepted."""

    def __init__(self, field: str, found: object, allowed: str) -> None:
        super().__init__(f"{field}: found {found!r}, allowed: {allowed}")
        self.field = field
        self.found = found
        self.allowed = allowed

    def __reduce__(self) -> tuple[type[PolicyError], tuple[str, object, str]]:
        return type(self), (self.field, self.found, self.allowed)


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a policy may know of a page.  ``tokens`` is its cost in the context, ``ordinal`` its place in
    the agent's history, ``importance`` (0 to 1) what the sender claimed for it, or ``None``."""

    id: str
    kind: str
    tokens: int
    ordinal: int = 0
    created_ms: int = 0
    author: str = ""
    text: str = ""
    importance: float | None = None
    fidelity: str = "full"


class Leave(StrEnum):
    """What an evicted page leaves behind in the context."""

    NOTHING = "nothing"  # it can still be found by a search of recall
    SUMMARY = "summary"  # its gist goes into the recursive summary
    HANDLE = "handle"  # one line with its id, so that the model can page it in
    FORGOTTEN = "forgotten"  # nothing, and searches no longer find it


class Capability(StrEnum):
    """What a policy takes into account, or needs, so that only comparable runs are compared."""

    SIZE_AWARE = "size-aware"
    NEEDS_IMPORTANCE = "needs-importance"
    NEEDS_TEXT = "needs-text"
    NEEDS_EMBEDDINGS = "needs-embeddings"
    NEEDS_FUTURE = "needs-future"
    NEEDS_ARCHIVE = "needs-archive"
    NEEDS_MODEL = "needs-model"
    RANDOMISED = "randomised"


@runtime_checkable
class EvictionPolicy(Protocol):
    """Chooses which resident pages leave.  Every resident page was told by ``on_insert`` exactly once."""

    name: str
    capabilities: frozenset[Capability]

    def on_insert(self, page: PageFacts, turn: int) -> None: ...
    def on_hit(self, page_id: str, turn: int) -> None: ...
    def on_remove(self, page_id: str, evicted: bool) -> None: ...
    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        """Resident, unprotected page ids whose tokens sum to at least ``tokens_needed``, first to leave
        first; all unprotected pages when they do not suffice.  Asked again at once it answers the same: hands
        and bits may move, but the deed is ``on_remove``, and a page that was named may yet stay."""

    def explain(self, page_id: str, turn: int) -> str: ...  # one line: why it stays or goes
    def dump(self) -> State: ...
    def load(self, state: State) -> None: ...


@runtime_checkable
class CapacityAware(Protocol):
    """An eviction policy whose lists are shares of the room that there is.  Whoever knows it says so before the
    first page, and when it changes; a policy that is not told goes by what flushes let stay."""

    def set_capacity(self, tokens: int) -> None: ...


@runtime_checkable
class WriteBack(Protocol):
    """Chooses what an evicted page leaves behind."""

    name: str
    capabilities: frozenset[Capability]

    def choose(self, page: PageFacts, turn: int) -> Leave: ...


@runtime_checkable
class FetchPolicy(Protocol):
    """Chooses what else to bring in when a page is paged in."""

    name: str
    capabilities: frozenset[Capability]

    def companions(self, page_id: str, ordinal: int, room_tokens: int) -> Sequence[int]:
        """Ordinals of further pages worth fetching with this one (may be empty), best first."""


@runtime_checkable
class SearchingFetch(FetchPolicy, Protocol):
    """A fetch policy that also has the archive searched: what it finds comes in as long as there is room."""

    pages_max: int

    def query(self, recent: Sequence[PageFacts]) -> str:
        """What to search for, empty for nothing; ``recent`` are the newest pages shown, newest last."""


@dataclass(frozen=True, slots=True)
class Rest:
    """An agent at rest: what it has filed in its archival memory since it last looked that over, ``last_ms`` ago.

    ``importance`` is the sum over the pages that have one, ``unrated`` how many have none.
    """

    pages: int
    importance: float
    unrated: int
    last_ms: int


@runtime_checkable
class Consolidation(Protocol):
    """Chooses when an agent at rest looks over its archival memory, and what it is told to do then."""

    name: str
    capabilities: frozenset[Capability]

    def wait_ms(self, rest: Rest) -> int | None:
        """How long it must have been at rest, from now on; ``None`` to leave it in peace."""

    def instructions(self, rest: Rest) -> str: ...  # what the model is told; it has review, search, merge and insert


@runtime_checkable
class RatedEviction(EvictionPolicy, Protocol):
    """An eviction policy that goes by importance, which may become known after the page came in."""

    def on_rated(self, page_id: str, importance: float) -> None: ...


@runtime_checkable
class ImportanceScorer(Protocol):
    """Says how important a page is, from 0 to 1, when it is made; ``None`` leaves that to the policies."""

    name: str
    capabilities: frozenset[Capability]

    def score(self, page: PageFacts) -> float | None: ...


@runtime_checkable
class ModelScorer(ImportanceScorer, Protocol):
    """A scorer that asks a model: what to ask, and how to read the answer (``None``: it cannot be read)."""

    def question(self, page: PageFacts) -> str: ...
    def read(self, answer: str) -> float | None: ...
