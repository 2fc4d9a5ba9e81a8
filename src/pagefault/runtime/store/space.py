"""Free space on the disk of a store.

The archive's engine maps files that grow into memory: where the disk has no room for a page of such a
file, the kernel ends the process (SIGBUS) instead of failing a call.  So we look before we write, and stop
while there is still room for what is under way.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from pagefault.runtime.errors import StoreUnavailable

__all__ = ["OPEN_BYTES", "WRITE_BYTES", "require_space"]

OPEN_BYTES: Final = 64 * 2**20
"""A shard takes some 20 MB when it is new and its indexes are made."""
WRITE_BYTES: Final = 32 * 2**20
"""The largest batch of pages and what the engine writes beside it."""


def require_space(path: Path, needed_bytes: int) -> None:
    """Raise :class:`~pagefault.runtime.errors.StoreUnavailable` when the disk of ``path`` has less room.

    ``path`` need not exist: its nearest folder that does decides.
    """
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free_bytes = shutil.disk_usage(place).free
    except OSError as error:
        raise StoreUnavailable(f"{path}: its disk cannot be asked for room: {error.strerror}") from error
    if free_bytes < needed_bytes:
        raise StoreUnavailable(
            f"{path}: the disk is full: {free_bytes / 2**20:.1f} MB are free, {needed_bytes / 2**20:.0f} MB are needed"
        )
