from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pagefault.cluster.console.health.contract import Asked, Verdict
from pagefault.cluster.console.health.stores import archive, clock, journal, judged_database, judged_skew, model_server
from pagefault.runtime.store.open import open_journal
from pagefault.runtime.store.postgres_session import ServerFacts
from tests.postgres_server import running_server

FACTS = ServerFacts(170002, "on", "on", 0.0, True, 100, (("pagefault_00", 1),))


def named(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {each.name: each for each in verdicts}


@contextmanager
def serving(pages: dict[str, object]) -> Iterator[str]:
    """A server that says what it is told to; its Date header is the machine's own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(pages.get(self.path)).encode()
            self.send_response(200 if self.path in pages else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it overrides
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def qdrant(version: str, metadata: dict[str, object] | None) -> dict[str, object]:
    pages: dict[str, object] = {"/": {"title": "qdrant - vector search engine", "version": version}}
    if metadata is not None:
        pages["/collections/pagefault"] = {"result": {"config": {"metadata": metadata}}}
    return pages


OURS = {"pagefault_schema": 1, "embedder": "hash-64", "dimension": 64}


@pytest.mark.parametrize(
    ("version", "metadata", "expected"),
    [
        ("1.17.0", OURS, {"qdrant": "ok", "embedder": "ok"}),
        ("1.17.0", None, {"qdrant": "ok", "collection": "ok"}),
        ("1.15.4", OURS, {"qdrant": "failed", "embedder": "ok"}),
        ("1.17.0", OURS | {"dimension": 32}, {"qdrant": "ok", "embedder": "failed"}),
        ("1.17.0", {}, {"qdrant": "ok", "collection": "failed"}),
    ],
)
def test_a_qdrant_server_is_asked_for_its_version_and_its_embedder(
    tmp_path: Path, version: str, metadata: dict[str, object] | None, expected: dict[str, str]
) -> None:
    with serving(qdrant(version, metadata)) as address:
        asked = Asked(tmp_path, archive=address, embedder="hash")
        found = named(archive(asked))
        clocks = named(clock(asked))
    assert {name: each.status for name, each in found.items()} == expected
    assert clocks["clock of the archive"].status == "ok"


def test_what_is_no_qdrant_is_said(tmp_path: Path) -> None:
    with serving({}) as address:
        (found,) = archive(Asked(tmp_path, archive=address, embedder="hash"))
    assert (found.status, found.advice) == ("failed", "the address of its REST port")


def test_a_model_server_is_knocked_at(tmp_path: Path) -> None:
    with serving({"/v1/models": {"data": []}}) as address:
        (found,) = model_server(Asked(tmp_path, base_url=f"{address}/v1"))
        assert found.status == "ok"
    (found,) = model_server(Asked(tmp_path, base_url=f"{address}/v1"))
    assert found.status == "failed"


@pytest.mark.parametrize(
    ("facts", "failed"),
    [
        (FACTS, set()),
        (replace(FACTS, version=120004), {"postgresql"}),
        (replace(FACTS, fsync="off"), {"lasting"}),
        (replace(FACTS, schemas=(), may_create=False), {"rights"}),
        (replace(FACTS, schemas=(("pagefault_00", -1),)), {"rights"}),
        (replace(FACTS, schemas=(("pagefault_00", 99),)), {"journals"}),
    ],
)
def test_what_a_database_must_be(facts: ServerFacts, failed: set[str]) -> None:
    assert {each.name for each in judged_database(facts) if each.status == "failed"} == failed


def test_a_real_database_is_asked(tmp_path: Path) -> None:
    with running_server() as server:
        asked = Asked(tmp_path, journal=server.address())
        before = named(journal(asked))
        open_journal(tmp_path, 0, "sync", server.address()).close()
        after = named(journal(asked))
        clocks = named(clock(asked))
    assert before["journals"].status == "skipped"
    assert after["journals"].seen == "1 shards"
    assert {each.status for each in after.values()} == {"ok"}
    assert clocks["clock of the database"].status == "ok"


def test_journals_that_are_no_journals_of_ours_or_damaged_fail(tmp_path: Path) -> None:
    file = tmp_path / "shards" / "00" / "journal.sqlite"
    file.parent.mkdir(parents=True)
    with closing(open_journal(file, 0, "sync")):
        assert named(journal(Asked(tmp_path)))["journals"].seen == "1 of 0 agents"
    file.write_bytes(b"not a database, and long enough to be looked at" * 100)
    assert "not a database" in named(journal(Asked(tmp_path)))["journals"].seen


@pytest.mark.parametrize(
    ("theirs", "status"), [(100.4, "ok"), (99.0, "ok"), (106.0, "warning"), (94.0, "warning"), (190.0, "failed")]
)
def test_another_clock_may_be_a_little_off(theirs: float, status: str) -> None:
    assert judged_skew("clock", 100.0, theirs, 100.5).status == status
