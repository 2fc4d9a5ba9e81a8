"""Ray: its version, its token, and whether the cluster that is meant answers."""

from __future__ import annotations

import os
import stat
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pagefault.cluster.console.health.contract import Asked, Verdict, ok, skipped
from pagefault.cluster.ray_token import OTHERS, token_path
from pagefault.cluster.whereabouts import answers, read_whereabouts

NEEDED = (2, 59)
"""As pyproject.toml says: shown here with the version that was found."""


def ray(asked: Asked) -> list[Verdict]:
    """Everything that can be seen without beginning a Ray, which takes seconds and memory."""
    return [_version(), _token(), _address(asked)]


def _version() -> Verdict:
    try:
        found = version("ray")
    except PackageNotFoundError:
        return Verdict("version", "failed", "Ray is not installed", "pip install pagefault")
    if tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) < NEEDED:
        return Verdict("version", "failed", f"Ray {found}", "Ray 2.59 or newer, the same on every node")
    return ok("version", f"Ray {found}")


def _token() -> Verdict:
    mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
    if mode != "token":
        advice = "unset RAY_AUTH_MODE, or RAY_AUTH_MODE=token on every node: whoever reaches Ray may run code"
        return Verdict("token", "warning", f"RAY_AUTH_MODE={mode}: anybody may join", advice)
    if os.environ.get("RAY_AUTH_TOKEN"):
        return ok("token", "on, in RAY_AUTH_TOKEN")
    path = token_path()
    try:
        state = path.stat()
    except FileNotFoundError:
        if os.environ.get("RAY_AUTH_TOKEN_PATH"):
            return Verdict("token", "failed", f"{path} is not there", "ray get-auth-token --generate, or another path")
        return ok("token", f"on; {path} is made with the first Ray that begins here")
    except OSError as error:
        return Verdict("token", "failed", f"{path}: {error.strerror}", "a file that its owner can read")
    return _judged_file(path, state)


def _judged_file(path: Path, state: os.stat_result) -> Verdict:
    if not os.access(path, os.R_OK):
        return Verdict("token", "failed", f"{path} cannot be read", f"chown it to user {os.geteuid()}")
    if not state.st_size:
        return Verdict("token", "failed", f"{path} is empty", "ray get-auth-token --generate")
    mode = stat.S_IMODE(state.st_mode)
    if mode & OTHERS and state.st_uid != os.geteuid():  # a container's secret, which somebody else mounts
        advice = "nothing in a container of its own; else: its owner takes it away from others"
        return Verdict("token", "warning", f"on, in {path}, which others may read (mode {mode:o})", advice)
    if mode & OTHERS:

        def close() -> None:
            path.chmod(0o600)

        return Verdict("token", "failed", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}", close)
    return ok("token", f"on, in {path} (mode {mode:o})")


def _address(asked: Asked) -> Verdict:
    address = asked.address or os.environ.get("RAY_ADDRESS")
    if address is None:
        place = read_whereabouts(asked.folder)
        if place is None or not answers(place.address):
            return skipped("address", "none is given: a fleet begins a Ray of its own")
        return ok("address", f"{place.address} answers: the fleet {place.name}")
    if address in ("auto", "local"):
        return skipped("address", f"{address}: Ray finds it when a fleet begins")
    if answers(address.removeprefix("ray://").removeprefix("http://")):
        return ok("address", f"{address} answers")
    return Verdict("address", "failed", f"{address}: nobody answers", "ray start --head there, or another --address")
