"""A folder that takes the place of another one, whenever the process may die.

The new folder is made beside the old one, under :func:`beside`.  Between the two renames of :func:`swap_in` neither
has the name; whoever opens the place next calls :func:`finish_swap` first, which ends what was begun.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["beside", "finish_swap", "swap_in"]


def beside(place: Path) -> Path:
    """Where the folder is made that is to take the place of ``place``."""
    return place.with_name(f"{place.name}.rebuilding")


def swap_in(place: Path) -> None:
    """Give the whole folder :func:`beside` a place its name; what was there is removed.  Raises ``OSError``."""
    if place.exists():
        shutil.rmtree(_old(place), ignore_errors=True)  # of an earlier swap, which had come to its last line
        _rename(place, _old(place))
    _rename(beside(place), place)
    shutil.rmtree(_old(place), ignore_errors=True)


def finish_swap(place: Path) -> None:
    """End a swap that was broken off; does nothing where none was begun.  Raises ``OSError``."""
    if _old(place).exists() and not place.exists():
        # The old folder gives its name up when the new one is whole, and not before.
        _rename(beside(place) if beside(place).exists() else _old(place), place)
    shutil.rmtree(_old(place), ignore_errors=True)


def _rename(source: Path, target: Path) -> None:
    source.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _old(place: Path) -> Path:
    return place.with_name(f"{place.name}.old")
