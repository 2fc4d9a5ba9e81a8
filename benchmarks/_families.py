"""Families of traces for the benchmark ``policies``, made of whatever a folder holds.

Files are recognised by what is in them: conversations of LoCoMo, episodes of tau-bench.  Others are passed over.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pagefault.policies.contract import PageFacts
from pagefault.policies.lab.makers.chat_log import chat_log
from pagefault.policies.lab.makers.locomo import Asked, locomo
from pagefault.policies.lab.makers.synthetic import shifting
from pagefault.policies.lab.trace import Budget, Trace

DIALOGUE_SHARE = 0.1
"""Of a conversation's tokens: the budget."""
EPISODE_TOKENS = 1_000
SLOTS = 8
"""Of the synthetic study, whose pages are of one size."""
GZIP = b"\x1f\x8b"
HEAD_BYTES = 64


class Holds(StrEnum):
    """What a file holds."""

    LOCOMO = "LoCoMo"
    TAU_BENCH = "tau-bench"
    OTHER = "something else"


@dataclass(frozen=True, slots=True)
class Run:
    """A trace under a budget.  Runs of one ``unit``, a conversation or an episode, are not independent."""

    unit: str
    trace: Trace
    budget: Budget


@dataclass(frozen=True, slots=True)
class Family:
    """Runs that are pooled, and what they and their units are in words."""

    name: str
    what: str
    units: str
    runs: tuple[Run, ...]


def sorted_files(folder: Path) -> dict[Path, Holds]:
    """All files of a folder and of those in it, in order of their paths, and what they hold."""
    return {path: held(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def held(path: Path) -> Holds:
    """What a file holds, by its shape: a JSON list, or lines of JSON, plain or gzip."""
    first = _first(path)
    if not isinstance(first, Mapping):
        return Holds.OTHER
    if isinstance(first.get("conversation"), Mapping) and isinstance(first.get("qa"), list):
        return Holds.LOCOMO
    if "task_id" in first and isinstance(first.get("traj"), list):
        return Holds.TAU_BENCH
    return Holds.OTHER


def families(files: Mapping[Path, Holds], *, seeds: Sequence[int], synthetic_seeds: Sequence[int]) -> list[Family]:
    """What can be made of the files, and the synthetic family; those without a trace are left out.

    ``seeds`` place the questions of LoCoMo that are spread.  Raises
    :class:`~pagefault.policies.lab.trace.TraceError` for a file that is not what it seemed.
    """
    dialogues = [path for path, holds in files.items() if holds is Holds.LOCOMO]
    logs = [path for path, holds in files.items() if holds is Holds.TAU_BENCH]
    spread = [run for seed in seeds for run in _dialogues(dialogues, Asked.SPREAD, seed)]
    at_end = _dialogues(dialogues, Asked.END)
    episodes = [
        Run(trace.name, trace, Budget(EPISODE_TOKENS))
        for trace in _once(map(chat_log, logs))
        if trace.inserted_tokens > EPISODE_TOKENS and trace.references
    ]
    synthetic = [Run(str(seed), shifting(seed=seed), Budget(SLOTS)) for seed in synthetic_seeds]
    share = f"{DIALOGUE_SHARE:.0%} of a conversation's tokens"
    placed = f"the mean of {len(seeds)} placements" if len(seeds) > 1 else "one placement"
    found = [
        Family("locomo_spread", f"LoCoMo, questions spread ({placed}), {share}", "conversations", tuple(spread)),
        Family("locomo_end", f"LoCoMo, questions at the end, {share}", "conversations", tuple(at_end)),
        Family("tau_bench", f"tau-bench, {EPISODE_TOKENS:,} tokens where more came in", "episodes", tuple(episodes)),
        Family("shifting", f"synthetic: a working set that shifts, {SLOTS} slots", "seeds", tuple(synthetic)),
    ]
    return [family for family in found if family.runs]


def _dialogues(paths: Iterable[Path], asked: Asked, seed: int = 0) -> list[Run]:
    traces = _once(locomo(path, asked=asked, seed=seed) for path in paths)
    return [Run(trace.name, trace, Budget.share(trace, DIALOGUE_SHARE)) for trace in traces if trace.references]


def _once(files: Iterable[Sequence[Trace]]) -> list[Trace]:
    """The traces of all files, without those that an earlier file has: a set is often there whole and in part."""
    kept: list[Trace] = []
    seen: set[tuple[PageFacts, ...]] = set()
    for traces in files:
        kept += [trace for trace in traces if trace.pages not in seen]
        seen |= {trace.pages for trace in traces}
    return kept


def _first(path: Path) -> Any:
    """The first element of a file's JSON list, or the JSON of its first line; ``None`` if it holds neither."""
    try:
        with path.open("rb") as file:
            is_packed = file.read(len(GZIP)) == GZIP
        with gzip.open(path) if is_packed else path.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
            if head.lstrip()[:1] not in (b"[", b"{"):
                return None
            text = (head + opened.read()).decode()
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error):
        return None
    for part in (text, text.partition("\n")[0]):
        try:
            whole = json.loads(part)
        except json.JSONDecodeError:
            continue
        return whole[0] if isinstance(whole, list) and whole else whole
    return None
