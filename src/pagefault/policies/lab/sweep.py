"""Runs the cells of a grid, each by itself, so that they can be spread over processes and resumed.

What is finished stands in ``cells.jsonl``, a line a cell; a sweep that was broken off goes on with the rest.
At the end everything is in ``results.parquet``: a row for each trace, seed, budget, policy and write-back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pagefault.policies.contract import EvictionPolicy, PolicyError
from pagefault.policies.lab.bounds import intervals_of
from pagefault.policies.lab.extras import analysis
from pagefault.policies.lab.files import read_trace
from pagefault.policies.lab.grid import OFFLINE, OPTIMUM, Cell
from pagefault.policies.lab.makers import synthetic
from pagefault.policies.lab.makers.chat_log import chat_log
from pagefault.policies.lab.makers.locomo import Asked, locomo
from pagefault.policies.lab.measures import Measures, measure
from pagefault.policies.lab.replay import Replay, replay
from pagefault.policies.lab.trace import Budget, Trace
from pagefault.policies.offline.belady import Belady, BeladySize
from pagefault.policies.offline.exact import Objective, Prices, cost_optimum, optimum
from pagefault.policies.registry import make_fetch, make_policy, make_write_back

Row = dict[str, Any]

PURPOSE = "a sweep's results"
MEMORY_PRICES = Prices(keep=0.1, fault=100.0, page_in=1.25)
"""What ``memory_cost`` is counted with, in input tokens: a token that stays is read from the provider's cache
each turn, one that comes in is written to it, and a fault takes a call of a function."""
OPTIMUM_SECONDS = 20.0
"""For one solution; one that takes longer is the best found so far, and marked as not exact."""
EXACT_REFERENCES_MAX = 3_000
"""More references than this, and the optimum is a relaxation: a bound from above."""
OPTIMUM_REFERENCES_MAX = 20_000
"""More than this, and a trace has no optimum: the program would not fit into memory."""
SYNTHETIC: Mapping[str, Callable[..., Trace]] = {
    "shifting": synthetic.shifting,
    "sized_zipf": synthetic.sized_zipf,
    "zipf": synthetic.zipf,
}


@lru_cache(maxsize=16)
def _traces(kind: str, path: str, options: tuple[tuple[str, Any], ...], seed: int, digest: str) -> tuple[Trace, ...]:
    del digest  # part of the key: another content is another family
    given = dict(options)
    try:
        if kind == "locomo":
            asked = Asked(given.pop("asked", Asked.END.value))
            return tuple(locomo(Path(path), asked=asked, seed=seed, **given))
        if kind == "chat":
            return tuple(chat_log(Path(path), **given))
        if kind == "file":
            return (read_trace(Path(path), **given),)
        return (SYNTHETIC[kind](seed=seed, **given),)
    except (TypeError, ValueError) as error:
        if isinstance(error, PolicyError):
            raise
        raise PolicyError("trace.options", given, f"options that {kind!r} takes: {error}") from error


def traces_of(cell: Cell) -> tuple[Trace, ...]:
    """The traces of a cell's family; remembered, since the next cell has the same.

    Raises ``PolicyError``, as ``TraceError`` for a file that is not what it should be.
    """
    return _traces(cell.kind, cell.path, cell.trace_options, cell.seed, cell.digest)


def budget_of(cell: Cell, trace: Trace) -> Budget:
    """The cell's budget for one trace: a share of its tokens up to 1, else tokens."""
    if cell.budget <= 1:
        return Budget.share(trace, cell.budget, low_share=cell.low_share, keep_last_pages=cell.keep_last_pages)
    capacity = int(cell.budget)
    return Budget(capacity, capacity, max(1, int(capacity * cell.low_share)), cell.keep_last_pages)


def policy_for(cell: Cell, trace: Trace) -> EvictionPolicy:
    """A fresh policy; one that is given the future gets that of the trace, a random one the cell's seed."""
    if cell.policy in OFFLINE:
        made = Belady if cell.policy == "belady" else BeladySize
        return made(uses=uses_of(trace), **dict(cell.options))
    options = dict(cell.options)
    if cell.policy == "random":
        options.setdefault("seed", cell.seed)
    return make_policy(cell.policy, **options)


def uses_of(trace: Trace) -> dict[str, list[int]]:
    """The future of a trace: for each page id the events that insert it or need it."""
    uses: dict[str, list[int]] = {page.id: [] for page in trace.pages}
    ids = [page.id for page in trace.pages]
    is_use = trace.events.op <= 1
    for event, page in zip(np.flatnonzero(is_use).tolist(), trace.events.page[is_use].tolist(), strict=True):
        uses[ids[page]].append(event)
    return uses


def play(cell: Cell, trace: Trace) -> Replay:
    """One replay of a cell."""
    return replay(
        trace,
        policy_for(cell, trace),
        budget_of(cell, trace),
        write_back=None if cell.write_back == "none" else make_write_back(cell.write_back),
        fetch=None if cell.fetch == "none" else make_fetch(cell.fetch),
    )


