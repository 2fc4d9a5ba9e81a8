from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from pagefault.cluster.console.health.contract import Asked
from pagefault.cluster.console.health.machine import (
    HELD,
    LOGS_BYTES_MAX,
    file_system,
    folder,
    lock_holders,
    logs,
    memory,
)
from pagefault.cluster.whereabouts import FILE, Whereabouts

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv/our\\040data rw,relatime shared:9 - nfs4 server:/data rw
31 30 0:41 / /srv/our\\040data/fast rw,relatime - tmpfs tmpfs rw
"""


def test_the_innermost_mount_says_which_file_system_it_is(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system(Path("/srv/other"), mounts) == "ext4"
    assert file_system(Path("/srv/our data/fleet"), mounts) == "nfs4"
    assert file_system(Path("/srv/our data/fast/fleet"), mounts) == "tmpfs"
    assert file_system(Path("/srv"), tmp_path / "absent") == "unknown"


def test_a_lock_is_seen_without_being_touched(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite.lock"
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert lock_holders(HELD)[file.stat().st_ino] == os.getpid()
    assert file.stat().st_ino not in lock_holders(HELD)
    assert lock_holders(tmp_path / "absent") == {}


def verdict(place: Path, name: str) -> tuple[str, str]:
    (found,) = [each for each in folder(Asked(place)) if each.name == name]
    return found.status, found.seen + found.advice


def test_a_folder_that_others_may_write_is_closed_by_its_repair(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (found,) = [each for each in folder(Asked(tmp_path)) if each.name == "owner"]
    assert (found.status, found.advice) == ("warning", f"chmod go-w {tmp_path}")
    assert found.repair is not None
    found.repair()
    assert verdict(tmp_path, "owner") == ("ok", "mode 755")


def test_a_fleet_that_was_killed_is_told_from_one_that_runs(tmp_path: Path) -> None:
    assert verdict(tmp_path, "fleet")[0] == "ok"
    Whereabouts("town", "127.0.0.1:1", os.getpid(), 0).write(tmp_path)
    (found,) = [each for each in folder(Asked(tmp_path)) if each.name == "fleet"]
    assert found.status == "warning"
    assert "it was killed" in found.seen
    assert found.repair is not None
    found.repair()
    assert not (tmp_path / FILE).exists()


def test_memory_is_that_of_the_container_where_there_is_one(tmp_path: Path) -> None:
    information, limit, used = tmp_path / "meminfo", tmp_path / "memory.max", tmp_path / "memory.current"
    information.write_text("MemTotal: 9000000 kB\nMemAvailable: 8388608 kB\nHugePages: 0\n")
    assert memory(information, tmp_path).status == "ok"
    limit.write_text("max\n")
    used.write_text("0\n")
    assert memory(information, tmp_path).seen == "8.0 GiB are available"
    limit.write_text(f"{2**30}\n")
    used.write_text(f"{2**29}\n")
    found = memory(information, tmp_path)
    assert (found.status, found.seen) == ("warning", "0.5 GiB are available")


def test_logs_of_somebody_else_or_of_years_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert logs(Asked(tmp_path))[0].seen.startswith("none yet")
    place = tmp_path / f"pagefault-ray-{os.getuid()}" / "session"
    place.mkdir(parents=True)
    with (place / "log").open("wb") as file:
        file.truncate(2 * 2**20)
    assert logs(Asked(tmp_path))[0].seen.startswith("2 MiB in ")
    with (place / "log").open("wb") as file:
        file.truncate(LOGS_BYTES_MAX + 1)
    assert logs(Asked(tmp_path))[0].status == "warning"
