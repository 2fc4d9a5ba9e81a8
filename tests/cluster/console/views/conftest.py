"""An agent that has lived: pages that left, were looked up and came back, a block and a summary that changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pagefault.runtime.host.local import Local
from tests.cluster.console.lived import live


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Local]:
    """``ada`` is awake and has lived, ``sleeper`` was only made."""
    async with Local(tmp_path / "kept", embedder="hash") as opened:
        await live(opened)
        yield opened
