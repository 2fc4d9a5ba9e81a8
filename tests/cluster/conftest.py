"""One Ray for all cluster tests of a run: its own, in a folder of its own, without a dashboard."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagefault.cluster import _ray

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="pf-ray-", ignore_cleanup_errors=True) as folder:
        # Workers have the environment of the raylet that starts them, and not that of the driver they work for.
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{ROOT}")
            session = _ray.Session(None, cpus=4, temp_folder=Path(folder))
        yield
        session.close()
