"""The archive over the real engine: what is written is found, by its owner only, and survives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pagefault.runtime.errors import EmbeddingMismatch, StoreCorrupt, StoreUnavailable
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.values import Page, PageId
from tests.runtime.store.helpers import ANN, TENANT, ids, page, query, stored, talk

MODES = ("hybrid", "dense", "words", "substring")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


# --- opening and closing -------------------------------------------------------------------------------


def test_what_was_written_is_there_after_reopening(folder: Path) -> None:
    archive = EdgeArchive(folder, HashEmbedder())
    archive.upsert(talk())
    archive.flush()
    archive.optimize()
    archive.close()
    archive.close()
    with pytest.raises(StoreUnavailable, match="the archive is closed"):
        archive.count(TENANT)
    archive = EdgeArchive(folder, HashEmbedder())
    assert archive.count(TENANT, ANN) == len(talk())
    assert ids(archive.search(TENANT, ANN, query("kitten", limit=1))) == ["p16"]
    archive.close()


def test_another_embedder_is_refused(folder: Path) -> None:
    EdgeArchive(folder, HashEmbedder()).close()
    said = r"its vectors were made by hash-64 \(64 numbers\), configured is hash-32 \(32\): "
    for _ in range(2):  # and a refusal lets go of the lock
        with pytest.raises(EmbeddingMismatch, match=said):
            EdgeArchive(folder, HashEmbedder(32))
    EdgeArchive(folder, HashEmbedder()).close()


def test_a_second_opener_is_refused(folder: Path) -> None:
    first = EdgeArchive(folder, HashEmbedder())
    with pytest.raises(StoreUnavailable, match=f"this store is open in process {os.getpid()}"):
        EdgeArchive(folder, HashEmbedder())
    first.close()


def test_what_is_no_archive_is_left_alone(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "holiday.txt").write_text("plans")
    with pytest.raises(StoreUnavailable, match="is no archive of Pagefault"):
        EdgeArchive(folder, HashEmbedder())
    assert (folder / "holiday.txt").read_text() == "plans"
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        EdgeArchive(tmp_path / "absent" / "archive", HashEmbedder())
    shutil.rmtree(folder)
    folder.write_text("a file")
    with pytest.raises(StoreUnavailable, match="is no archive of Pagefault"):
        EdgeArchive(folder, HashEmbedder())


@pytest.mark.parametrize(
    ("about", "kind", "said"),
    [
        ("{", StoreCorrupt, "does not say which embedder"),
        ("[]", StoreCorrupt, "does not say which embedder"),
        (json.dumps({"schema": 2, "embedder": "hash-64", "dimension": 64}), StoreUnavailable, "archive schema 2"),
    ],
)
def test_a_damaged_or_newer_description(folder: Path, about: str, kind: type[Exception], said: str) -> None:
    EdgeArchive(folder, HashEmbedder()).close()
    (folder / "embedding.json").write_text(about)
    with pytest.raises(kind, match=said):
        EdgeArchive(folder, HashEmbedder())


def test_a_shard_that_cannot_be_loaded_is_corrupt(folder: Path) -> None:
    EdgeArchive(folder, HashEmbedder()).close()
    shutil.rmtree(folder / "shard" / "segments")
    (folder / "shard" / "edge_config.json").write_text("{")
    with pytest.raises(StoreCorrupt, match=f"{folder}/shard: Qdrant's engine"):
        EdgeArchive(folder, HashEmbedder())


def test_one_that_could_not_be_made_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagefault.runtime.store.edge_shard._INDEXES", {"owner": object()})
    with pytest.raises(TypeError):
        EdgeArchive(folder, HashEmbedder())
    assert [path.name for path in folder.parent.iterdir()] == ["archive.lock"]
    monkeypatch.undo()
    (folder.parent / "archive.making").mkdir()
    (folder.parent / "archive.making" / "left by a crash").touch()
    EdgeArchive(folder, HashEmbedder()).close()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["archive", "archive.lock"]


WRITE_AND_SAY = """
import sys
from pathlib import Path
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.store.protocols import StoredPage
from pagefault.runtime.values import AgentId, Page, PageId, PageKind
archive = EdgeArchive(Path(sys.argv[1]), HashEmbedder())
start = archive.count("valley")
for batch in range(start // 10, start // 10 + 1000):
    archive.upsert([
        StoredPage("valley", AgentId("ann"), Page(PageId(f"p{n}"), PageKind.MESSAGE, f"lot {n}", 4, n, n), n)
        for n in range(batch * 10, batch * 10 + 10)
    ])
    print(batch * 10 + 10, flush=True)
"""


def test_kill_9_loses_nothing_that_was_written(folder: Path) -> None:
    for kills in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_AND_SAY, str(folder)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(5 + 10 * kills):
                written = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)
        archive = EdgeArchive(folder, HashEmbedder())
        assert archive.count(TENANT, ANN) >= written
        last = PageId(f"p{written - 1}")
        assert archive.get(TENANT, ANN, [last]) == [
            replace(stored(written - 1, ""), seq=written - 1, page=page_of(written - 1))
        ]
        archive.close()


def page_of(number: int) -> Page:
    return replace(page(number, f"lot {number}"), tokens=4, created_ms=number)


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder
from tests.runtime.store.helpers import ANN, PageId, TENANT, query, stored
folder = Path(sys.argv[1])
archive = EdgeArchive(folder, HashEmbedder())
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
for _ in range(2):
    try:
        archive.upsert([stored(1, "wool")])
    except StoreUnavailable as error:
        assert str(folder) in str(error), error
        print("refused", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
archive.upsert([stored(1, "wool"), stored(2, "wax")])
assert archive.count(TENANT) == 2
assert archive.search(TENANT, ANN, query("wool")).found[0].stored == stored(1, "wool")
archive.close()
archive = EdgeArchive(folder, HashEmbedder())
assert len(archive.get(TENANT, ANN, [PageId("p1"), PageId("p2")])) == 2
archive.close()
print("recovered")
"""


def test_a_full_disk_is_reported_and_writing_goes_on_when_there_is_room(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused", "refused", "recovered"]


DYING = """
import os, random, signal, sys
from pathlib import Path
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder
from tests.runtime.store.helpers import stored
archive = EdgeArchive(Path(sys.argv[1]), HashEmbedder())
first, count = int(sys.argv[2]), int(sys.argv[3])
numbers = range(first, first + count)
archive.upsert([stored(number, random.Random(number).randbytes(900).hex()) for number in numbers])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_archive_does_not_grow_by_the_deaths_of_its_processes(folder: Path) -> None:
    def die(first: int, count: int) -> int:
        command = [sys.executable, "-c", DYING, str(folder), str(first), str(count)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        return sum(file.stat().st_blocks * 512 for file in (folder / "shard" / "segments").rglob("*"))

    die(1, 3_000)  # 6 MB of text
    sizes = [die(3_001 + death, 1) for death in range(3)]
    assert sizes[-1] - sizes[0] < 1_000_000, sizes  # each death wrote all of it again
    archive = EdgeArchive(folder, HashEmbedder())
    assert archive.count(TENANT, ANN) == 3_003
    archive.close()
