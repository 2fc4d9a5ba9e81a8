"""The machine: open files, memory, the folder with its disk, and what its logs take."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pagefault.cluster.console.health.contract import Asked, Verdict, ok
from pagefault.cluster.whereabouts import FILE, answers, read_whereabouts
from pagefault.runtime.store.space import OPEN_BYTES

FILES_NEEDED, FILES_WANTED = 256, 4_096
MEMORY_WANTED_BYTES = 2**30
SHARED_WANTED_BYTES = 128 * 2**20
FREE_WANTED_BYTES = 2**30
LOGS_BYTES_MAX = 5 * 2**30
LOGS_FILES_MAX = 20_000
SYNC_MS_MAX = 50.0
SYNCS = 5
OTHERS = 0o022
NETWORKED = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3"}
)
"""File systems on which SQLite's log is not safe (https://www.sqlite.org/wal.html)."""
VOLATILE = frozenset({"tmpfs", "ramfs"})
MOUNTS = Path("/proc/self/mountinfo")
HELD = Path("/proc/locks")
MEMORY = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")
SHARED = Path("/dev/shm")  # noqa: S108 - it is looked at, and nothing is put there


def limits(_asked: Asked) -> list[Verdict]:
    """Open files, memory, and the shared memory that Ray's object store is made in."""
    return [_open_files(), memory(), _shared_memory()]


def _open_files() -> Verdict:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen = f"{soft:,} may be open ({hard:,} at most)"
    if soft >= FILES_WANTED:
        return ok("open files", seen)
    advice = f"ulimit -n {FILES_WANTED}, or LimitNOFILE= of the service"
    return Verdict("open files", "failed" if soft < FILES_NEEDED else "warning", seen, advice)


