"""What the runtime knows of one function that models may call."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from pagefault.runtime.errors import ConfigError, FunctionDefinitionError
from pagefault.runtime.functions.schema import Shape, read_signature
from pagefault.runtime.kernel.functions import CAPABILITIES, FunctionSpec, MemoryView, Outcome, SystemCall
from pagefault.runtime.values import AgentId, CallId, Effect, FunctionSchema, InterruptId

PLACES = ("host", "ray")
SEARCH_MODES = ("hybrid", "dense", "words", "substring")
CHAINS = ("requested", "always", "never")


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who calls: a function with a first parameter of this type gets it filled in, unseen by the model.

    ``call_id`` is the same when a call is tried again, so it serves as an idempotency key.
    """

    agent: AgentId = AgentId("")
    call_id: CallId = CallId("")
    cause: InterruptId = InterruptId("")


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """What the built-in system calls are told by a function table, the same for every agent that shares it.

    ``recall_mode`` and ``archival_mode`` are modes of :class:`~pagefault.runtime.values.ArchiveQuery`:
    ``hybrid``, ``dense``, ``words`` or ``substring``.
    """

    recall_mode: str = "hybrid"
    archival_mode: str = "hybrid"

    def __post_init__(self) -> None:
        for name in ("recall_mode", "archival_mode"):
            if getattr(self, name) not in SEARCH_MODES:
                raise ConfigError(name, getattr(self, name), ", ".join(SEARCH_MODES))


class OutcomeUnknown(Exception):
    """Raised by a function that cannot know whether what it was to do has happened; the text says why."""


DEFAULT_SETTINGS = SystemSettings()
INJECTABLE = (MemoryView, SystemSettings, CallContext)


@dataclass(frozen=True, eq=False)
class FunctionDefinition:
    """One function, as declared with :func:`~pagefault.runtime.functions.decorator.function`.

    ``effect``, ``runs_in`` and ``chains`` are those of
    :class:`~pagefault.runtime.kernel.functions.FunctionSpec`; ``resources`` are Ray's, for ``runs_in="ray"``;
    ``requires_approval`` and ``capabilities`` are those of the decorator;
    ``timeout_ms`` of ``None`` leaves the time limit to whoever runs it; ``given_shape`` stands for the signature of a
    function that is not Python's (a tool of a server).  A function whose first parameter is
    a :class:`~pagefault.runtime.kernel.functions.MemoryView` is a *system call*.
    """

    function: Callable[..., Any]
    name: str
    effect: Effect = Effect.ONCE
    runs_in: str = "host"
    chains: str = "requested"
    strict: bool = True
    resources: Mapping[str, float] = field(default_factory=dict)
    timeout_ms: int | None = None
    requires_approval: bool = False
    capabilities: tuple[str, ...] = ()
    given_shape: Shape | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for capability in self.capabilities:
            _one_of(self.name, "capabilities", capability, CAPABILITIES)
        _one_of(self.name, "runs_in", self.runs_in, PLACES)
        _one_of(self.name, "chains", self.chains, CHAINS)
        if self.timeout_ms is not None and (type(self.timeout_ms) is not int or self.timeout_ms <= 0):
            raise FunctionDefinitionError(
                f"function {self.name!r}: timeout_ms is {self.timeout_ms!r}, allowed: a number of milliseconds above 0"
            )
        if self.resources and self.runs_in != "ray":
            raise FunctionDefinitionError(
                f"function {self.name!r}: resources are for runs_in='ray', this one runs in {self.runs_in!r}"
            )
        for resource, amount in self.resources.items():
            if type(amount) not in (int, float) or not 0 <= amount < float("inf"):
                raise FunctionDefinitionError(
                    f"function {self.name!r}: resources[{resource!r}] is {amount!r}, allowed: a number from 0 up"
                )

    def __getstate__(self) -> dict[str, Any]:
        # What is derived holds classes made at run time, which do not travel; it is made again where needed.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def shape(self) -> Shape:
        """The signature as read.  Raises :class:`~pagefault.runtime.errors.FunctionDefinitionError`."""
        if self.given_shape is not None:
            return self.given_shape
        shape = read_signature(
            self.function, name=self.name, chains=self.chains, strict=self.strict, injectable=INJECTABLE
        )
        kinds = [kind for _, kind in shape.injected]
        if len(set(kinds)) != len(kinds):
            raise FunctionDefinitionError(f"function {self.name!r}: it asks for the same runtime parameter twice")
        if MemoryView in kinds and (self.is_async or self.runs_in != "host" or CallContext in kinds):
            raise FunctionDefinitionError(
                f"function {self.name!r}: a system call (one that takes a MemoryView) runs inside the kernel: "
                "it must be a plain function with runs_in='host' and no CallContext"
            )
        if SystemSettings in kinds and MemoryView not in kinds:
            raise FunctionDefinitionError(f"function {self.name!r}: SystemSettings are for system calls only")
        return shape

    @property
    def schema(self) -> FunctionSchema:
        """What models are shown, ``request_heartbeat`` included where it applies."""
        return self.shape.schema

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @property
    def is_system_call(self) -> bool:
        return any(kind is MemoryView for _, kind in self.shape.injected)

    @property
    def target(self) -> str:
        """Where the function can be imported from, as ``module:name``."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    def spec(self, settings: SystemSettings = DEFAULT_SETTINGS) -> FunctionSpec:
        """The function as the kernel knows it."""
        return FunctionSpec(
            schema=self.schema,
            effect=self.effect,
            runs_in=self.runs_in,
            system_call=self._system_call(settings) if self.is_system_call else None,
            chains=self.chains,
            needs_approval=self.requires_approval,
            capabilities=self.capabilities,
        )

    def keyword_arguments(self, arguments: str, context: CallContext | None = None) -> dict[str, Any]:
        """What to call a host or Ray function with.

        Args:
            arguments: checked JSON text (an object).
            context: given to functions that ask for a :class:`CallContext`.

        Raises:
            pydantic.ValidationError: the text does not fit the signature.
        """
        given = self.shape.typed(arguments)
        given.update((name, context or CallContext()) for name, kind in self.shape.injected if kind is CallContext)
        return given

    def _system_call(self, settings: SystemSettings) -> SystemCall:
        function, shape = self.function, self.shape
        view_name = next(name for name, kind in shape.injected if kind is MemoryView)
        fixed = {name: settings for name, kind in shape.injected if kind is SystemSettings}

        def run(view: MemoryView, arguments: Mapping[str, Any]) -> Outcome:
            typed = arguments if shape.plain else shape.typed(json.dumps(dict(arguments)))
            outcome: Outcome = function(**{view_name: view}, **fixed, **typed)
            return outcome

        return run


def _one_of(function_name: str, option: str, found: object, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise FunctionDefinitionError(
            f"function {function_name!r}: {option} is {found!r}, allowed: {', '.join(map(repr, allowed))}"
        )
