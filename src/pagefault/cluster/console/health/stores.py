"""The stores that a fleet is to have: journal, archive, the embedder that has to fit it, and everybody's clock."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from pagefault.cluster.console.health.contract import PROBE_S, Asked, Verdict, ok, skipped
from pagefault.runtime.errors import ConfigError, PagefaultError
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder, make_embedder
from pagefault.runtime.store.open import EDGE, SQLITE, check_drivers
from pagefault.runtime.store.postgres_schema import SCHEMA_VERSION as DATABASE_SCHEMA
from pagefault.runtime.store.postgres_session import ServerFacts, server_facts
from pagefault.runtime.store.schema import APPLICATION_ID
from pagefault.runtime.store.schema import SCHEMA_VERSION as FILE_SCHEMA
from pagefault.runtime.store.server_address import KEY_VARIABLE, server_parts
from pagefault.runtime.store.sqlite_file import SQLITE_NEEDED

POSTGRES_NEEDED = 130000
QDRANT_NEEDED = (1, 16)
"""The first release whose collections keep metadata, in which we say which embedder was used."""
SHARDS_SHOWN_MAX = 64
SKEW_WARNING_S, SKEW_FAILED_S = 2.0, 60.0
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


def journal(asked: Asked) -> list[Verdict]:
    """Whether the journals can be opened, and whether what they acknowledge lasts."""
    check_drivers(asked.journal, EDGE)
    if asked.journal != SQLITE:
        return list(judged_database(server_facts(asked.journal, int(PROBE_S))))
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SQLITE_NEEDED:
        return [Verdict("sqlite", "failed", f"SQLite {found}", "SQLite 3.37 or newer: it comes with Python")]
    return [_full_sync(), *_files(asked.folder)]


def _full_sync() -> Verdict:
    """What this library makes of the setting that a synchronous journal opens with."""
    with (
        tempfile.TemporaryDirectory(prefix="pagefault-doctor-") as place,
        closing(sqlite3.connect(Path(place) / "probe.sqlite")) as connection,
    ):
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
    seen = f"SQLite {sqlite3.sqlite_version}, {mode}, synchronous {level}"
    if mode != "wal" or level < 2:
        return Verdict("sqlite", "failed", seen, "a SQLite whose build keeps synchronous = FULL and has WAL")
    return ok("sqlite", seen)


def _files(folder: Path) -> Iterator[Verdict]:
    files = sorted(folder.glob("shards/*/journal.sqlite"))
    if not files:
        yield skipped("journals", f"none in {folder} yet")
        return
    agents = 0
    for file in files[:SHARDS_SHOWN_MAX]:
        try:
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=PROBE_S)) as opened:
                (application,) = opened.execute("PRAGMA application_id").fetchone()
                (version,) = opened.execute("PRAGMA user_version").fetchone()
                if application == APPLICATION_ID:
                    agents += int(opened.execute("SELECT count(*) FROM agents").fetchone()[0])
        except sqlite3.Error as error:
            yield Verdict("journals", "failed", f"{file}: {error}", "pagefault store check, or a backup")
            return
        if application != APPLICATION_ID:
            yield Verdict("journals", "failed", f"{file}: is no journal of Pagefault", "another --folder")
            return
        if version > FILE_SCHEMA:
            seen = f"{file}: schema {version}, this release writes {FILE_SCHEMA}"
            yield Verdict("journals", "failed", seen, "the newer release that wrote it")
            return
    yield ok("journals", f"{len(files)} of {agents:,} agents")


def judged_database(facts: ServerFacts) -> Iterator[Verdict]:
    """What the facts of a PostgreSQL server mean."""
    number = f"{facts.version // 10_000}.{facts.version % 10_000}"
    if facts.version < POSTGRES_NEEDED:
        yield Verdict("postgresql", "failed", f"PostgreSQL {number}", "PostgreSQL 13 or newer")
    else:
        yield ok("postgresql", f"PostgreSQL {number} answers")
    seen = f"fsync {facts.fsync}, synchronous_commit {facts.synchronous_commit}"
    if "off" in (facts.fsync, facts.synchronous_commit):
        yield Verdict("lasting", "failed", seen, "turn both on: what is acknowledged has to survive the server")
    else:
        yield ok("lasting", seen)
    hidden = [name for name, version in facts.schemas if version < 0]
    newer = [name for name, version in facts.schemas if version > DATABASE_SCHEMA]
    if hidden:
        yield Verdict("rights", "failed", f"{hidden[0]}: may not be read and written", "GRANT, or its owner as user")
    elif not facts.schemas and not facts.may_create:
        yield Verdict("rights", "failed", "may not make schemas", "GRANT CREATE ON DATABASE ... TO this user")
    else:
        yield ok("rights", "may make schemas" if facts.may_create else "may use those that are there")
    if newer:
        yield Verdict("journals", "failed", f"{newer[0]}: of a newer release", "the newer release that wrote it")
    elif facts.schemas:
        yield ok("journals", f"{len(facts.schemas)} shards")
    else:
        yield skipped("journals", "none there yet")
    seen = f"{facts.connections_max} connections"
    if facts.connections_max <= len(facts.schemas) + 3:
        yield Verdict("connections", "warning", seen, "each shard takes one: raise max_connections")
    else:
        yield ok("connections", seen)


def archive(asked: Asked) -> list[Verdict]:
    """Whether the archive can be opened, and its vectors are of the embedder that is configured."""
    check_drivers(SQLITE, asked.archive)
    if asked.archive == EDGE:
        return [_edge_opens(), *_embedded(asked)]
    return list(_qdrant(asked))


def _edge_opens() -> Verdict:
    with tempfile.TemporaryDirectory(prefix="pagefault-doctor-") as place:
        EdgeArchive(Path(place) / "archive", HashEmbedder(8)).close()
    return ok("edge", "the embedded engine makes and opens an archive")


def _embedded(asked: Asked) -> Iterator[Verdict]:
    ours = make_embedder(asked.embedder)
    files = sorted(asked.folder.glob("shards/*/archive/embedding.json"))
    for file in files:
        about = json.loads(file.read_text(encoding="utf-8"))
        if (about.get("embedder"), about.get("dimension")) != (ours.name, ours.dimension):
            yield _other_embedder(str(file.parent), about, ours.name, ours.dimension)
            return
    if files:
        yield ok("embedder", f"{ours.name}, {ours.dimension} numbers, as in {len(files)} archives")
    else:
        yield ok("embedder", f"{ours.name}, {ours.dimension} numbers; no archive is there yet")


def _other_embedder(place: str, about: dict[str, Any], name: str, dimension: int) -> Verdict:
    theirs = f"{about.get('embedder')} ({about.get('dimension')} numbers)"
    advice = f"--embedder {about.get('embedder')}, or: pagefault store rebuild --embedder {name}"
    return Verdict("embedder", "failed", f"{place}: made by {theirs}, configured is {name} ({dimension})", advice)


def _qdrant(asked: Asked) -> Iterator[Verdict]:
    url, collection = server_parts(asked.archive)
    key = os.environ.get(KEY_VARIABLE, "").strip()
    ours = make_embedder(asked.embedder)
    with httpx2.Client(timeout=PROBE_S, headers={"api-key": key} if key else {}) as client:
        try:
            said = client.get(url)
            found = client.get(f"{url.rstrip('/')}/collections/{collection}")
            about = said.json() if said.is_success else {}
            details = found.json() if found.is_success else {}
        except (httpx2.HTTPError, ValueError) as error:
            problem = f"{url}: {type(error).__name__}: {error}".rstrip(": ")
            yield Verdict("qdrant", "failed", problem, "start the server, or another --archive")
            return
    version = str(about.get("version", "")) if isinstance(about, dict) else ""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not version:
        yield Verdict("qdrant", "failed", f"{url}: HTTP {said.status_code}, no Qdrant", "the address of its REST port")
        return
    if numbers < QDRANT_NEEDED:
        yield Verdict("qdrant", "failed", f"Qdrant {version}", "Qdrant 1.16 or newer")
    else:
        yield ok("qdrant", f"Qdrant {version} answers")
    if urlsplit(url).scheme == "http" and key and urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        advice = "https, or a network of your own"
        yield Verdict("key", "warning", f"{KEY_VARIABLE} goes over plain HTTP to {urlsplit(url).hostname}", advice)
    if found.status_code in (401, 403):
        yield Verdict("collection", "failed", f"HTTP {found.status_code}", f"the server's key in {KEY_VARIABLE}")
    elif not found.is_success:
        yield ok("collection", f"{collection} is not there yet: made at the first start with {ours.name}")
    else:
        kept = details.get("result", {}).get("config", {}).get("metadata") or {}
        if (kept.get("embedder"), kept.get("dimension")) == (ours.name, ours.dimension):
            yield ok("embedder", f"{ours.name}, {ours.dimension} numbers, as in {collection}")
        elif "pagefault_schema" in kept:
            yield _other_embedder(collection, kept, ours.name, ours.dimension)
        else:
            advice = "another collection: ?collection=NAME in the address"
            yield Verdict("collection", "failed", f"{collection} is not an archive of Pagefault", advice)


def clock(asked: Asked) -> list[Verdict]:
    """This machine's clock against those of the servers that are configured: timers and leases go by it."""
    verdicts = []
    if time.time() < EARLIEST:
        advice = "set it: timedatectl set-ntp true"
        verdicts.append(Verdict("clock", "failed", f"it is {datetime.now(UTC):%Y-%m-%d} here", advice))
    else:
        verdicts.append(ok("clock", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"))
    if asked.journal != SQLITE:
        before = time.time()
        try:
            theirs = server_facts(asked.journal, int(PROBE_S)).clock_s
        except PagefaultError as error:
            verdicts.append(skipped("clock of the database", str(error)))
        else:
            verdicts.append(judged_skew("clock of the database", before, theirs, time.time()))
    if asked.archive != EDGE:
        verdicts.append(_web_clock("clock of the archive", server_parts(asked.archive)[0]))
    return verdicts


def judged_skew(name: str, before_s: float, theirs_s: float, after_s: float, resolution_s: float = 0.0) -> Verdict:
    """How far another clock is from ours, which was read before and after that one."""
    early, late = before_s - theirs_s - resolution_s, theirs_s - after_s
    skew = max(early, late, 0.0)
    seen = f"{skew:.1f} s {'behind ours' if early > late else 'ahead of ours'}" if skew else "the same as ours"
    if skew > SKEW_FAILED_S:
        return Verdict(name, "failed", seen, "NTP on both machines")
    if skew > SKEW_WARNING_S:
        return Verdict(name, "warning", seen, "NTP on both machines")
    return ok(name, seen)


def _web_clock(name: str, url: str) -> Verdict:
    before = time.time()
    try:
        answer = httpx2.get(url, timeout=PROBE_S)
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx2.HTTPError, KeyError, ValueError) as error:
        return skipped(name, f"it did not say: {type(error).__name__}")
    return judged_skew(name, before, theirs, time.time(), resolution_s=1.0)


def model_server(asked: Asked) -> list[Verdict]:
    """Whether the model server that is configured answers; what its model can do, ``--model`` tells."""
    if not asked.base_url:
        return [skipped("model server", "none is configured; pagefault doctor --model NAME tries one out")]
    address = asked.base_url.rstrip("/")
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    try:
        answer = httpx2.get(
            f"{address}/models", timeout=PROBE_S, headers={"Authorization": f"Bearer {key}"} if key else {}
        )
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        raise ConfigError("base_url", asked.base_url, "an address such as http://localhost:8000/v1") from None
    except httpx2.HTTPError as error:
        problem = f"{address}: {type(error).__name__}: {error}".rstrip(": ")
        return [Verdict("model server", "failed", problem, "start it, or another --base-url")]
    if answer.status_code in (401, 403):
        return [Verdict("model server", "failed", f"HTTP {answer.status_code}", "its key in OPENAI_API_KEY")]
    return [ok("model server", f"{address} answers (HTTP {answer.status_code})")]
