"""One opener for a store: an operating-system lock that dies with its process.

``flock`` rather than a file that says "taken": after a crash nothing is left to clean up, and a second
open in the same process is refused too.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from pagefault.runtime.errors import StoreUnavailable

__all__ = ["OpenerLock"]


class OpenerLock:
    """Held from construction to :meth:`release`, or to the end of the process.

    ``path`` is the lock file (made if absent and never removed: removing it would let two openers hold
    two files of one name).  Raises :class:`~pagefault.runtime.errors.StoreUnavailable` when another
    opener holds it, or when it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            by_whom = f"process {holder}" if holder else "another process"
            raise StoreUnavailable(
                f"{path.parent}: this store is open in {by_whom}; one process at a time may open it"
            ) from error
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError:
            # The number only makes the message above clearer; on a full disk the lock still holds.
            pass

    def release(self) -> None:
        """Let the next opener in.  Doing it twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
