"""A cache of one tier, driven by an eviction policy: the plainest use of the policy contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pagefault.policies.contract import EvictionPolicy, PageFacts


def misses(
    policy: EvictionPolicy, requests: Iterable[int], tokens: Sequence[int], capacity_tokens: int, *, forced: bool = True
) -> tuple[int, list[int]]:
    """How many of ``requests`` miss, and the pages in the order in which they were evicted.

    ``tokens`` gives the size of each page, which fits.  A page that misses comes in; it is protected while room
    is made for it, unless admission is not ``forced``.
    """
    pages = [PageFacts(id=str(number), kind="page", tokens=size) for number, size in enumerate(tokens)]
    resident: set[str] = set()
    used = missed = 0
    evicted: list[int] = []
    for turn, number in enumerate(requests):
        page = pages[number]
        if page.id in resident:
            policy.on_hit(page.id, turn)
            continue
        missed += 1
        policy.on_insert(page, turn)
        resident.add(page.id)
        used += page.tokens
        while used > capacity_tokens:
            for page_id in policy.victims(used - capacity_tokens, (page.id,) if forced else (), turn):
                policy.on_remove(page_id, True)
                resident.remove(page_id)
                used -= tokens[int(page_id)]
                evicted.append(int(page_id))
    return missed, evicted
