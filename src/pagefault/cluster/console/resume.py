"""A run that can go on: what was asked for is kept beside what came of it.

``pagefault run --folder DIR`` writes ``DIR/run.json`` before it makes an agent; ``pagefault resume DIR`` reads it, and
does the same again.  Agents take up their lives where their journals end, and what a world tells them a second time,
under the same id, they know already: so a run that was killed at any moment ends as if nobody had killed it.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pagefault.cluster.console.plan import Plan
from pagefault.runtime.errors import ConfigError, StoreUnavailable
from pagefault.runtime.host.config import config_error

FILE_NAME = "run.json"


class RunRecord(BaseModel):
    """A run as it was asked for: the plan with what the command line changed, ``base`` (what its relative paths refer
    to), ``data``, and the agents' template with the model that was found for it."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    plan: Plan
    base: str
    data: str | None
    template: dict[str, Any]


def keep_run(folder: Path, record: RunRecord) -> None:
    """Write a record, all or nothing, for this user only.

    Raises :class:`~pagefault.runtime.errors.StoreUnavailable` when that cannot be done.
    """
    path = folder / FILE_NAME
    making = path.with_name(f"{FILE_NAME}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(record.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            making.unlink()
        raise StoreUnavailable(f"{path}: cannot be written: {error.strerror}") from error


def read_run(folder: Path) -> RunRecord:
    """The record of a folder.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    path = folder / FILE_NAME
    try:
        return RunRecord.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        allowed = f"the folder of a run: one with a {FILE_NAME}, which `pagefault run --folder` writes"
        raise ConfigError("FOLDER", str(folder), allowed) from None
    except OSError as error:
        raise ConfigError("FOLDER", str(folder), f"a folder that can be read: {error.strerror}") from None
    except ValidationError as error:
        raise config_error(error, FILE_NAME, RunRecord) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(str(path), f"{error}", "JSON as `pagefault run` wrote it") from None
