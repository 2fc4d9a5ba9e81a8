"""Checks of what a policy is given: settings by its user, states by a snapshot.

Each raises :class:`~pagefault.policies.contract.PolicyError` with the setting's dotted name, what was found
and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pagefault.policies.contract import PolicyError, State


def number(field: str, found: object, *, at_least: float, at_most: float = math.inf) -> float:
    """A finite number between two bounds, both allowed."""
    upper = "" if at_most == math.inf else f" and at most {at_most:g}"
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not at_least <= found <= at_most:
        raise PolicyError(field, found, f"a number of at least {at_least:g}{upper}")
    if math.isinf(found):
        raise PolicyError(field, found, "a finite number")
    return float(found)


def whole(field: str, found: object, *, at_least: int, at_most: int) -> int:
    """A whole number between two bounds, both allowed."""
    if isinstance(found, bool) or not isinstance(found, int) or not at_least <= found <= at_most:
        raise PolicyError(field, found, f"a whole number from {at_least} to {at_most}")
    return found


def flag(field: str, found: object) -> bool:
    """``True`` or ``False``, not something that merely counts as one."""
    if not isinstance(found, bool):
        raise PolicyError(field, found, "true or false")
    return found


def one_of(field: str, found: object, allowed: Sequence[str]) -> str:
    """One of some names."""
    if not isinstance(found, str) or found not in allowed:
        raise PolicyError(field, found, "one of " + ", ".join(allowed))
    return found


def rows(policy: str, state: State, shape: Sequence[type], *, field: str = "pages") -> list[tuple[Any, ...]]:
    """The rows under ``field`` in a dumped state, each with the types of ``shape``, ids first and unique.

    A state is JSON-like, so a float may come back as a whole number and a tuple as a list.
    """
    if state.get("policy") != policy:
        raise PolicyError(f"{policy}.state.policy", state.get("policy"), f"{policy!r}: a state that it dumped itself")
    found = state.get(field)
    if not isinstance(found, (list, tuple)):
        raise PolicyError(f"{policy}.state.{field}", found, "a list of rows")
    types = list(shape)
    result = [
        # Rows as they were dumped are nearly all there are; a waking agent should not wait for the others' checks.
        tuple(row)
        if type(row) is list and list(map(type, row)) == types
        else _row(f"{policy}.state.{field}[{index}]", row, shape)
        for index, row in enumerate(found)
    ]
    if len({row[0] for row in result}) != len(result):
        raise PolicyError(f"{policy}.state.{field}", [row[0] for row in result], "every page once")
    return result


def _row(field: str, found: object, shape: Sequence[type]) -> tuple[Any, ...]:
    if not isinstance(found, (list, tuple)) or len(found) != len(shape):
        raise PolicyError(field, found, f"{len(shape)} values")
    for value, expected in zip(found, shape, strict=True):
        accepted = (int, float) if expected is float else (list, tuple) if expected is list else expected
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise PolicyError(field, found, "values of the types " + ", ".join(each.__name__ for each in shape))
    return tuple(found)
