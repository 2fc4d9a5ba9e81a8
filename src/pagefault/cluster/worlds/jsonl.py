"""Files of JSON objects, one a line or in one list, whole or gzipped, read with errors that name the line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pagefault.runtime.errors import ConfigError

T = TypeVar("T")
NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


class Record:
    """One object of a file, which knows where it is from.

    Its methods raise :class:`~pagefault.runtime.errors.ConfigError` naming the file, the line and the field.
    """

    def __init__(self, value: object, where: str) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise ConfigError("--data", where, "a JSON object")
        self._value: dict[str, Any] = value

    def get(self, name: str, kind: type[T]) -> T:
        """A field of a type."""
        value = self._value.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            found = f"no field {name!r}" if name not in self._value else f"{name} = {str(value)[:60]!r}"
            raise ConfigError("--data", f"{self.where}: {found}", f"{name!r} as {NAMES[kind]}")
        return value

    def inner(self, name: str) -> Record:
        """A field that is an object."""
        return Record(self.get(name, dict), f"{self.where}, {name}")

    def items(self, name: str) -> list[Record]:
        """A field that is a list of objects."""
        return [Record(value, f"{self.where}, {name}[{place}]") for place, value in enumerate(self.get(name, list))]

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that is a list of texts."""
        values = self.get(name, list)
        if not all(isinstance(value, str) for value in values):
            raise ConfigError("--data", f"{self.where}: {name} = {str(values)[:60]}", f"{name!r} as a list of texts")
        return tuple(values)


def read_records(path: Path, what: str, limit: int | None = None) -> list[Record]:
    """The objects of a file, at most ``limit``; ``what`` says which file is meant.

    Raises :class:`~pagefault.runtime.errors.ConfigError` naming the file and the line.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            found = [each for each, _ in zip(_records(file.read(), path), range(limit or 2**62), strict=False)]
    except FileNotFoundError:
        raise ConfigError("--data", str(path), what) from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigError("--data", str(path), f"a readable file: {error}") from None
    if not found:
        raise ConfigError("--data", f"{path}: nothing", what)
    return found


def _records(text: str, path: Path) -> Iterator[Record]:
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError("--data", str(path), f"a JSON list: {error}") from None
        for place, value in enumerate(values):
            yield Record(value, f"{path}[{place}]")
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError("--data", f"{path}, line {number}", f"a JSON object: {error}") from None
            yield Record(value, f"{path}, line {number}")
