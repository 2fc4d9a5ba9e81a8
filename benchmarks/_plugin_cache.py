"""LRU in Python on libcachesim's PluginCache, as a process of its own: it is GPL, so nothing of ours imports it.

Takes an oracleGeneral file and a capacity; prints one JSON object: CPU seconds and the misses.  The hooks are
those of its documentation, and it reads the trace by itself, which is its fastest way.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from typing import Any

import libcachesim


def on_hit(order: OrderedDict[int, int], request: Any) -> None:
    """The page was used last."""
    order.move_to_end(request.obj_id)


def on_miss(order: OrderedDict[int, int], request: Any) -> None:
    """The page comes in."""
    order[request.obj_id] = request.obj_size


def on_eviction(order: OrderedDict[int, int], _: Any) -> int:
    """The page that leaves; it must be gone from ``order`` then."""
    return order.popitem(last=False)[0]


def on_remove(order: OrderedDict[int, int], page: int) -> None:
    """The page left."""
    order.pop(page, None)


def main() -> None:
    """Play the trace once."""
    path, capacity, accesses = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    cache = libcachesim.PluginCache(
        cache_size=capacity,
        cache_init_hook=lambda _: OrderedDict(),
        cache_hit_hook=on_hit,
        cache_miss_hook=on_miss,
        cache_eviction_hook=on_eviction,
        cache_remove_hook=on_remove,
        cache_free_hook=lambda order: order.clear(),
        hashpower=16,
    )
    reader = libcachesim.TraceReader(path, libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    started = time.process_time()
    miss_ratio, _ = cache.process_trace(reader)
    seconds = time.process_time() - started
    json.dump({"seconds": seconds, "misses": round(miss_ratio * accesses)}, sys.stdout)


if __name__ == "__main__":
    main()
