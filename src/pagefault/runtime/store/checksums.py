"""Checksums of what journals keep: over the bytes, whose they are and where they belong.  The same for every driver."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.values import AgentId

__all__ = ["checked_records", "checkpoint_crc", "placement_crc", "record_crc"]


def record_crc(number: int, seq: int, data: bytes) -> int:
    """The checksum of record ``seq``, or of the newest snapshot after it, of agent ``number`` of a shard."""
    return _crc(data, number * 0x9E3779B1 + seq)


def checkpoint_crc(number: int, seq: int, data: bytes) -> int:
    """The checksum of the snapshot that stays after record ``seq``."""
    return _crc(data, number * 0x9E3779B1 + seq + 1)


def placement_crc(number: int, data: bytes) -> int:
    """The checksum of an agent's wish of where to live."""
    return _crc(data, number)


def _crc(data: object, start: int) -> int:
    # A damaged row can read back as a value of another type: that has no checksum.
    return zlib.crc32(data, start & 0xFFFFFFFF) if isinstance(data, bytes) else -1


def checked_records(
    agent: AgentId, number: int, after_seq: int, rows: Sequence[tuple[int, int, bytes]]
) -> Iterator[tuple[int, bytes]]:
    """Rows ``(seq, crc, data)`` whose numbers have no gap and whose checksums hold.  Raises ``StoreCorrupt``."""
    for expected, (seq, crc, data) in enumerate(rows, after_seq + 1):
        if seq != expected:
            raise StoreCorrupt(f"agent {agent!r}: record {expected} is missing, {seq} follows")
        if record_crc(number, seq, data) != crc:
            raise StoreCorrupt(f"agent {agent!r}: record {seq} fails its checksum")
        yield seq, data
