"""A sweep as a TOML file describes it: every combination of policies, write-backs, budgets, traces and seeds.

::

    policies = ["fifo", "lru", { name = "lru_k", options = { k = 3 }, label = "lru-3" }]     # or "all"
    write_backs = ["none", "handle"]
    budgets = [0.05, 0.1, 0.25, 0.5, 1.0]      # up to 1 a share of all tokens of a trace, above it tokens
    seeds = [1]

    [[trace]]
    kind = "locomo"                            # locomo, chat, file, zipf, sized_zipf, shifting
    path = "locomo10.json"
    options = { asked = "spread" }
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pagefault.policies.contract import PolicyError
from pagefault.policies.registry import EVICTION, make_fetch, make_policy, make_write_back

OPTIMUM = "optimum"
OFFLINE = ("belady", "belady_size")
"""Policies that are given the future; they are made for each trace."""
Option = str | bool | int | float


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyTable(_Table):
    """An eviction policy with parameters, and what to call it in tables."""

    name: str
    options: dict[str, Option] = Field(default_factory=dict)
    label: str = ""


class TraceTable(_Table):
    """A family of traces: what makes them, of which file, with which options."""

    kind: Literal["locomo", "chat", "file", "zipf", "sized_zipf", "shifting"]
    path: str = ""
    label: str = ""
    options: dict[str, Option] = Field(default_factory=dict)

    @property
    def family(self) -> str:
        """What tables call it."""
        if self.label:
            return self.label
        asked = self.options.get("asked")
        stem = Path(self.path).name.partition(".")[0] if self.path else ""
        return "-".join(str(part) for part in (self.kind, stem, asked) if part)


class Grid(_Table):
    """The whole file."""

    policies: list[str | PolicyTable] | Literal["all"] = "all"
    write_backs: list[str] = Field(default_factory=lambda: ["none"])
    fetch: str = "none"
    budgets: list[Annotated[float, Field(gt=0)]] = Field(default_factory=lambda: [0.05, 0.1, 0.25, 0.5, 1.0])
    low_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    keep_last_pages: Annotated[int, Field(ge=0)] = 0
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=lambda: [1])
    optimum: bool = True
    trace: list[TraceTable] = Field(min_length=1)

    def tables(self) -> list[PolicyTable]:
        """The policies, each as a table with a label of its own."""
        named = sorted([*EVICTION, *OFFLINE]) if self.policies == "all" else self.policies
        tables = [PolicyTable(name=each) if isinstance(each, str) else each for each in named]
        return [table.model_copy(update={"label": table.label or table.name}) for table in tables]


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: a family of traces, played with one policy under one budget.  Plain values only."""

    kind: str
    path: str
    family: str
    trace_options: tuple[tuple[str, Option], ...]
    digest: str
    seed: int
    budget: float
    low_share: float
    keep_last_pages: int
    policy: str
    options: tuple[tuple[str, Option], ...]
    label: str
    write_back: str
    fetch: str

    @property
    def key(self) -> str:
        """Names the cell and what it was computed from: the same key, the same rows."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """What :meth:`to_json` gave."""
        given: dict[str, Any] = json.loads(text)
        for name in ("trace_options", "options"):
            given[name] = tuple((key, value) for key, value in given[name])
        return cls(**given)


def read_grid(path: Path) -> Grid:
    """Read and check a file.  Raises :class:`~pagefault.policies.contract.PolicyError` naming the first field."""
    try:
        return make_grid(tomllib.loads(path.read_bytes().decode("utf-8")))
    except FileNotFoundError:
        raise PolicyError("FILE", str(path), "a file that exists") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError("FILE", str(path), f"a readable text file: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise PolicyError("FILE", str(path), f"valid TOML: {error}") from None


def make_grid(tables: dict[str, Any]) -> Grid:
    """A grid from tables; every policy in it is tried out.  Raises ``PolicyError``."""
    try:
        grid = Grid.model_validate(tables)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part not in ("PolicyTable", "str", "list[union]"))
        raise PolicyError(field or "grid", first.get("input"), first["msg"]) from None
    labels: list[str] = []
    for table in grid.tables():
        if table.name not in OFFLINE:
            make_policy(table.name, **table.options)
        labels.append(table.label)
        if labels.count(table.label) > 1 or table.label == OPTIMUM:
            raise PolicyError("policies.label", table.label, f"a label of its own, and not {OPTIMUM!r}")
    for name in grid.write_backs:
        if name != "none":
            make_write_back(name)
    if grid.fetch != "none":
        make_fetch(grid.fetch)
    families = [trace.family for trace in grid.trace]
    for family in families:
        if families.count(family) > 1:
            raise PolicyError("trace.label", family, "a label of its own for each family of traces")
    return grid


def cells(grid: Grid, base: Path) -> Iterator[Cell]:
    """All combinations, those of one family and budget together.  ``base`` is what relative paths start from.

    Raises ``PolicyError`` for a file of traces that is not there.
    """
    for table in grid.trace:
        path = str((base / table.path).resolve()) if table.path else ""
        digest = _digest(path, table)
        rows = [
            (each.name, each.options, each.label, write_back)
            for each in grid.tables()
            for write_back in grid.write_backs
        ]
        if grid.optimum:
            rows.append((OPTIMUM, {}, OPTIMUM, "none"))
        for seed, budget, (name, options, label, write_back) in itertools.product(grid.seeds, grid.budgets, rows):
            yield Cell(
                kind=table.kind,
                path=path,
                family=table.family,
                trace_options=tuple(sorted(table.options.items())),
                digest=digest,
                seed=seed,
                budget=budget,
                low_share=grid.low_share,
                keep_last_pages=grid.keep_last_pages,
                policy=name,
                options=tuple(sorted(options.items())),
                label=label,
                write_back=write_back,
                fetch=grid.fetch if name != OPTIMUM else "none",
            )


def _digest(path: str, table: TraceTable) -> str:
    if not path:
        if table.kind in ("locomo", "chat", "file"):
            raise PolicyError("trace.path", table.path, f"the path of a file, which {table.kind!r} reads")
        return ""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]
    except OSError as error:
        raise PolicyError("trace.path", path, f"a readable file: {error.strerror}") from None
