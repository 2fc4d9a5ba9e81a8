"""How fast the lab replays: our LRU over a Zipf trace, beside LRU on libcachesim's PluginCache.

Both call a policy in Python at every access of the same trace, and must miss alike.  They run in turns, at
several budgets, and are compared by the least CPU time of several rounds, as noise only adds; what our replay
takes to prepare the trace is included.
libcachesim is of the extra ``bench``, and runs in a process of its own (it is GPL).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._report import read_options, report
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.lab.files import write_oracle_general
from pagefault.policies.lab.makers.synthetic import zipf
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Budget, Trace

PAGES = 10_000
ACCESSES = 1_000_000
ALPHA = 1.0
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Of all pages: the budgets of a curve, tight to roomy, since a miss costs several times what a hit does."""


def ours(trace: Trace, capacity: int) -> tuple[float, int]:
    """CPU seconds of one replay, and its misses, first accesses included."""
    found = replay(trace, Lru(), Budget(capacity))
    return found.cpu_ns / 1e9, found.faults + len(trace.pages)


def theirs(path: Path, capacity: int, accesses: int) -> tuple[float, int]:
    """The same by libcachesim.  Raises ``SystemExit`` if it cannot run."""
    script = Path(__file__).with_name("_plugin_cache.py")
    command = [sys.executable, str(script), str(path), str(capacity), str(accesses)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"libcachesim, of the extra 'bench', did not run:\n{done.stderr}")
    answer = json.loads(done.stdout)
    return answer["seconds"], answer["misses"]


def main() -> None:
    """Measure, and print the figures."""
    options = read_options("lab", __doc__ or "")
    rounds = 3 if options.quick else 9
    trace = zipf(pages=PAGES, accesses=ACCESSES, alpha=ALPHA, seed=options.seed)
    capacities = {share: int(PAGES * share) for share in SHARES}
    ours_s: dict[float, list[float]] = {share: [] for share in SHARES}
    theirs_s: dict[float, list[float]] = {share: [] for share in SHARES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zipf.oracleGeneral"
        write_oracle_general(trace, path)
        for _ in range(rounds):
            for share, capacity in capacities.items():
                seconds, misses = ours(trace, capacity)
                plugin_seconds, plugin_misses = theirs(path, capacity, len(trace))
                assert misses == plugin_misses, f"{misses} misses, by libcachesim {plugin_misses}"
                ours_s[share].append(seconds)
                theirs_s[share].append(plugin_seconds)
    ours_least = {share: min(ours_s[share]) for share in SHARES}
    theirs_least = {share: min(theirs_s[share]) for share in SHARES}
    all_accesses = len(trace) * len(SHARES)
    results = {
        "lru_refs_per_s": round(all_accesses / sum(ours_least.values())),
        "plugin_refs_per_s": round(all_accesses / sum(theirs_least.values())),
        "ratio": round(sum(theirs_least.values()) / sum(ours_least.values()), 3),
        "ratio_by_share": {str(share): round(theirs_least[share] / ours_least[share], 3) for share in SHARES},
        "accesses": len(trace),
        "pages": PAGES,
        "rounds": rounds,
    }
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    rows = [
        (
            "lru_refs_per_s",
            f"{results['lru_refs_per_s']:,}",
            f"accesses a CPU second, budgets of {shares} of the pages",
        ),
        ("plugin_refs_per_s", f"{results['plugin_refs_per_s']:,}", "the same by LRU on libcachesim's PluginCache"),
        ("ratio", f"{results['ratio']}", "aim: 1.5"),
    ]
    report("lab", options, results, rows, ["numpy", "libcachesim"])


if __name__ == "__main__":
    main()
