"""Runs an example as its readers run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_example(name: str, folder: Path) -> str:
    """What it prints; it must leave nothing behind in the folder it is started in."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == [], "nothing is left behind"
    assert len((ROOT / "examples" / name).read_text().splitlines()) <= 40, "an example fits a screen"
    return done.stdout
