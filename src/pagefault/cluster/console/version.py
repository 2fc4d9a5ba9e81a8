"""``pagefault version``."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Annotated

import typer


def version(as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Say the versions that matter when something is reported."""
    names = ("pagefault", "ray", "openai", "qdrant-edge-py", "pydantic", "msgpack", "structlog")
    versions = {"python": platform.python_version(), **{name: _version_of(name) for name in names}}
    if as_json:
        sys.stdout.write(json.dumps(versions) + "\n")
    else:
        for name, number in versions.items():
            sys.stdout.write(f"{name} {number}\n")


def _version_of(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "not installed"
