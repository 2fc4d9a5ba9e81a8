"""Functions on the files of one folder, and of nothing outside of it.

Paths are walked one name at a time, each opened below the one before (``openat``), and never through a symbolic link,
so it makes no difference what somebody puts there meanwhile: there is no moment between looking and opening.  Only
plain files with one name are opened: a hard link may be that of a file outside.
"""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions.decorator import function

DEPTH_MAX = 16
NAME_BYTES_MAX = 200
READ_CHARS = 16_000
LISTED_MAX = 500
FOUND_MAX = 50
LINE_CHARS = 200
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = ".pagefault-"
_WRITING = threading.Lock()  # quotas are counted and spent by one at a time


@dataclass(frozen=True, slots=True)
class _Box:
    """A folder with its limits; ``files_max`` counts folders, too."""

    folder: str
    file_bytes_max: int
    total_bytes_max: int
    files_max: int

    @contextmanager
    def open_folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder below the root."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if make:
                    _make_folder(part, descriptor)
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, parts: tuple[str, ...]) -> str:
        """The text of a file."""
        with self.open_folder(parts[:-1]) as folder:
            return self._read_in(folder, parts[-1])

    def _read_in(self, folder: int, name: str) -> str:
        # O_NONBLOCK: a named pipe must not hold up whoever opens it.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            _check_plain(os.fstat(descriptor))
            data = file.read(self.file_bytes_max + 1)
        if len(data) > self.file_bytes_max:
            raise UsageError(f"the file has more than {self.file_bytes_max} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise UsageError("the file is no text: it holds bytes that are not UTF-8")
        return text

    def write(self, parts: tuple[str, ...], text: str, mode: str) -> int:
        """Write a file whole, or leave it as it was; returns its size in bytes."""
        with _WRITING:
            old = self._present(parts)
            if mode == "create" and old is not None:
                raise UsageError("there is such a file already; use mode replace or append")
            data = ((old or "") + text if mode == "append" else text).encode(errors="replace")
            if len(data) > self.file_bytes_max:
                raise UsageError(f"the file would have {len(data)} bytes, allowed: {self.file_bytes_max}")
            count, total_bytes = self._used()
            if count + len(parts) > self.files_max:
                raise UsageError(f"there are {count} files and folders, allowed: {self.files_max}")
            if total_bytes + len(data) > self.total_bytes_max:
                raise UsageError(f"{total_bytes} bytes are used, allowed: {self.total_bytes_max}, this one included")
            with self.open_folder(parts[:-1], make=True) as folder:
                _replace(folder, parts[-1], data)
        return len(data)

    def _present(self, parts: tuple[str, ...]) -> str | None:
        try:
            return self.read(parts)
        except FileNotFoundError:
            return None

    def _used(self) -> tuple[int, int]:
        """How many files and folders there are, and their bytes; as many as are allowed are looked at."""
        count = total_bytes = 0
        with self.open_folder(()) as root:
            for _, folders, files, descriptor in os.fwalk(dir_fd=root):
                count += len(folders) + len(files)
                total_bytes += sum(_size(name, descriptor) for name in files)
                if count > self.files_max:
                    break
        return count, total_bytes

    def walk(self, parts: tuple[str, ...]) -> Iterator[tuple[str, int, str]]:
        """Each file below a folder, in order: its path, and its folder's descriptor and name in that."""
        with self.open_folder(parts) as start:
            for path, folders, files, descriptor in os.fwalk(dir_fd=start):
                folders.sort()
                for name in sorted(files):
                    inside = path.removeprefix(".").strip("/")
                    yield "/".join((*parts, *filter(None, (inside, name)))), descriptor, name

    def found(self, wanted: str, parts: tuple[str, ...]) -> Iterator[str]:
        """Lines that have some words, with the file and number of each."""
        for path, folder, name in self.walk(parts):
            try:
                text = self._read_in(folder, name)
            except (OSError, UsageError):
                continue  # what cannot be read, such as a picture, has no lines
            for number, line in enumerate(text.splitlines(), 1):
                if wanted in line.casefold():
                    yield f"{path}:{number}: {line[:LINE_CHARS]}"


def files(
    folder: str | os.PathLike[str],
    *,
    writable: bool = False,
    file_bytes_max: int = 1_000_000,
    total_bytes_max: int = 100_000_000,
    files_max: int = 10_000,
) -> tuple[Callable[..., Any], ...]:
    """Functions on the files of one folder, to be given to a fleet: ``Local(functions=files("notes"))``.

    They are ``files_list``, ``files_read`` and ``files_search``, and ``files_write`` if ``writable``.  All of them see
    untrusted text.  On Ray each host has its own disk: the folder should be one that all share.

    Raises:
        ConfigError: the folder is not there, or a limit is not above 0.
    """
    limits = {"file_bytes_max": file_bytes_max, "total_bytes_max": total_bytes_max, "files_max": files_max}
    for name, limit in limits.items():
        if type(limit) is not int or limit < 1:
            raise ConfigError(f"files.{name}", limit, "a whole number above 0")
    if not Path(folder).is_dir():
        raise ConfigError("files.folder", str(folder), "a folder that is there")
    box = _Box(str(Path(folder).resolve()), **limits)

    @function(effect="pure", capabilities=("sees_untrusted",))
    def files_list(path: str = "") -> str:
        """List a folder.

        Args:
            path: The folder, such as notes/2024; empty for the uppermost one.
        """
        with _told(path), box.open_folder(_parts(path, may_be_empty=True)) as descriptor:
            there = os.listdir(descriptor)  # noqa: PTH208  a descriptor has no path
            names = sorted(name for name in there if not name.startswith(_TEMPORARY))
            lines = [_line(name, descriptor) for name in names[:LISTED_MAX]]
        more = [f"and {len(names) - LISTED_MAX} more"] if len(names) > LISTED_MAX else []
        return "\n".join([*lines, *more]) or "(empty)"

    @function(effect="pure", capabilities=("sees_untrusted",))
    def files_read(path: str, start: int = 0) -> str:
        """Read a text file, a part at a time.

        Args:
            path: The file, such as notes/today.txt.
            start: The character to begin with.
        """
        with _told(path):
            text = box.read(_parts(path))
        begin = max(0, start)
        part = text[begin : begin + READ_CHARS]
        left = len(text) - begin - len(part)
        return f"{part}\n[{left} more characters; read on with start={begin + len(part)}]" if left > 0 else part

    @function(effect="pure", capabilities=("sees_untrusted",))
    def files_search(words: str, path: str = "") -> str:
        """Find the lines of text files that contain some words, ignoring case.

        Args:
            words: What to look for, as it is written.
            path: The folder to look in; empty for all.
        """
        if not words.strip():
            raise UsageError("words: found nothing, allowed: 1 character or more")
        with _told(path):
            found = [line for line, _ in zip(box.found(words.casefold(), _parts(path, may_be_empty=True)),
                                             range(FOUND_MAX), strict=False)]  # fmt: skip
        return "\n".join(found) or "(nothing found)"

    reading = (files_list, files_read, files_search)
    return (*reading, _writing(box)) if writable else reading


def _writing(box: _Box) -> Callable[..., Any]:
    @function(effect="once", capabilities=("sees_untrusted",))
    def files_write(path: str, text: str, mode: Literal["create", "replace", "append"] = "create") -> str:
        """Write a text file; folders on the way to it are made.

        Args:
            path: The file, such as notes/today.txt.
            text: What to write.
            mode: What to do if there is such a file.
        """
        with _told(path):
            size_bytes = box.write(_parts(path), text, mode)
        return f"{path} has {size_bytes} bytes now."

    return files_write


def _parts(path: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
    """The names of a path.  Raises :class:`~pagefault.runtime.errors.UsageError`."""
    allowed = f"names with / between them, such as notes/today.txt, at most {DEPTH_MAX}, each of printable characters"
    parts = tuple(path.split("/")) if path else ()
    for part in parts:
        wrong = part in ("", ".", "..") or part.startswith(_TEMPORARY) or not part.isprintable() or "\\" in part
        if wrong or len(part.encode(errors="replace")) > NAME_BYTES_MAX:
            raise UsageError(f"path: found {path[:LINE_CHARS]!r}, allowed: {allowed}")
    if len(parts) > DEPTH_MAX or (not parts and not may_be_empty):
        raise UsageError(f"path: found {path[:LINE_CHARS]!r}, allowed: {allowed}")
    return parts


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What the system says about a path, without saying where the folder is."""
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"path: found {path!r}, allowed: a file or folder that is there") from None
    except OSError as error:
        raise UsageError(f"path: {path!r} cannot be used: {error.strerror}") from None


def _check_plain(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise UsageError("this is not a plain file with one name")


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return


def _replace(folder: int, name: str, data: bytes) -> None:
    fresh = f"{_TEMPORARY}{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(fresh, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        _forget(fresh, folder)
        raise


def _forget(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _size(name: str, folder: int) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0  # somebody has taken it away meanwhile


def _line(name: str, folder: int) -> str:
    shown = "".join(each if each.isprintable() else "?" for each in name.encode(errors="replace").decode())
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return f"{shown} (gone)"
    if stat.S_ISDIR(found.st_mode):
        return f"{shown}/"
    return f"{shown} ({found.st_size} bytes)" if stat.S_ISREG(found.st_mode) else f"{shown} (cannot be read)"
