"""Where two states differ first, in words."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass
from typing import Any

CONTEXT_CHARS = 30
SHOWN_CHARS = 120


def first_difference(recorded: Any, replayed: Any, path: str = "state") -> str:
    """The place of the first difference and what is there on both sides; empty if there is none.

    States are made of maps, lists (a tuple is as good as one), dataclasses and plain values.
    """
    one, other = _parts(recorded), _parts(replayed)
    if one is None or other is None or isinstance(recorded, dict) is not isinstance(replayed, dict):
        return "" if recorded == replayed else _apart(recorded, replayed, path)
    for place in {**one, **other}:
        if place not in one or place not in other:
            return f"{path}{place} is only in what was {'recorded' if place in one else 'replayed'}"
        if found := first_difference(one[place], other[place], path + place):
            return found
    return ""


def _parts(value: Any) -> dict[str, Any] | None:
    """The items of a value by their places, in order; ``None`` for one that has none."""
    if isinstance(value, dict):
        return {f".{key}": value[key] for key in sorted(value)}
    if isinstance(value, list | tuple):
        return {f"[{place}]": item for place, item in enumerate(value)}
    if is_dataclass(value):
        return {f".{field.name}": getattr(value, field.name) for field in fields(value)}
    return None


def _apart(recorded: Any, replayed: Any, path: str) -> str:
    if isinstance(recorded, str) and isinstance(replayed, str):  # long ones: from a little before where they part
        common = os.path.commonprefix([recorded, replayed])  # noqa: RUF071 - characters are what is meant
        begin = max(0, len(common) - CONTEXT_CHARS)
        recorded, replayed = recorded[begin:], replayed[begin:]
    found = f"{recorded!r:.{SHOWN_CHARS}} and replayed as {replayed!r:.{SHOWN_CHARS}}"
    return f"{path} was recorded as {found}"
