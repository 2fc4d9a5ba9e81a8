"""Packages that only the lab needs, and that are installed with an extra.

They are imported when they are first used, so that a run of agents needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

ANALYSIS = "analysis"
"""The extra that brings polars, scipy and matplotlib."""


class MissingExtra(ImportError):
    """A package of an extra is not installed; the message says how to install it."""


def analysis(module: str, *, purpose: str) -> Any:
    """The module of that name, one of the ``analysis`` extra.  Raises :class:`MissingExtra`."""
    try:
        return import_module(module)
    except ImportError as problem:
        package = module.partition(".")[0]
        raise MissingExtra(
            f"{purpose} needs {package}, which is not installed: pip install 'pagefault[{ANALYSIS}]'", name=package
        ) from problem
