"""``@function``: offer a Python function to models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from pagefault.runtime.errors import FunctionDefinitionError
from pagefault.runtime.functions.definition import FunctionDefinition
from pagefault.runtime.values import Effect

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Function(Protocol[P, R_co]):
    """A decorated function: called as before, with its definition beside it."""

    definition: FunctionDefinition
    __name__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Decorator(Protocol):
    def __call__(self, function: Callable[P, R], /) -> Function[P, R]: ...


EffectName = Literal["once", "idempotent", "pure"]
Place = Literal["host", "ray"]
Chains = Literal["requested", "always", "never"]
Capability = Literal["reads_private", "sees_untrusted", "sends_out"]


@overload
def function(function: Callable[P, R], /) -> Function[P, R]: ...


@overload
def function(
    *,
    effect: EffectName = ...,
    runs_in: Place = ...,
    chains: Chains = ...,
    name: str | None = ...,
    resources: Mapping[str, float] | None = ...,
    timeout_ms: int | None = ...,
    strict: bool = ...,
    requires_approval: bool = ...,
    capabilities: Iterable[Capability] = ...,
) -> _Decorator: ...


def function(
    function: Callable[..., Any] | None = None,
    /,
    *,
    effect: EffectName = "once",
    runs_in: Place = "host",
    chains: Chains = "requested",
    name: str | None = None,
    resources: Mapping[str, float] | None = None,
    timeout_ms: int | None = None,
    strict: bool = True,
    requires_approval: bool = False,
    capabilities: Iterable[Capability] = (),
) -> Any:
    """Offer a plain or ``async`` function to models, with or without arguments to the decorator.

    The model is shown the function's name, docstring and parameters, with the parameters' descriptions taken
    from the docstring (Google, NumPy or Sphinx style).  The function itself stays as it was, with a
    ``definition`` attribute.

    Args:
        effect: what running it twice would do: ``pure`` and ``idempotent`` functions are run again after a
            crash, a ``once`` function is not (the model is told that the outcome is unknown).
        runs_in: in the agent's ``host``, or as a ``ray`` task.
        chains: whether the model goes on after the result: when ``requested`` by ``request_heartbeat``,
            ``always``, or ``never``.
        name: what models call it by; the function's own name if not given.
        resources: of the Ray task, such as ``{"num_cpus": 2}``.
        timeout_ms: after this time the call has failed.
        strict: refuse parameter types that strict mode cannot show (free-form objects, tuples).
        requires_approval: an operator has to agree to each call (``pagefault approvals``); until then its chain waits.
        capabilities: what the function makes possible, for agents with ``rule_of_two``: ``reads_private``,
            ``sees_untrusted`` (it brings in text that somebody else wrote), ``sends_out``.

    Raises:
        FunctionDefinitionError: it cannot be offered; the text names function and parameter, and says what
            to write.
    """

    def define(target: Any) -> Any:
        if not inspect.isroutine(target):
            raise FunctionDefinitionError(f"@function is for functions, found {target!r}")
        if effect not in tuple(Effect):
            raise FunctionDefinitionError(
                f"function {target.__name__!r}: effect is {effect!r}, allowed: 'once', 'idempotent', 'pure'"
            )
        definition = FunctionDefinition(
            function=target,
            name=target.__name__ if name is None else name,
            effect=Effect(effect),
            runs_in=runs_in,
            chains=chains,
            strict=strict,
            resources=dict(resources or {}),
            timeout_ms=timeout_ms,
            requires_approval=requires_approval,
            capabilities=tuple(capabilities),
        )
        definition.shape  # noqa: B018  mistakes are told where the function is written, not where it is used
        cast("Any", target).definition = definition
        return target

    return define if function is None else define(function)


def definition_of(function: object) -> FunctionDefinition:
    """The definition of a decorated function.

    Raises:
        FunctionDefinitionError: it was not decorated.
    """
    definition = function if isinstance(function, FunctionDefinition) else getattr(function, "definition", None)
    if not isinstance(definition, FunctionDefinition):
        raise FunctionDefinitionError(
            f"{function!r} is not a function that models may call; write @pagefault.function above it"
        )
    return definition
