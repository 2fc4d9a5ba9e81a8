"""A real PostgreSQL server for tests: its own data in a folder of its own, on a socket that nobody else finds."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

PASSWORD = "correct horse battery staple"
START_TIMEOUT_S = 30.0
POLL_S = 0.02
UNPRIVILEGED = ("postgres", "nobody")


class PostgresServer:
    """``folder`` must not exist.  As root, the server runs as another user: it refuses to be root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._binaries = find_binaries()
        self._as_user = _unprivileged() if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o755)
        password = folder / "password"
        password.write_text(PASSWORD + "\n")
        if self._as_user is not None:
            for path in (folder, password):
                os.chown(path, self._as_user, -1)
        self._run(
            "initdb", "-D", str(self._data), "-U", "pagefault", "--auth=scram-sha-256", f"--pwfile={password}",
            "--encoding=UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip

    def address(self, password: str = PASSWORD) -> str:
        """Of its database ``postgres``."""
        quoted = password.replace(" ", "%20")
        return f"postgresql://pagefault:{quoted}@/postgres?host={self._folder}"

    def start(self, *more: str) -> None:
        """Start, or start again with ``more`` settings, and return when it answers."""
        given = ("listen_addresses=", f"unix_socket_directories={self._folder}", "shared_buffers=16MB", *more)
        settings = [part for each in given for part in ("-c", each)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *settings],
                stdout=log, stderr=log, cwd="/", user=self._as_user, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                psycopg.connect(self.address()).close()
            except psycopg.OperationalError:
                time.sleep(POLL_S)
            else:
                return
        raise AssertionError((self._folder / "log").read_text()[-2000:])

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def hang_up(self) -> None:
        """End all connections but this one."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pagefault'"
        assert self.execute(f"{others} AND pid <> pg_backend_pid()") > 0

    def kill(self) -> None:
        """SIGKILL to the server and all its children: as a power cut would end it, but for the disk's cache."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            for child in _children(process.pid):  # its backends have process groups of their own
                os.kill(child, signal.SIGKILL)
            process.wait()

    def execute(self, statement: str, *, schema: str = "public") -> int:
        """Do something behind a journal's back; returns how many rows it was done to."""
        with psycopg.connect(self.address(), autocommit=True, options=f"-c search_path={schema}") as connection:
            return connection.execute(statement.encode()).rowcount

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / name, *arguments],
            check=True,
            capture_output=True,
            user=self._as_user,
            cwd="/",
            timeout=60,
        )  # fmt: skip


def _children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(folder.name))
    return found


def _unprivileged() -> int:
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return pytest.skip("PostgreSQL refuses to run as root, and there is no other user")


def find_binaries() -> Path:
    """The folder with ``initdb`` and ``postgres``; skips the test where there is none."""
    for command in ("initdb", "postgres"):
        if (found := shutil.which(command)) is not None:
            folder = Path(found).resolve().parent
            if (folder / "postgres").exists() and (folder / "initdb").exists():
                return folder
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    return pytest.skip("no PostgreSQL on this machine: initdb and postgres are not on PATH")


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server that is gone afterwards, with all its data."""
    # Not in pytest's folder: its name may be too long for a socket, and others may not enter it.
    folder = Path(tempfile.mkdtemp(prefix="pagefault-postgres-"))
    folder.chmod(0o755)
    server: PostgresServer | None = None
    try:
        server = PostgresServer(folder / "server")
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
