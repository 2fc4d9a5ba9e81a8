"""``pagefault store``: what a fleet keeps is checked, written anew, and taken elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, nothing
from pagefault.runtime.models.view import View
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.values import AgentId, ModelRequest
from tests.cluster.console.conftest import Pagefault
from tests.postgres_server import running_server
from tests.runtime.store.helpers import query, stored

ECHO = "scripted:tests.cluster.minds:echo"
KEPT = ("--folder", "kept")
CHECK = ("store", "check", *KEPT, "--embedder", "hash", "--json")


async def _make(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        for name in ("ada", "bob"):
            ref = await fleet.spawn(Agent(name, model=ECHO, snapshot_steps=1))
            for text in ("one", "two", "three"):
                await ref.ask(f"{text} of {name}")
        await fleet.fork("ada", "eve")
        await fleet.agent("eve").ask("I am new")


async def _said(folder: Path, agent: str, **stores: str) -> list[str]:
    async with Local(folder, embedder="hash", **stores) as fleet:  # type: ignore[arg-type]  # drivers by name
        return [page.text for page in (await fleet.inspect(agent)).pages]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    asyncio.run(_make(tmp_path / "kept"))
    return tmp_path / "kept"


def test_a_sound_fleet_is_found_sound(pagefault: Pagefault, kept: Path) -> None:
    found = pagefault(*CHECK)
    report = json.loads(found.out)
    assert (found.code, report["agents"], report["problems"]) == (0, 3, [])
    assert report["pages"] > 10


def test_a_damaged_record_is_found_and_named_for_its_agent_alone(pagefault: Pagefault, kept: Path) -> None:
    with sqlite3.connect(kept / "shards" / "00" / "journal.sqlite") as connection:
        connection.execute("UPDATE records SET data = zeroblob(9) WHERE agent = 2 AND seq = 2")
    connection.close()
    found = pagefault(*CHECK)
    assert found.code == 1
    [problem] = json.loads(found.out)["problems"]
    assert (problem["agent"], problem["kind"]) == ("bob", "StoreCorrupt")
    assert "record 2 fails its checksum" in problem["problem"]


def test_an_archive_that_lacks_pages_or_has_others_is_found_and_written_anew(pagefault: Pagefault, kept: Path) -> None:
    before = json.loads(pagefault(*CHECK).out)["pages"]
    archive = EdgeArchive(kept / "shards" / "00" / "archive", HashEmbedder())
    pages = {each.page.id: each for each in archive.pages() if each.agent == "ada"}
    first = min(pages)
    archive.delete(pages[first].tenant, AgentId("ada"), [first])
    archive.upsert([stored(1, "of nobody", agent=AgentId("nobody"))])
    archive.close()
    found = pagefault(*CHECK)
    report = json.loads(found.out)
    assert (found.code, report["missing"], report["foreign"], report["stale"]) == (1, 1, 1, 0)
    assert {problem["agent"] for problem in report["problems"]} == {"ada", "nobody"}
    done = pagefault("store", "rebuild", *KEPT, "--embedder", "hash", "--json")
    assert json.loads(done.out) == {"agents": 3, "pages": before}
    assert pagefault(*CHECK).code == 0
    shutil.rmtree(kept / "shards" / "00" / "archive")
    assert pagefault("store", "rebuild", *KEPT, "--embedder", "hash").code == 0
    assert json.loads(pagefault(*CHECK).out)["pages"] == before


DYING = """
import os, signal, sys
from pagefault.cluster.console import store
from pagefault.cluster.console.main import main
from pagefault.runtime.store import swap

def die_after(count, function):
    left = [count]
    def dying(*arguments):
        result = function(*arguments)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return dying

where = sys.argv.pop(1)
if where == "writing":
    store.write_missing = die_after(2, store.write_missing)
else:
    swap._rename = die_after(int(where), swap._rename)
