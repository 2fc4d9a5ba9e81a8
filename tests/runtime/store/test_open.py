"""A shard's two stores opened together: both or neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.runtime.errors import ConfigError, EmbeddingMismatch, StoreCorrupt, StoreUnavailable
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.store.open import open_stores
from pagefault.runtime.store.protocols import Append
from tests.postgres_server import running_server
from tests.runtime.store.helpers import ANN, TENANT, page, query


def test_both_stores_are_made_and_opened_again(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "data", 7, HashEmbedder())
    stores.journal.register(ANN, b"gardener")
    stores.journal.append([Append(ANN, stores.journal.activate(ANN).epoch, 1, (b"one",))])
    stores.gateway.memory(TENANT, ANN).store([page(1, "wool")])
    stores.close()
    shard = tmp_path / "data" / "shards" / "07"
    assert (shard / "journal.sqlite").is_file()
    assert (shard / "archive" / "embedding.json").is_file()
    stores = open_stores(tmp_path / "data", 7, HashEmbedder(), durability="async")
    assert stores.journal.activate(ANN).records == (b"one",)
    assert stores.gateway.memory(TENANT, ANN).search(query("wool")).total == 1  # what waited was written at closing
    stores.close()


def test_shards_are_apart_and_each_has_one_opener(tmp_path: Path) -> None:
    first, second = (open_stores(tmp_path, shard, HashEmbedder()) for shard in (0, 1))
    with pytest.raises(StoreUnavailable, match=r"shards/01: this store is open in process"):
        open_stores(tmp_path, 1, HashEmbedder())
    first.close()
    second.close()
    open_stores(tmp_path, 1, HashEmbedder()).close()


def test_an_error_leaves_nothing_new_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="durability"):
        open_stores(tmp_path / "data", 0, HashEmbedder(), durability="maybe")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="shard: found -1"):
        open_stores(tmp_path / "data", -1, HashEmbedder())
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreUnavailable, match=r"file/shards/00: cannot be made: Not a directory"):
        open_stores(tmp_path / "file", 0, HashEmbedder())
    assert (tmp_path / "file").read_text() == "no folder"


def test_an_error_leaves_what_was_there_and_both_unlocked(tmp_path: Path) -> None:
    open_stores(tmp_path, 0, HashEmbedder()).close()
    with pytest.raises(EmbeddingMismatch):
        open_stores(tmp_path, 0, HashEmbedder(32))
    (tmp_path / "shards" / "00" / "archive" / "embedding.json").write_text("?")
    with pytest.raises(StoreCorrupt):
        open_stores(tmp_path, 0, HashEmbedder())
    assert (tmp_path / "shards" / "00" / "journal.sqlite").is_file()


def test_closing_goes_on_when_the_archive_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = open_stores(tmp_path, 0, HashEmbedder())
    stores.gateway.memory(TENANT, ANN).store([page(1, "wool")])

    def full(_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(stores.archive, "upsert", full)
    stores.close()
    open_stores(tmp_path, 0, HashEmbedder()).close()


@pytest.mark.parametrize(
    ("journal", "archive", "said"),
    [
        ("oracle", "edge", "journal: found 'oracle', allowed: sqlite, or postgresql://"),
        ("mysql://ann:swordfish@h", "edge", "journal: found 'an address'"),
        ("sqlite", "qdrant", "archive: found 'qdrant', allowed: edge, or http://"),
    ],
)
def test_another_driver_is_refused_before_anything_is_made(
    tmp_path: Path, journal: str, archive: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        open_stores(tmp_path / "data", 0, HashEmbedder(), journal=journal, archive=archive)
    assert "swordfish" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_in_a_database_and_an_archive_beside_it(tmp_path: Path) -> None:
    with running_server() as server:
        stores = open_stores(tmp_path, 0, HashEmbedder(), journal=server.address())
        stores.journal.register(ANN, b"gardener")
        stores.close()
        assert not (tmp_path / "shards" / "00" / "journal.sqlite").exists()
        stores = open_stores(tmp_path, 0, HashEmbedder(), journal=server.address())
        assert stores.journal.definition(ANN) == b"gardener"
        stores.close()
