"""One Ray for all cluster tests of a run: its own, in a folder of its own, without a dashboard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagefault.cluster import _ray


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="pf-ray-", ignore_cleanup_errors=True) as folder:
        session = _ray.Session(None, cpus=4, temp_folder=Path(folder))
        yield
        session.close()
