"""The tables of a file that give its agents packs of functions: ``[tools.files]`` and ``[tools.http]``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pagefault.cluster.console.plays import Table
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.packs.files import files
from pagefault.runtime.functions.packs.http import http

PREFIX = "tools"


class FilesTable(Table):
    """``[tools.files]``: see :func:`~pagefault.runtime.functions.packs.files.files`.  ``folder`` is relative to the
    file that says it; a limit that is not said is the function's own."""

    folder: str
    writable: bool = False
    file_bytes_max: int | None = None
    total_bytes_max: int | None = None
    files_max: int | None = None


class HttpTable(Table):
    """``[tools.http]``: see :func:`~pagefault.runtime.functions.packs.http.http`.  ``ca_file`` is relative to the
    file that says it; a limit that is not said is the function's own."""

    allow: list[str]
    methods: list[str] | None = None
    networks: list[str] | None = None
    headers: dict[str, dict[str, str]] | None = None
    response_bytes_max: int | None = None
    timeout_ms: int | None = None
    concurrent_max: int | None = None
    requests_per_minute: int | None = None
    ca_file: str | None = None


class ToolsTable(Table):
    """``[tools]``: a table for each pack that agents of the run may be given."""

    files: FilesTable | None = None
    http: HttpTable | None = None


def make_tools(tables: ToolsTable, base: Path) -> tuple[Callable[..., Any], ...]:
    """The functions of the packs.  ``base`` is what relative paths refer to.

    Raises :class:`~pagefault.runtime.errors.ConfigError`, which names the key of the file.
    """
    made: list[Callable[..., Any]] = []
    try:
        if tables.files is not None:
            made += files(**{**_said(tables.files), "folder": base / tables.files.folder})
        if tables.http is not None:
            said = _said(tables.http)
            if tables.http.ca_file is not None:
                said["ca_file"] = str(base / tables.http.ca_file)
            made += http(**said)
    except ConfigError as error:
        raise ConfigError(f"{PREFIX}.{error.field}", error.found, error.allowed) from None
    return tuple(made)


def _said(table: BaseModel) -> dict[str, Any]:
    return table.model_dump(exclude_none=True)
