from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.store.embed import make_embedder
from pagefault.runtime.store.open import open_stores
from pagefault.runtime.store.space import require_space


def test_room_enough_is_no_matter(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there" / "yet", 1)


def test_too_little_room_says_how_little(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"the disk is full: [\d.]+ MB are free, \d+ MB are needed"):
        require_space(tmp_path / "fleet", 2**60)


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagefault.runtime.store.open.OPEN_BYTES", 2**60)
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        open_stores(tmp_path / "fleet", 0, make_embedder("hash"))
    assert list(tmp_path.iterdir()) == []
