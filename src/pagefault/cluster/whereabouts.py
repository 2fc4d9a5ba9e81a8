"""Where a fleet that runs can be found: a small file in its folder, for other processes of the machine.

The file is a hint and no lock: a fleet that was killed leaves it behind, so whoever reads it tries it out.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pagefault.runtime.errors import ConfigError, StoreUnavailable

FILE = "fleet.json"
PROBE_S = 2.0
RUNS_HERE = "the folder of a fleet that runs on this machine"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The fleet's name, the address of its Ray (and whether that wants a token), and the process that began it.

    ``started_ms``: since 1970, UTC.  ``kept``: the fleet outlives that process.
    """

    name: str
    address: str
    pid: int
    started_ms: int
    kept: bool = False
    token: bool = False

    def write(self, folder: Path) -> None:
        """Say it in the folder, in one piece.  Raises :class:`~pagefault.runtime.errors.StoreUnavailable`."""
        path = folder / FILE
        draft = path.with_name(f"{FILE}.{os.getpid()}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
            draft.replace(path)
        except OSError as error:
            raise StoreUnavailable(f"{path}: cannot be written: {error.strerror}") from error


def read_whereabouts(folder: Path) -> Whereabouts | None:
    """What the folder's file says, if there is one that can be read; whether it is true is another question.

    One that another user wrote is not read: it could have this user's token shown to whom it likes.
    """
    try:
        path = folder / FILE
        if path.stat().st_uid != os.getuid():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        name, address, pid, started_ms = (found[key] for key in ("name", "address", "pid", "started_ms"))
        kept, token = found.get("kept") is True, found.get("token") is True
        return Whereabouts(str(name), str(address), int(pid), int(started_ms), kept, token)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget_whereabouts(folder: Path, name: str) -> None:
    """That fleet has ended.  What the file says of another one stays."""
    found = read_whereabouts(folder)
    if found is not None and found.name == name:
        with suppress(OSError):  # it is stale then, and will be recognised
            (folder / FILE).unlink()


def find_whereabouts(folder: Path) -> Whereabouts | None:
    """Where the fleet of a folder runs; ``None`` when none does, as far as can be seen without asking Ray."""
    found = read_whereabouts(folder)
    return found if found is not None and answers(found.address) else None


def joinable(folder: Path, name: str | None, address: str | None) -> Whereabouts:
    """Where the fleet of a folder runs, for whoever wants to join it.

    Raises :class:`~pagefault.runtime.errors.ConfigError` when it does not, or a name or an address was given, too.
    """
    if name is not None or address is not None:
        raise ConfigError("folder", str(folder), "None beside a name or an address")
    place = find_whereabouts(folder)
    if place is None:
        raise ConfigError("folder", str(folder), RUNS_HERE)
    return place


def answers(address: str) -> bool:
    """Whether anybody listens at ``HOST:PORT``: asked before Ray is, which would try for half a minute."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S):
            return True
    except (OSError, ValueError):
        return False
