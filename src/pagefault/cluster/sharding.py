"""Which shard keeps an agent: for ever the same, so it may never change."""

from __future__ import annotations

import zlib


def shard_of(agent: str, shards: int) -> int:
    """A number below ``shards``, from the agent's name alone."""
    return zlib.crc32(agent.encode()) % shards