def memory(information: Path = MEMORY, group: Path = CONTROL_GROUP) -> Verdict:
    """What is left to this process: of the machine, or of the container whose limit is in ``group`` (cgroup v2)."""
    fields = dict(line.split(":", 1) for line in information.read_text(encoding="ascii").splitlines() if ":" in line)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    try:
        limit, used = ((group / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
    except OSError:  # no container, or an older kernel
        limit, used = "max", "0"
    if limit != "max":
        available = min(available, int(limit) - int(used))
    seen = f"{available / 2**30:.1f} GiB are available"
    if available < MEMORY_WANTED_BYTES:
        return Verdict("memory", "warning", seen, "1 GiB or more: Ray alone takes half of that")
    return ok("memory", seen)


def _shared_memory(shared: Path = SHARED) -> Verdict:
    room = shutil.disk_usage(shared).total
    seen = f"{room / 2**20:,.0f} MiB in {shared}"
    if room < SHARED_WANTED_BYTES:
        advice = "more shared memory: --shm-size 1g, shm_size, or an emptyDir with medium Memory"
        return Verdict("shared memory", "warning", seen, advice)
    return ok("shared memory", seen)


def folder(asked: Asked) -> list[Verdict]:
    """Whether the fleet's folder can be written, by us alone, has room, and is on a disk that keeps what it takes."""
    place = asked.folder.absolute()
    there = _nearest(place)
    verdicts = [_writable(place, there)]
    if verdicts[0].status == "failed":
        return verdicts
    verdicts.append(_owner(place, there))
    verdicts.append(_room(there))
    kind = file_system(there)
    if kind in NETWORKED:
        advice = "a disk of this machine, or journal = postgresql://...: SQLite's log is not safe on a network"
        verdicts.append(Verdict("file system", "failed", kind, advice))
    elif kind in VOLATILE:
        verdicts.append(Verdict("file system", "warning", f"{kind}: gone with the machine's power", "a real disk"))
    else:
        verdicts.append(ok("file system", kind))
    verdicts.append(_sync(there))
    return [*verdicts, *_locks(place), *_whereabouts(place)]


def _nearest(place: Path) -> Path:
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _writable(place: Path, there: Path) -> Verdict:
    if not there.is_dir():
        return Verdict("folder", "failed", f"{there} is no folder", "another --folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return Verdict("folder", "failed", f"{there} cannot be written", "another --folder, or chown")
    if there != place:
        return ok("folder", f"{place} is not there yet, and can be made")
    return ok("folder", f"{place} can be written")


def _owner(place: Path, there: Path) -> Verdict:
    state = there.stat()
    if there != place:
        return ok("owner", "made by whoever runs the fleet")
    if state.st_uid != os.geteuid():
        advice = f"run as the user {state.st_uid}, or chown -R {os.geteuid()} {place}"
        return Verdict("owner", "warning", f"user {state.st_uid}, and this is user {os.geteuid()}", advice)
    if state.st_mode & OTHERS:
        mode = state.st_mode & 0o777

        def close() -> None:
            place.chmod(mode & ~OTHERS)

        return Verdict("owner", "warning", f"others may write there (mode {mode:o})", f"chmod go-w {place}", close)
    return ok("owner", f"mode {state.st_mode & 0o777:o}")


def _room(there: Path) -> Verdict:
    free = shutil.disk_usage(there).free
    seen = f"{free / 2**30:.1f} GiB are free"
    if free < OPEN_BYTES:
        return Verdict("disk", "failed", seen, f"{OPEN_BYTES // 2**20} MiB for each shard, and room to grow")
    if free < FREE_WANTED_BYTES:
        return Verdict("disk", "warning", seen, "room to grow: journals take some 1 KB a record")
    return ok("disk", seen)


def file_system(place: Path, mounts: Path = MOUNTS) -> str:
    """The kind of file system that holds a path, as the kernel calls it; ``unknown`` where it does not say."""
    found, depth = "unknown", -1
    real = place.resolve()
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        before, _, after = line.partition(" - ")
        mounted = Path(before.split()[4].replace("\\040", " "))
        if real.is_relative_to(mounted) and len(mounted.parts) >= depth:
            found, depth = after.split()[0], len(mounted.parts)
    return found


def _sync(there: Path) -> Verdict:
    """How long it takes until the disk has a record: what every acknowledged message waits for."""
    times_ms = []
    with tempfile.TemporaryFile(dir=there) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times_ms.append((time.perf_counter() - began) * 1000)
    middle = statistics.median(times_ms)
    seen = f"{middle:.1f} ms a sync (median of {SYNCS})"
    if middle > SYNC_MS_MAX:
        return Verdict("sync", "warning", seen, "a faster disk, or durability = async where its last 0.1 s may be lost")
    return ok("sync", seen)


def _locks(place: Path) -> Iterator[Verdict]:
    """Looked up, and not tried out: whoever holds a lock for a moment keeps a fleet from starting in it."""
    holders = lock_holders(HELD)
    held = [
        (file, holders[file.stat().st_ino]) for file in place.glob("shards/*/*.lock") if file.stat().st_ino in holders
    ]
    if not held:
        yield ok("locks", "nobody has a store open")
    elif read_whereabouts(place) is not None:
        yield ok("locks", f"{len(held)} held, by the fleet that runs here")
    else:
        file, process = min(held)
        advice = "wait for that process, or end it: one at a time may open a store"
        yield Verdict("locks", "warning", f"{file.parent} is open in process {process}", advice)


def lock_holders(listing: Path) -> dict[int, int]:
    """Which process holds a lock on which file (by its inode), as the kernel lists them; empty where it does not."""
    try:
        rows = [line.split() for line in listing.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {int(row[5].rpartition(":")[2]): int(row[4]) for row in rows if len(row) >= 6 and row[1] == "FLOCK"}


def _whereabouts(place: Path) -> Iterator[Verdict]:
    found = read_whereabouts(place)
    if found is None:
        yield ok("fleet", "none runs here")
    elif answers(found.address):
        yield ok("fleet", f"{found.name} runs at {found.address}")
    else:
        advice = f"nothing, or rm {place / FILE}: the next fleet writes it anew"
        seen = f"{FILE} names {found.name} at {found.address}, where nobody answers: it was killed"
        yield Verdict("fleet", "warning", seen, advice, (place / FILE).unlink)


def logs(_asked: Asked) -> list[Verdict]:
    """What Ray has written on this machine: it keeps a folder for each time that it was begun."""
    place = Path(tempfile.gettempdir()) / f"pagefault-ray-{os.getuid()}"
    if not place.exists():
        return [ok("logs", "none yet; our own go to standard error")]
    if place.stat().st_uid != os.getuid():
        return [Verdict("logs", "failed", f"{place} belongs to somebody else", "remove it, or set TMPDIR")]
    total, count = 0, 0
    for root, _, names in os.walk(place):
        for name in names:
            count += 1
            if count > LOGS_FILES_MAX:
                break
            total += _size(Path(root) / name)
    seen = f"{total / 2**20:,.0f} MiB in {place}"
    if total > LOGS_BYTES_MAX or count > LOGS_FILES_MAX:
        return [Verdict("logs", "warning", seen, f"while no fleet runs: rm -r {place}")]
    return [ok("logs", seen)]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # it was removed meanwhile
        return 0
