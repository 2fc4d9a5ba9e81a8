"""One opener: the lock excludes, names its holder, and dies with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.store.lock import OpenerLock

HOLD = """
import sys
from pathlib import Path
from pagefault.runtime.store.lock import OpenerLock
lock = OpenerLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_opener_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    said = rf"{tmp_path}: this store is open in process {os.getpid()};"
    with OpenerLock(path), pytest.raises(StoreUnavailable, match=said):
        OpenerLock(path)
    again = OpenerLock(path)
    again.release()
    again.release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreUnavailable, match=f"open in process {holder.pid};"):
            OpenerLock(path)
        holder.kill()
        holder.wait()
        OpenerLock(path).release()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"absent/store\.lock: cannot be opened: No such file"):
        OpenerLock(tmp_path / "absent" / "store.lock")
