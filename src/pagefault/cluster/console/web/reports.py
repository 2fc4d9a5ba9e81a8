"""Reports of the lab, as files: the page lists them, and shows each as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pagefault.runtime.errors import ConfigError

KINDS = {".html": "text/html; charset=utf-8", ".png": "image/png"}
REPORTS_MAX = 500
DEPTH_MAX = 4
FILE_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """A file below the folder: ``path`` is relative to it, with slashes."""

    path: str
    kind: str
    size_bytes: int
    changed_ms: int


class Reports:
    """The reports in a folder of results; looked for anew each time.

    Raises :class:`~pagefault.runtime.errors.ConfigError` if there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError("--lab", str(folder), "a folder with results of `pagefault lab sweep` and `lab report`")
        self._folder = folder.resolve()

    def found(self) -> list[Report]:
        """The newest first, at most ``REPORTS_MAX``."""
        reports = []
        for path in self._files(self._folder, 0):
            state = path.stat()
            relative = path.relative_to(self._folder).as_posix()
            changed_ms = state.st_mtime_ns // 1_000_000
            reports.append(Report(relative, path.suffix.removeprefix("."), state.st_size, changed_ms))
        reports.sort(key=lambda each: (each.kind != "html", -each.changed_ms, each.path))
        return reports[:REPORTS_MAX]

    def _files(self, folder: Path, depth: int) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.is_symlink() or path.name.startswith("."):
                continue
            if path.is_dir() and depth < DEPTH_MAX:
                yield from self._files(path, depth + 1)
            elif path.suffix in KINDS and path.is_file() and path.stat().st_size <= FILE_MAX_BYTES:
                yield path

    def read(self, relative: str) -> tuple[bytes, str] | None:
        """A report and its media type; ``None`` for what is not listed."""
        for path in self._files(self._folder, 0):
            if path.relative_to(self._folder).as_posix() == relative:
                return path.read_bytes(), KINDS[path.suffix]
        return None
