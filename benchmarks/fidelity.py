"""Are the policies what they say?  The same misses as libcachesim, and the same faults as a published study.

Part 1: Zipf traces, with pages of one size and of many, through our policies and through libcachesim (extra
``bench``), which runs in a process of its own.  Miss ratios must agree to 5 decimals;
``docs/policies.md`` explains those that do not.

Belady is given the future; libcachesim reads it in oracleGeneral, the only of its formats that it takes it from.

``--data`` adds real traces, each page a request when it comes in and when it is referred to.

Part 2: the synthetic study of Neural Paging (Chen and Liu, arXiv 2603.02228): 64 pages, Zipf 1.2, a working set of
16 that shifts every 500 steps, 5,000 steps, 10 seeds, 8 slots.  Its generator is not fully specified; read here as:
every request falls into the working set; a shift replaces a random half of it, and who is new takes
the rank of the one that went.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._cache import misses
from benchmarks._report import Options, read_options, report
from pagefault.policies.contract import EvictionPolicy
from pagefault.policies.lab.builder import plain_trace
from pagefault.policies.lab.files import write_oracle_general
from pagefault.policies.lab.makers.chat_log import chat_log
from pagefault.policies.lab.makers.locomo import locomo
from pagefault.policies.lab.trace import Op, Source, TraceError
from pagefault.policies.offline.belady import Belady
from pagefault.policies.registry import make_policy

OBJECTS = 10_000
REQUESTS, REQUESTS_QUICK = 1_000_000, 100_000
EXPONENT = 1.0
TOKENS_MAX = 400
DRIFTS = 5000
SHARE = 0.1
"""Of the tokens of all pages: the capacity."""
DECIMALS = 5
DATA_WELCOME = "real traces as well: a chat log, trajectories of tau-bench, or conversations of LoCoMo"
SEEDS = 10
STUDENT_T = 2.262
"""The two-sided 95 % quantile of Student's distribution with 9 degrees of freedom."""

NOT_FORCED = frozenset({"gdsf"})
"""Policies that libcachesim lets evict the page that has just come in."""
COMPARED: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    # ours: (theirs, our parameters, theirs)
    "fifo": ("FIFO", {}, {}),
    "lru": ("LRU", {}, {}),
    "clock": ("Clock", {}, {}),
    "clock_2_bits": ("Clock", {"bits": 2}, {"n_bit_counter": 2}),
    "lfu": ("LFU", {}, {}),
    "lru_k": ("LRUK", {}, {}),
    "two_q": ("TwoQ", {}, {}),
    "slru": ("SLRU", {}, {}),
    "arc": ("ARC", {"delta": "units"}, {}),
    "s3fifo": ("S3FIFO", {}, {}),
    "sieve": ("Sieve", {}, {}),
    "gdsf": ("GDSF", {"cost_per_page": 1e6}, {}),
    "belady": ("Belady", {}, {}),
}
SEGMENTED = frozenset({"two_q", "slru", "arc", "s3fifo"})
PUBLISHED: Mapping[str, float] = {"belady": 0.121, "lru": 0.226, "fifo": 0.276, "random": 0.280, "lfu": 0.577}


@dataclass(frozen=True, slots=True)
class Trace:
    """``tokens`` gives the size of each page, ``requests`` are places in it."""

    name: str
    requests: array[int]
    tokens: tuple[int, ...]
    capacity_tokens: int


def zipf(count: int, exponent: float, chance: random.Random) -> Iterator[int]:
    """Ranks from 0, drawn with weights ``(rank + 1) ** -exponent``, without end."""
    sums = list(itertools.accumulate((rank + 1) ** -exponent for rank in range(count)))
    while True:
        yield bisect(sums, chance.random() * sums[-1])