main()
"""


@pytest.mark.parametrize("where", ["writing", "1", "2"])
def test_whenever_a_rebuild_is_killed_a_whole_archive_is_there(
    pagefault: Pagefault, kept: Path, tmp_path: Path, where: str
) -> None:
    before = json.loads(pagefault(*CHECK).out)
    command = ("store", "rebuild", *KEPT, "--embedder", "hash")
    killed = subprocess.run([sys.executable, "-c", DYING, where, *command], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert json.loads(pagefault(*CHECK).out) == before
    assert pagefault(*command).code == 0
    assert json.loads(pagefault(*CHECK).out) == before
    assert sorted(each.name for each in (kept / "shards" / "00").glob("archive*")) == ["archive", "archive.lock"]


def test_agents_are_exported_and_live_on_elsewhere(pagefault: Pagefault, kept: Path, tmp_path: Path) -> None:
    said = asyncio.run(_said(kept, "eve"))
    assert pagefault("store", "export", "all.gz", *KEPT).code == 0
    assert "a file that is not there yet" in pagefault("store", "export", "all.gz", *KEPT).error
    other = ("--folder", "other", "--shards", "3")
    done = pagefault("store", "import", "all.gz", *other, "--json")
    assert json.loads(done.out) == {"imported": 3, "skipped": 0}
    assert "is registered already" in pagefault("store", "import", "all.gz", *other).error
    again = pagefault("store", "import", "all.gz", *other, "--skip-existing", "--json")
    assert json.loads(again.out) == {"imported": 0, "skipped": 3}
    assert pagefault("store", "rebuild", *other, "--embedder", "hash").code == 0
    assert pagefault("store", "check", *other, "--embedder", "hash").code == 0
    assert pagefault("store", "import", "all.gz", "--folder", "one").code == 0
    assert asyncio.run(_said(tmp_path / "one", "eve")) == said


async def _file_for_all(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        for name in ("ada", "bob", "eve"):
            ref = await fleet.spawn(Agent(name, model=f"scripted:{__name__}:filer", spaces=("town",)))
            await ref.ask(f"{name} was here")


def filer(request: ModelRequest) -> Reply:
    """Files what it hears for all."""
    heard = View(request).incoming
    return call("archival_memory_insert", content=heard.text, space="town") if heard is not None else nothing()


def test_what_is_shared_is_in_the_archive_of_every_shard(pagefault: Pagefault, tmp_path: Path) -> None:
    asyncio.run(_file_for_all(tmp_path / "kept"))
    assert pagefault("store", "export", "all.gz", *KEPT).code == 0
    other = ("--folder", "other", "--shards", "3")
    assert pagefault("store", "import", "all.gz", *other).code == 0
    hashed = ("--embedder", "hash", "--json")
    for _ in range(2):
        assert pagefault("store", "rebuild", *other, *hashed).code == 0
        assert json.loads(pagefault("store", "check", *other, *hashed).out)["problems"] == []
    for shard in range(3):
        archive = EdgeArchive(tmp_path / "other" / "shards" / f"{shard:02}" / "archive", HashEmbedder())
        found = archive.search("default", AgentId("nobody"), query("", spaces=("town",)))
        assert sorted(each.stored.page.text for each in found.found) == ["ada was here", "bob was here", "eve was here"]
        if shard == 1:
            archive.delete("default", found.found[0].stored.agent, [found.found[0].stored.page.id])
        archive.close()
    report = json.loads(pagefault("store", "check", *other, *hashed).out)
    assert (report["missing"], len(report["problems"])) == (1, 1), "one shard lacks what the others have"


def test_a_damaged_or_cut_file_is_refused_and_nothing_is_half_there(
    pagefault: Pagefault, kept: Path, tmp_path: Path
) -> None:
    assert pagefault("store", "export", "all.gz", *KEPT).code == 0
    plain = gzip.decompress((tmp_path / "all.gz").read_bytes())
    chance = random.Random(5)
    for turn in range(12):
        place = chance.randrange(len(plain))
        bad = plain[:place] if turn % 2 else plain[:place] + bytes([plain[place] ^ 1 << turn % 8]) + plain[place + 1 :]
        (tmp_path / "bad.gz").write_bytes(gzip.compress(bad))
        folder = f"bad-{turn}"
        done = pagefault("store", "import", "bad.gz", "--folder", folder)
        assert done.code == 1, (turn, place)
        assert "error:" in done.error
        assert "internal" not in done.error
        journal = tmp_path / folder / "shards" / "00" / "journal.sqlite"
        with sqlite3.connect(journal) as connection:
            halves = "SELECT count(*) FROM agents JOIN heads ON agent = id WHERE next_seq <= 1"
            assert connection.execute(halves).fetchone() == (0,)
        connection.close()


def test_a_fleet_migrates_to_postgres_and_back(pagefault: Pagefault, kept: Path, tmp_path: Path) -> None:
    said = asyncio.run(_said(kept, "bob"))
    with running_server() as server:
        there = ("--to-folder", "there", "--to-journal", server.address(), "--to-shards", "2")
        assert json.loads(pagefault("store", "migrate", *KEPT, *there, "--json").out) == {"copied": 3, "there": 0}
        assert json.loads(pagefault("store", "migrate", *KEPT, *there, "--json").out) == {"copied": 0, "there": 3}
        back = ("store", "migrate", "--journal", server.address(), "--shards", "2", "--to-folder", "back")
        assert json.loads(pagefault(*back, "--json").out) == {"copied": 3, "there": 0}
    assert pagefault("store", "rebuild", "--folder", "back", "--embedder", "hash").code == 0
    assert asyncio.run(_said(tmp_path / "back", "bob")) == said
