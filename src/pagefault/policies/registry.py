"""From names in a configuration to policies.

The policies that ship are the rows of the tables below.  An installed package adds its own with an entry
point in the group ``pagefault.policies``, whose name says the kind and the policy's name::

    [project.entry-points."pagefault.policies"]
    "eviction.mine" = "my_package.policies:Mine"
    "write_back.mine" = "my_package.policies:MineToo"
    "fetch.mine" = "my_package.policies:MineAsWell"
    "scorer.mine" = "my_package.policies:MyScorer"
    "consolidation.mine" = "my_package.policies:MyReview"

What ships always wins: installing a package cannot change what ``lru`` means.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pagefault.policies.consolidation.off import Off
from pagefault.policies.consolidation.reflect import Reflect
from pagefault.policies.consolidation.review import Review
from pagefault.policies.contract import (
    Consolidation,
    EvictionPolicy,
    FetchPolicy,
    ImportanceScorer,
    PolicyError,
    WriteBack,
)
from pagefault.policies.eviction.arc import Arc
from pagefault.policies.eviction.clock import Clock
from pagefault.policies.eviction.fifo import Fifo
from pagefault.policies.eviction.foresight import Foresight
from pagefault.policies.eviction.gdsf import Gdsf
from pagefault.policies.eviction.generative_agents import GenerativeAgents, GenerativeAgentsAsReleased
from pagefault.policies.eviction.hyperbolic import Hyperbolic
from pagefault.policies.eviction.importance import Importance
from pagefault.policies.eviction.lfu import Lfu, LfuAged, LfuDa
from pagefault.policies.eviction.lirs import Lirs
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.eviction.lru_k import LruK
from pagefault.policies.eviction.memgpt import MemGpt
from pagefault.policies.eviction.memory_bank import MemoryBank, MemoryBankAsReleased
from pagefault.policies.eviction.memory_os import MemoryOs, MemoryOsAsReleased
from pagefault.policies.eviction.random import Random
from pagefault.policies.eviction.s3fifo import S3Fifo
from pagefault.policies.eviction.sieve import Sieve
from pagefault.policies.eviction.sinks import Sinks
from pagefault.policies.eviction.sliding_window import SlidingWindow
from pagefault.policies.eviction.slru import Slru
from pagefault.policies.eviction.two_q import TwoQ
from pagefault.policies.eviction.wtinylfu import WTinyLfu
from pagefault.policies.fetch.demand import Demand
from pagefault.policies.fetch.neighbours import Neighbours
from pagefault.policies.fetch.related import Related
from pagefault.policies.scorers.claimed import Claimed
from pagefault.policies.scorers.heuristic import Heuristic
from pagefault.policies.scorers.learned import Learned
from pagefault.policies.scorers.model_rated import ModelRated
from pagefault.policies.writeback.archive import Archive
from pagefault.policies.writeback.drop import Drop
from pagefault.policies.writeback.handle import Handle
from pagefault.policies.writeback.summarize import Summarize

GROUP = "pagefault.policies"

EVICTION: Mapping[str, Callable[..., EvictionPolicy]] = {
    "arc": Arc,
    "clock": Clock,
    "fifo": Fifo,
    "foresight": Foresight,
    "gdsf": Gdsf,
    "generative_agents": GenerativeAgents,
    "generative_agents_as_released": GenerativeAgentsAsReleased,
    "hyperbolic": Hyperbolic,
    "importance": Importance,
    "lfu": Lfu,
    "lfu_aged": LfuAged,
    "lfu_da": LfuDa,
    "lirs": Lirs,
    "lru": Lru,
    "lru_k": LruK,
    "memgpt": MemGpt,
    "memory_bank": MemoryBank,
    "memory_bank_as_released": MemoryBankAsReleased,
    "memory_os": MemoryOs,
    "memory_os_as_released": MemoryOsAsReleased,
    "random": Random,
    "s3fifo": S3Fifo,
    "sieve": Sieve,
    "sinks": Sinks,
    "sliding_window": SlidingWindow,
    "slru": Slru,
    "two_q": TwoQ,
    "wtinylfu": WTinyLfu,
}
WRITE_BACK: Mapping[str, Callable[..., WriteBack]] = {
    "archive": Archive,
    "drop": Drop,
    "handle": Handle,
    "summarize": Summarize,
}
FETCH: Mapping[str, Callable[..., FetchPolicy]] = {
    "demand": Demand,
    "neighbours": Neighbours,
    "related": Related,
}
SCORERS: Mapping[str, Callable[..., ImportanceScorer]] = {
    "claimed": Claimed,
    "heuristic": Heuristic,
    "learned": Learned,
    "model_rated": ModelRated,
}

CONSOLIDATION: Mapping[str, Callable[..., Consolidation]] = {
    "off": Off,
    "reflect": Reflect,
    "review": Review,
}

_T = TypeVar("_T", EvictionPolicy, WriteBack, FetchPolicy, ImportanceScorer, Consolidation)


class UnknownPolicy(PolicyError):
    """No policy of that kind has this name; ``allowed`` lists those that exist."""


def policy_names() -> tuple[str, ...]:
    """Names that :func:`make_policy` takes, in alphabetical order."""
    return _names("eviction", EVICTION)


def write_back_names() -> tuple[str, ...]:
    """Names that :func:`make_write_back` takes, in alphabetical order."""
    return _names("write_back", WRITE_BACK)


def fetch_names() -> tuple[str, ...]:
    """Names that :func:`make_fetch` takes, in alphabetical order."""
    return _names("fetch", FETCH)


def scorer_names() -> tuple[str, ...]:
    """Names that :func:`make_scorer` takes, in alphabetical order."""
    return _names("scorer", SCORERS)


def consolidation_names() -> tuple[str, ...]:
    """Names that :func:`make_consolidation` takes, in alphabetical order."""
    return _names("consolidation", CONSOLIDATION)


def make_policy(name: str, **parameters: Any) -> EvictionPolicy:
    """A new eviction policy.  Raises :class:`UnknownPolicy`, and ``PolicyError`` for a wrong parameter."""
    return _make("eviction", EVICTION, EvictionPolicy, name, parameters)  # type: ignore[type-abstract]  # a Protocol, used for isinstance


def make_write_back(name: str, **parameters: Any) -> WriteBack:
    """A new write-back.  Raises :class:`UnknownPolicy`, and ``PolicyError`` for a wrong parameter."""
    return _make("write_back", WRITE_BACK, WriteBack, name, parameters)  # type: ignore[type-abstract]  # see make_policy


def make_fetch(name: str, **parameters: Any) -> FetchPolicy:
    """A new fetch policy.  Raises :class:`UnknownPolicy`, and ``PolicyError`` for a wrong parameter."""
    return _make("fetch", FETCH, FetchPolicy, name, parameters)  # type: ignore[type-abstract]  # see make_policy


def make_scorer(name: str, **parameters: Any) -> ImportanceScorer:
    """A new scorer of importance.  Raises :class:`UnknownPolicy`, and ``PolicyError`` for a wrong parameter."""
    return _make("scorer", SCORERS, ImportanceScorer, name, parameters)  # type: ignore[type-abstract]  # see make_policy


def make_consolidation(name: str, **parameters: Any) -> Consolidation:
    """A new consolidation.  Raises :class:`UnknownPolicy`, and ``PolicyError`` for a wrong parameter."""
    return _make("consolidation", CONSOLIDATION, Consolidation, name, parameters)  # type: ignore[type-abstract]  # see make_policy


def _installed(kind: str) -> list[tuple[str, EntryPoint]]:
    """Entry points of one kind with the names that users write."""
    prefix = f"{kind}."
    return [
        (point.name.removeprefix(prefix), point) for point in entry_points(group=GROUP) if point.name.startswith(prefix)
    ]


def _names(kind: str, shipped: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(sorted({*shipped, *(name for name, _ in _installed(kind))}))


def _make(
    kind: str, shipped: Mapping[str, Callable[..., _T]], contract: type[_T], name: str, given: Mapping[str, Any]
) -> _T:
    factory = shipped.get(name) or _load(kind, shipped, name)
    _check_names(name, factory, given)
    made = factory(**given)
    if (type(made), contract) not in _fitting and not isinstance(made, contract):
        missing = sorted(each for each in _members(contract) if not hasattr(made, each))
        raise PolicyError(name, type(made).__qualname__, f"an object that also has {', '.join(missing)}")
    _fitting.add((type(made), contract))
    return made


_fitting: set[tuple[type, type]] = set()
"""Classes whose objects have been found to fit a contract: a Protocol takes many microseconds to find out."""


def _load(kind: str, shipped: Mapping[str, object], name: str) -> Callable[..., Any]:
    points = [point for own_name, point in _installed(kind) if own_name == name]
    if not points:
        raise UnknownPolicy(kind, name, "one of " + ", ".join(_names(kind, shipped)))
    if len({point.value for point in points}) > 1:
        found = [f"{point.value} from {point.dist.name if point.dist else 'unknown'}" for point in points]
        raise PolicyError(name, sorted(found), "one installed package that defines it")
    try:
        factory = points[0].load()
    except (ImportError, AttributeError) as problem:
        raise PolicyError(
            f"{kind}.{name}", points[0].value, f"an entry point that can be imported: {problem}"
        ) from problem
    if not callable(factory):
        raise PolicyError(name, points[0].value, "an entry point that names a class or a function")
    return factory  # type: ignore[no-any-return]  # callable() is all that can be known before calling it


_signature = lru_cache(256)(inspect.signature)
"""Agents are made by the thousand from few factories."""


def _check_names(field: str, factory: Callable[..., object], given: Mapping[str, Any]) -> None:
    """Refuse parameters that the factory has no place for, and the lack of those that it must have."""
    accepted = _signature(factory).parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in accepted):
        names = [each.name for each in accepted if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)]
        for name in given:
            if name not in names:
                allowed = "one of the parameters " + ", ".join(names) if names else "no parameters"
                raise PolicyError(f"{field}.{name}", given[name], allowed)
    for each in accepted:
        optional = each.default is not each.empty or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if not optional and each.name not in given:
            raise PolicyError(f"{field}.{each.name}", None, "a value: it has no default")


def _members(contract: type) -> list[str]:
    return [name for name in {**contract.__annotations__, **vars(contract)} if not name.startswith("_")]