def zipf_traces(requests: int, seed: int) -> list[Trace]:
    """The same requests, for pages of one token and for pages of 10 to ``TOKENS_MAX``, and a drifting variant.

    While popularity stays as it is, policies that never evict a page which was used twice cannot be told
    apart; in the third trace every page loses a rank to its neighbour ``DRIFTS`` times.
    """
    chance = random.Random(seed)
    drawn = array("I", itertools.islice(zipf(OBJECTS, EXPONENT, chance), requests))
    sized = tuple(chance.randint(10, TOKENS_MAX) for _ in range(OBJECTS))
    drifting = array("I", ((rank + at * DRIFTS // requests) % OBJECTS for at, rank in enumerate(drawn)))
    return [
        _trace("zipf_unsized", drawn, (1,) * OBJECTS),
        _trace("zipf_sized", drawn, sized),
        _trace("zipf_drifting", drifting, sized),
    ]


def _trace(name: str, requests: array[int], tokens: tuple[int, ...]) -> Trace:
    # A multiple of 20, so that all shares of segments are whole.
    return Trace(name, requests, tokens, int(sum(tokens) * SHARE) // 20 * 20)


def real_traces(file: Path) -> list[Trace]:
    """One trace a conversation or episode that does not fit.

    Pages that exceed the capacity are taken to fill it: what to do with them is no question of policy.
    """
    try:
        found = chat_log(file)
    except TraceError:
        found = locomo(file)
    traces = []
    for trace in found:
        capacity = int(trace.inserted_tokens * SHARE) // 20 * 20
        events = zip(trace.events.op, trace.events.page, strict=True)
        requests = array("I", (int(page) for op, page in events if op in (Op.INSERT, Op.REFERENCE)))
        if capacity:
            tokens = tuple(min(page.tokens, capacity) for page in trace.pages)
            traces.append(Trace(file.name.partition(".")[0], requests, tokens, capacity))
    return traces


def by_libcachesim(traces: Sequence[Trace]) -> dict[str, int]:
    """Misses of every policy that is compared.  Raises ``SystemExit`` if it cannot run."""
    with tempfile.TemporaryDirectory() as folder:
        asked: dict[str, Any] = {
            "policies": {name: (theirs, arguments) for name, (theirs, _, arguments) in COMPARED.items()},
            "traces": [],
        }
        for number, trace in enumerate(traces):
            pages = Path(folder) / str(number)
            pages.write_bytes(trace.requests.tobytes())
            oracle = Path(folder) / f"{number}.oracleGeneral"
            write_oracle_general(plain_trace(trace.name, Source.SYNTHETIC, trace.requests, trace.tokens), oracle)
            asked["traces"].append(
                {
                    "pages": str(pages),
                    "oracle": str(oracle),
                    "sizes": trace.tokens,
                    "capacity": trace.capacity_tokens,
                }
            )
        script = Path(__file__).with_name("_libcachesim.py")
        done = subprocess.run(
            [sys.executable, str(script)], input=json.dumps(asked), capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"libcachesim, of the extra 'bench', did not run:\n{done.stderr}")
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


def made(name: str, trace: Trace) -> EvictionPolicy:
    """One of our policies as libcachesim means it, for one trace."""
    if name == "belady":
        return _with_future(trace.requests)
    capacity = {"capacity_tokens": trace.capacity_tokens} if name in SEGMENTED else {}
    return make_policy(name.removesuffix("_2_bits"), **COMPARED[name][1], **capacity)


def compare(*traces: Trace) -> dict[str, dict[str, Any]]:
    """Miss ratios of ours and theirs by policy, over all traces."""
    theirs = by_libcachesim(traces)
    requests = sum(len(trace.requests) for trace in traces)
    rows = {}
    for name in COMPARED:
        begun = time.perf_counter()
        missed = 0
        for trace in traces:
            policy = made(name, trace)
            forced = name not in NOT_FORCED
            missed += misses(policy, trace.requests, trace.tokens, trace.capacity_tokens, forced=forced)[0]
        spent = time.perf_counter() - begun
        ratios = [round(count / requests, DECIMALS) for count in (missed, theirs[name])]
        rows[name] = {
            "ours": ratios[0],
            "libcachesim": ratios[1],
            "equal": ratios[0] == ratios[1],
            "refs_per_s": round(requests / spent),
        }
    return rows


def shifting(seed: int, *, steps: int = 5000, pages: int = 64, working: int = 16, shift: int = 500) -> list[int]:
    """Requests to a working set, half of which is replaced every ``shift`` steps."""
    chance = random.Random(seed)
    ranks = zipf(working, 1.2, chance)
    current = chance.sample(range(pages), working)
    requests = []
    for step in range(steps):
        if step and step % shift == 0:
            others = [page for page in range(pages) if page not in current]
            going = chance.sample(range(working), working // 2)
            for place, page in zip(going, chance.sample(others, working // 2), strict=True):
                current[place] = page
        requests.append(current[next(ranks)])
    return requests


def fault_rates(name: str, seed: int, *, slots: int = 8) -> list[float]:
    """Of one policy on the synthetic study, by seed."""
    rates = []
    for each in range(seed, seed + SEEDS):
        requests = shifting(each)
        policy = _with_future(requests) if name == "belady" else make_policy(name)
        rates.append(misses(policy, requests, (1,) * 64, slots)[0] / len(requests))
    return rates


def _with_future(requests: Sequence[int]) -> EvictionPolicy:
    uses: dict[str, list[int]] = defaultdict(list)
    for at, number in enumerate(requests):
        uses[str(number)].append(at)
    return Belady(uses=uses)


def neural_paging(seed: int) -> dict[str, dict[str, Any]]:
    """Mean fault rates with their 95 % intervals, and whether the published value lies within."""
    rows = {}
    for name, published in PUBLISHED.items():
        rates = fault_rates(name, seed)
        mean = statistics.fmean(rates)
        margin = STUDENT_T * statistics.stdev(rates) / SEEDS**0.5
        rows[name] = {
            "ours": round(mean, 4),
            "margin": round(margin, 4),
            "published": published,
            "within": abs(mean - published) <= margin,
        }
    return rows


def run(options: Options) -> dict[str, Any]:
    """Both parts."""
    results: dict[str, Any] = {name: {} for name in COMPARED}
    for trace in zipf_traces(REQUESTS_QUICK if options.quick else REQUESTS, options.seed):
        for name, row in compare(trace).items():
            results[name][trace.name] = row
    if options.data is not None:
        traces = real_traces(options.data)
        for name, row in compare(*traces).items():
            results[name][traces[0].name] = row
    return {**results, "neural_paging": neural_paging(options.seed)}


def main() -> None:
    """Run, print the table and the JSON object."""
    options = read_options("fidelity", "Are the policies what they say?", data_welcome=DATA_WELCOME)
    results = run(options)
    rows = [
        (f"{name}, {trace}", f"{row['ours']:.5f}", _verdict(row))
        for name in COMPARED
        for trace, row in results[name].items()
    ]
    for name, row in results["neural_paging"].items():
        inside = "within" if row["within"] else "OUTSIDE"
        published = f"published {row['published']:.3f}: {inside} the 95 % interval of ± {row['margin']:.4f}"
        rows.append((f"{name}, Neural Paging's study", f"{row['ours']:.4f}", published))
    report("fidelity", options, results, rows, ["libcachesim"])


def _verdict(row: Mapping[str, Any]) -> str:
    speed = f"{row['refs_per_s'] / 1000:.0f}k references/s"
    if row["equal"]:
        return f"miss ratio, as libcachesim; {speed}"
    return f"miss ratio; libcachesim has {row['libcachesim']:.5f}: see docs/policies.md; {speed}"


if __name__ == "__main__":
    main()