def run_cell(cell: Cell) -> list[Row]:
    """The rows of a cell, one a trace.  Traces that fit into the budget whole are left out: nothing is evicted.
    So are, for the optimum, those with too many references.

    Raises ``PolicyError``: for a policy that breaks its contract, too.
    """
    rows = []
    for trace in traces_of(cell):
        if cell.budget > 1 and trace.inserted_tokens <= cell.budget:
            continue
        if cell.policy == OPTIMUM and trace.references > OPTIMUM_REFERENCES_MAX:
            continue
        measured = _best(cell, trace) if cell.policy == OPTIMUM else _measured(cell, trace)
        rows.append(
            {
                "family": cell.family,
                "trace": trace.name,
                "seed": cell.seed,
                "budget": cell.budget,
                "capacity_tokens": budget_of(cell, trace).capacity_tokens,
                "policy": cell.label,
                "write_back": cell.write_back,
                "fetch": cell.fetch,
                **measured,
            }
        )
    return rows


def _measured(cell: Cell, trace: Trace) -> Row:
    ran = play(cell, trace)
    result = measure(ran)
    prices = MEMORY_PRICES
    cost = prices.keep * result.token_turns + prices.fault * result.faults + prices.page_in * result.tokens_in
    return {**result.to_row(), "memory_cost": cost, "exact": True}


def _best(cell: Cell, trace: Trace) -> Row:
    """The optimum of each objective.  It has no evictions or tokens of its own: those of many schedules."""
    row: Row = dict.fromkeys((*Measures().to_row(), "memory_cost"))
    given = intervals_of(trace, budget_of(cell, trace))
    how: dict[str, Any] = {"relaxed": trace.references > EXACT_REFERENCES_MAX, "time_limit_s": OPTIMUM_SECONDS}
    objects = optimum(given, objective=Objective.OBJECTS, **how)
    tokens = optimum(given, objective=Objective.TOKENS, **how)
    cheapest = cost_optimum(given, MEMORY_PRICES, turns=trace.events.turn, **how)
    return row | {
        "references": trace.references,
        "hits": round(objects.hits),
        "reference_tokens": tokens.reference_tokens,
        "hit_tokens": round(tokens.hit_tokens),
        "object_hit_ratio": objects.object_hit_ratio,
        "token_hit_ratio": tokens.token_hit_ratio,
        "memory_cost": cheapest.cost,
        "events": len(trace),
        "exact": objects.exact and tokens.exact,
    }


def run_cell_json(text: str) -> str:
    """:func:`run_cell` between processes: a cell in, its rows out."""
    return json.dumps(run_cell(Cell.from_json(text)))


class SweepFolder:
    """Where a sweep keeps what is finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results_file = folder / "results.parquet"
        self._log = folder / "cells.jsonl"
        self._done: dict[str, list[Row]] = {}
        self._cells: dict[str, Cell] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for key, rows in self._lines():
            self._done[key] = rows

    def _lines(self) -> Iterator[tuple[str, list[Row]]]:
        """Finished cells.  A last line that was cut off in the writing is cut out, and its cell run again."""
        if not self._log.exists():
            return
        content = self._log.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._log.write_bytes(whole)
        for number, line in enumerate(whole.decode("utf-8").splitlines(), start=1):
            try:
                found = json.loads(line)
                cell = Cell.from_json(json.dumps(found["cell"]))
                self._cells[cell.key] = cell
                yield cell.key, found["rows"]
            except (ValueError, LookupError, TypeError) as error:
                raise PolicyError(f"{self._log}:{number}", line[:80], f"a finished cell: {error!r}") from error

    def missing(self, wanted: Iterable[Cell]) -> list[Cell]:
        """Those of the cells that are not finished."""
        return [cell for cell in wanted if cell.key not in self._done]

    def finish(self, cell: Cell, rows: Sequence[Mapping[str, Any]]) -> None:
        """A cell is done: its line is on the disk when this returns."""
        line = json.dumps({"cell": asdict(cell), "rows": list(rows)}) + "\n"
        with self._log.open("a", encoding="utf-8") as log:
            log.write(line)
        self._done[cell.key] = [dict(row) for row in rows]
        self._cells[cell.key] = cell

    def cells(self) -> list[Cell]:
        """The cells that are finished."""
        return list(self._cells.values())

    def results(self, wanted: Iterable[Cell]) -> list[Row]:
        """The rows of cells that are finished, in the cells' order."""
        return [row for cell in wanted for row in self._done.get(cell.key, ())]

    def write_results(self, wanted: Iterable[Cell]) -> Path:
        """All rows as Parquet.  Raises ``MissingExtra`` without polars."""
        polars = analysis("polars", purpose=PURPOSE)
        making = self.results_file.with_suffix(".making")
        polars.DataFrame(self.results(wanted), infer_schema_length=None).write_parquet(making)
        making.replace(self.results_file)
        return self.results_file
