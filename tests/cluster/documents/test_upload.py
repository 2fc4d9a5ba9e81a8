"""Uploads: found by those who share the space, told to those who subscribe, and done once however often it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.api import Cluster
from pagefault.cluster.documents import upload as uploads
from pagefault.cluster.documents.blocks import find_documents
from pagefault.cluster.documents.upload import Filed, UploadSettings, upload
from pagefault.cluster.sharding import shard_of
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import Answer
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import Interrupt, ModelRequest
from tests.cluster.documents.samples import MARKDOWN, pdf

SETTINGS = UploadSettings("boilers")
READER = Agent(
    "reader",
    model=f"scripted:{__name__}:looks_up",
    functions=("archival_memory_search", "send_message"),
    spaces=("boilers",),
)


def looks_up(request: ModelRequest) -> Reply:
    """Searches for what the user asks, and says the first hit with where it is from."""
    view = View(request)
    if view.incoming is None or view.incoming.author != "user":
        return nothing()
    if view.result is None:
        return call("archival_memory_search", True, query=view.incoming.text)
    return say("; ".join(f"{line.author}, {line.session}: {line.text}" for line in view.hits().lines[:1]))


class Counted:
    total = done = 0

    def begin(self, what: str, total: int) -> None:
        self.total = total

    def advance(self, count: int = 1) -> None:
        self.done += count


def write(folder: Path) -> list[tuple[Path, str]]:
    folder.mkdir(exist_ok=True)
    (folder / "boiler.md").write_text(MARKDOWN)
    (folder / "fire.pdf").write_bytes(pdf("The lid is heavy.", "The chimney sweep comes in May."))
    (folder / "copy.markdown").write_text(MARKDOWN)
    (folder / "broken.pdf").write_bytes(b"%PDF nothing")
    return find_documents([folder])


async def ingest(fleet: Local, files: list[tuple[Path, str]], settings: UploadSettings = SETTINGS) -> dict[str, Filed]:
    progress = Counted()
    found = await upload(fleet, files, settings, progress)
    assert progress.done == progress.total == len(files)
    return {each.name: each for each in found}


async def test_what_was_uploaded_is_found_with_where_it_is_from(tmp_path: Path) -> None:
    async with Local(embedder="hash") as fleet:
        reader = await fleet.spawn(READER)
        found = await ingest(fleet, write(tmp_path / "in"))
        statuses = {name: each.status for name, each in found.items()}
        assert (statuses["broken.pdf"], statuses["fire.pdf"]) == ("failed", "filed")
        assert {statuses["boiler.md"], statuses["copy.markdown"]} == {"filed", "present"}, "one content, filed once"
        assert found["boiler.md"].passages == 2
        assert "broken.pdf" in found["broken.pdf"].problem
        said = await reader.ask("chimney sweep May")
    assert said.startswith("fire.pdf, pages 1-2: ")
    assert "The chimney sweep comes in May." in said


async def test_a_finished_upload_interrupts_those_who_subscribe_once(tmp_path: Path) -> None:
    files = write(tmp_path / "in")[:1]
    async with Local(embedder="hash") as fleet:
        reader = await fleet.spawn(READER)
        await fleet.subscribe("reader", "documents/boilers")
        assert [each.told for each in (await ingest(fleet, files)).values()] == [1]
        await ingest(fleet, files)
        await fleet.idle()
        pages = (await reader.inspect()).pages
    assert [page.text for page in pages if "boiler.md" in page.text and page.kind == "observation"] == [
        "The document boiler.md was filed in the shared space boilers: 2 passages. archival_memory_search finds them."
    ]


async def test_an_upload_that_was_broken_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "long.txt").write_text("\n\n".join(f"Room {number} has {number} lamps. " * 12 for number in range(150)))
    files = find_documents([tmp_path / "long.txt"])
    told: list[str | Interrupt] = []

    class Broken(Local):
        async def answer(self, agent: str, message: str | Interrupt, timeout_s: float = 60.0) -> Answer:
            told.append(message)
            if len(told) == 2:
                raise OSError("the plug was pulled")
            return await super().answer(agent, message, timeout_s)

    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    async with Broken(tmp_path / "kept", embedder="hash") as broken:
        with pytest.raises(OSError, match="plug"):
            await ingest(broken, files)
    async with Local(tmp_path / "kept", embedder="hash") as fleet:
        (first,) = (await ingest(fleet, files)).values()
        (again,) = (await ingest(fleet, files)).values()
        agent = f"document/boilers/{first.digest[:32]}"
        chains = (await fleet.inspect(agent)).statistics["chains"]
    assert (first.status, again.status) == ("filed", "present")
    assert first.passages == again.passages == 75
    assert chains == 3, "no batch was filed twice"


@pytest.mark.soak
async def test_every_shard_of_a_cluster_finds_what_was_uploaded(ray_session: None, tmp_path: Path) -> None:
    names = [next(name for name in ("ana", "ben", "cleo", "dora") if shard_of(name, 2) == shard) for shard in range(2)]
    async with Cluster(tmp_path / "fleet", hosts=1, shards=2, embedder="hash", address=_ray.gcs_address()) as fleet:
        readers = await fleet.spawn_many([READER.model_copy(update={"name": name}) for name in names])
        found = await upload(fleet, write(tmp_path / "in")[:1], SETTINGS, Counted())
        assert [each.status for each in found] == ["filed"]
        for reader in readers:
            assert (await reader.ask("two houses")).startswith("boiler.md, Boiler: ")
        again = await upload(fleet, write(tmp_path / "in")[:1], SETTINGS, Counted())
    assert [each.status for each in again] == ["present"]


def test_spaces_and_topics_are_checked() -> None:
    for wrong in ("", "recall", "archival"):
        with pytest.raises(ConfigError, match="--space"):
            UploadSettings(wrong)
    with pytest.raises(ConfigError, match="--topic"):
        UploadSettings("docs", "no spaces here")
    with pytest.raises(ConfigError, match="passage_tokens"):
        UploadSettings("docs", passage_tokens=5)
    assert UploadSettings("docs").heard_under == "documents/docs"
