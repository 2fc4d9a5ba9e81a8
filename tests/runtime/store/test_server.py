"""The archive in a Qdrant server where it is not as the embedded one: addresses, collections, servers that are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.runtime.errors import ConfigError, EmbeddingMismatch, StoreUnavailable
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.store.server import ServerArchive
from tests.runtime.store.helpers import ANN, TENANT, ids, query, stored


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    archive = ServerArchive(str(tmp_path / "data"), HashEmbedder())
    archive.upsert([stored(1, "wool and yarn")])
    archive.close()
    archive.close()
    with pytest.raises(StoreUnavailable, match="the archive is closed"):
        archive.count(TENANT)
    archive = ServerArchive(str(tmp_path / "data"), HashEmbedder())
    assert ids(archive.search(TENANT, ANN, query("wool"))) == ["p1"]
    archive.close()


def test_another_embedder_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    ServerArchive(str(tmp_path / "data"), HashEmbedder()).close()
    with pytest.raises(EmbeddingMismatch, match=r"were made by hash.*pagefault store rebuild"):
        ServerArchive(str(tmp_path / "data"), HashEmbedder(32))


def test_a_server_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:1 \(collection mine\): cannot be read or written"):
        ServerArchive("http://127.0.0.1:1?collection=mine", HashEmbedder())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://ann:swordfish@h", "the key in QDRANT_API_KEY"),
        ("http://h?collection=a/b", "letters, digits, _ and -"),
        ("http://h?api_key=swordfish", "the options api_key"),
        ("http://", "without a host"),
    ],
)
def test_a_wrong_address_is_refused_without_its_secrets(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        ServerArchive(address, HashEmbedder())
    assert "swordfish" not in str(caught.value)
