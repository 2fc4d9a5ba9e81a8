"""Miss ratios by libcachesim, as a process of its own: it is GPL, so nothing of ours imports it.

Reads one JSON object from standard input (``policies``: names of its classes with their arguments; ``traces``:
list of ``pages``, a file of one little-endian u32 a request, ``oracle``, the same trace as oracleGeneral, ``sizes``:
list, ``capacity``: bytes), prints one JSON object: name -> misses over all traces, each of which begins with an
empty cache.
"""

from __future__ import annotations

import json
import sys
from array import array
from pathlib import Path
from typing import Any

import libcachesim

WITH_FUTURE = "Belady"


def misses(cache: Any, requests: array[int], sizes: list[int]) -> int:
    """Requests that ``cache`` misses."""
    made = [libcachesim.Request(obj_id=number + 1, obj_size=size) for number, size in enumerate(sizes)]
    get = cache.get
    return sum(1 for number in requests if not get(made[number]))


def misses_with_future(cache: Any, oracle: str, requests: int) -> int:
    """The same for a cache that needs the future, which its own reader takes from the file."""
    reader = libcachesim.TraceReader(oracle, libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    ratio: float = cache.process_trace(reader)[0]
    return round(ratio * requests)


def main() -> None:
    """Run every policy over the trace."""
    asked = json.load(sys.stdin)
    answer = dict.fromkeys(asked["policies"], 0)
    for trace in asked["traces"]:
        requests = array("I")
        requests.frombytes(Path(trace["pages"]).read_bytes())
        hashpower = max(10, len(trace["sizes"]).bit_length() + 1)
        for name, (kind, arguments) in asked["policies"].items():
            cache = getattr(libcachesim, kind)(trace["capacity"], hashpower=hashpower, **arguments)
            if kind == WITH_FUTURE:
                answer[name] += misses_with_future(cache, trace["oracle"], len(requests))
            else:
                answer[name] += misses(cache, requests, trace["sizes"])
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
