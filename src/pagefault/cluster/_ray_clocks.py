"""What time a Ray cluster's nodes say it is: ``python -m pagefault.cluster._ray_clocks ADDRESS SECONDS``.

A process of its own, which whoever wants to know may end: joining a cluster that does not answer takes Ray long, and
cannot be broken off.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final, TypeAlias, cast

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pagefault.cluster import _ray
from pagefault.cluster.settings import short_node

ROUNDS: Final = 5
"""The first waits for a process to begin, and any may be held up: the quickest of them counts."""
SHOWS_TOKEN: Final = "--token"  # noqa: S105 - it says whether one is shown, and is none

Reading: TypeAlias = tuple[float, float, float]
"""When a node was asked by our clock, what its own said, when its answer was here by ours: seconds since 1970."""


def _clock_s() -> float:
    return time.time()


async def read_clocks(patience_s: float) -> dict[str, list[Reading]]:
    """Readings of every node that is alive, by address and the beginning of its id; none where it did not answer.
    ``patience_s`` is for all rounds of a node together."""
    nodes = _ray.nodes()
    found = await asyncio.gather(*(_read(node.id, patience_s) for node in nodes))
    names = [f"{node.address} ({short_node(node.id)})" for node in nodes]
    return dict(zip(names, found, strict=True))


async def _read(node: str, patience_s: float) -> list[Reading]:
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    task = cast("Any", ray.remote)(_clock_s).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)
    readings: list[Reading] = []
    try:
        async with asyncio.timeout(patience_s):
            for _ in range(ROUNDS):
                asked_s = time.time()
                said_s = await task.remote()
                readings.append((asked_s, said_s, time.time()))
    except (TimeoutError, RayError):  # what it has said by then may do
        pass
    return readings


def main(address: str, patience_s: str, *options: str) -> None:
    """Print the readings as JSON."""
    session = _ray.Session(address, shows_token=SHOWS_TOKEN in options)
    try:
        sys.stdout.write(json.dumps(asyncio.run(read_clocks(float(patience_s)))) + "\n")
    finally:
        session.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
