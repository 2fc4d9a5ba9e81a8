"""The metrics of a whole fleet: what its hosts, its stores and its budget say, with whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pagefault.cluster import _ray
from pagefault.cluster.settings import FleetSettings
from pagefault.cluster.wire import unpack
from pagefault.runtime.host.telemetry.meters import Sample, labelled
from pagefault.runtime.host.telemetry.read import budget_samples, store_samples

PATIENCE_S = 5.0
"""A host or store that answers later than this is left out: whoever looks wants to know it now."""


async def hosts_samples(hosts: Mapping[str, _ray.Handle]) -> list[Sample]:
    """What hosts have counted, with the label ``host``; and how many answered."""
    answers = await asyncio.gather(*(_asked(handle, "metrics") for handle in hosts.values()))
    told: list[Sample] = []
    for name, answer in zip(hosts, answers, strict=True):
        if isinstance(answer, bytes):
            told += labelled(unpack(answer), host=name)
    count = sum(isinstance(answer, bytes) for answer in answers)
    return [*told, {"name": "pagefault_hosts", "labels": {}, "value": count}]


async def fleet_samples(settings: FleetSettings, budget: Mapping[str, Mapping[str, float]]) -> list[Sample]:
    """What stores say, with the label ``shard``, and what was sent to endpoints and spent."""
    names = [settings.store_name(shard) for shard in range(settings.shards)]
    found = [(name, _ray.find_actor(name, settings.namespace)) for name in names]
    running = [(name, handle) for name, handle in found if handle is not None]
    answers = await asyncio.gather(*(_asked(handle, "statistics") for _, handle in running))
    told: list[Sample] = []
    for (name, _), answer in zip(running, answers, strict=True):
        if isinstance(answer, dict):
            told += labelled(store_samples(answer), shard=name)
    return [*told, *budget_samples(budget)]


async def _asked(handle: _ray.Handle, method: str) -> object:
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer: object = await _ray.call(handle, method)
            return answer
    except (TimeoutError, *_ray.ActorLost):
        return None
