"""The error tree.  The first level says who is at fault.

::

    PagefaultError
    ├── UsageError                you asked for something that cannot be
    │   ├── ConfigError             a setting is wrong: names the field, what was found, what is allowed
    │   │   └── ContextTooSmall       the fixed parts do not fit the context budget
    │   ├── FunctionDefinitionError a function cannot be offered to a model (missing hints, bad default…)
    │   ├── UnknownAgent            no agent has this id
    │   ├── AgentExists             an agent with this id is registered with another definition
    │   └── UnknownName             a policy, function, model or embedder of that name is not registered
    ├── ModelError                the model or its server is at fault (``retryable``, ``status``)
    │   ├── ModelUnavailable        cannot be reached, timed out, 5xx; retries are used up
    │   ├── ModelRefused            401, 403, 404, 400: asking again will not help
    │   │   └── BudgetExceeded        a limit of spending would be passed; nothing was sent
    │   ├── ModelBusy               429; ``retry_after_ms``
    │   ├── ModelMalformed          the answer cannot be read, is cut short, or breaks the protocol
    │   └── ModelOverflow           the server says that the prompt is longer than its window
    ├── Overloaded                not now: ``retry_after_ms``
    ├── StoreError                the journal or archive is at fault
    │   ├── StoreUnavailable        disk full, I/O error, locked by another process
    │   ├── StoreCorrupt            a record does not read back as it was written
    │   ├── StaleEpoch              another activation of this agent has taken over
    │   └── EmbeddingMismatch       the archive was written with another embedder or dimension
    ├── AgentFailed               a chain ended without an answer: ``reason``
    └── InternalError             a bug in Pagefault: please report it, with the story
        ├── InvalidTransition       an event came in a phase that has no row for it
        ├── InvariantViolated       something that must always hold does not
        └── ReplayDivergence        replaying the journal gave something else than was recorded

A call that is told to the model rather than to the program is not an error of this tree: see
:class:`pagefault.runtime.kernel.functions.CallProblem`.
"""

from __future__ import annotations

__all__ = [
    "AgentExists",
    "AgentFailed",
    "BudgetExceeded",
    "ConfigError",
    "ContextTooSmall",
    "EmbeddingMismatch",
    "FunctionDefinitionError",
    "InternalError",
    "InvalidTransition",
    "InvariantViolated",
    "ModelBusy",
    "ModelError",
    "ModelMalformed",
    "ModelOverflow",
    "ModelRefused",
    "ModelUnavailable",
    "Overloaded",
    "PagefaultError",
    "ReplayDivergence",
    "StaleEpoch",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "UnknownAgent",
    "UnknownName",
    "UsageError",
]


class PagefaultError(Exception):
    """Base of every error that Pagefault raises on purpose."""


class UsageError(PagefaultError):
    """The caller is at fault; the text says what to change."""


class ConfigError(UsageError):
    """A setting is wrong.

    ``field`` is its dotted name, ``found`` what was given, ``allowed`` what would have been accepted.
    """

    def __init__(self, field: str, found: object, allowed: str) -> None:
        super().__init__(f"{field}: found {found!r}, allowed: {allowed}")
        self.field = field
        self.found = found
        self.allowed = allowed

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, object, str]]:
        return type(self), (self.field, self.found, self.allowed)


class ContextTooSmall(ConfigError):
    """System prompt, blocks, function schemas and reserves leave no room for a queue."""


class FunctionDefinitionError(UsageError):
    """A Python function cannot become a function that a model may call."""


class UnknownAgent(UsageError):
    """No agent has this id."""


class AgentExists(UsageError):
    """This id is taken by an agent with another definition."""


class UnknownName(UsageError):
    """Nothing of that kind is registered under that name; the text lists what is."""


class ModelError(PagefaultError):
    """The model or its server is at fault."""

    retryable = False

    def __init__(self, message: str, *, status: int = 0, attempts: int = 1, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.attempts = attempts
        self.retry_after_ms = retry_after_ms

    def __reduce__(self) -> tuple[object, ...]:
        return (
            type(self),
            (self.message,),
            {
                "status": self.status,
                "attempts": self.attempts,
                "retry_after_ms": self.retry_after_ms,
            },
        )


class ModelUnavailable(ModelError):
    """The server cannot be reached, timed out or failed, and retries are used up."""

    retryable = True


class ModelRefused(ModelError):
    """The server will not do this however often it is asked (401, 403, 404, 400)."""


class BudgetExceeded(ModelRefused):
    """A limit of spending (``[budget]``) would be passed; nothing was sent."""


class ModelBusy(ModelError):
    """429: ask again after ``retry_after_ms``."""

    retryable = True


class ModelMalformed(ModelError):
    """The answer cannot be read, stopped half-way, or breaks the protocol."""

    retryable = True


class ModelOverflow(ModelError):
    """The server counted more prompt tokens than its window holds."""


class Overloaded(PagefaultError):
    """A bound is reached; nothing was accepted.  Try again after ``retry_after_ms``."""

    def __init__(self, message: str, retry_after_ms: int = 1000) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_ms = retry_after_ms

    def __reduce__(self) -> tuple[type[Overloaded], tuple[str, int]]:
        return type(self), (self.message, self.retry_after_ms)


class StoreError(PagefaultError):
    """The journal or the archive is at fault."""


class StoreUnavailable(StoreError):
    """The store cannot be written or opened now (disk full, I/O error, locked)."""


class StoreCorrupt(StoreError):
    """Stored bytes do not read back as what was written."""


class StaleEpoch(StoreError):
    """A newer activation of the agent exists; this one must stop without effect."""


class EmbeddingMismatch(StoreError):
    """The archive's vectors were made by another embedder, or have another dimension."""


class AgentFailed(PagefaultError):
    """A chain ended without an answer; ``reason`` is the chain's outcome."""

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason

    def __reduce__(self) -> tuple[type[AgentFailed], tuple[str, str]]:
        return type(self), (self.message, self.reason)


class InternalError(PagefaultError):
    """A bug in Pagefault.  Please report it with the story in the text."""


class InvalidTransition(InternalError):
    """An event came in a phase that has no row for it in the transition table."""


class InvariantViolated(InternalError):
    """Something that must always hold does not."""


class ReplayDivergence(InternalError):
    """Replaying a journal gave something else than what was recorded."""
