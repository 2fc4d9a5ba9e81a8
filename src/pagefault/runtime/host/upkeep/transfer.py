"""Agents taken out of journals into a file, out of a file into journals, and from journals to journals.

The file is gzip over a stream of msgpack arrays, read and written piece by piece:

- ``["pagefault-export", 1]`` first;
- for each agent ``["agent", name, definition, epoch, last_seq, wake_ms, snapshot_seq, snapshot, topics, placement]``,
  its records in order as ``["records", [bytes, ...]]``, snapshots that stay as ``["checkpoint", seq, bytes]``, and
  ``["end", SHA-256 of all these pieces' bytes]``;
- ``["letters", [bytes, ...]]``: dead letters, as :mod:`pagefault.runtime.store.codec` writes them;
- ``["done", number of agents]`` last, so that a file that was cut is known for one.

Records, snapshots and definitions are the journal's own bytes.  Pages are not in it: the archive is written anew.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import msgpack

from pagefault.runtime.errors import AgentExists, ConfigError, StoreCorrupt, StoreUnavailable, UnknownAgent
from pagefault.runtime.host.records import decode_definition, decode_event
from pagefault.runtime.host.snapshots import decode_snapshot
from pagefault.runtime.store.codec import decode, encode
from pagefault.runtime.store.protocols import Life, PortableJournal
from pagefault.runtime.values import AgentId, DeadLetter

__all__ = ["export_agents", "import_agents", "migrate_agents"]

FORMAT: Final = "pagefault-export"
VERSION: Final = 1
RECORDS_A_PIECE: Final = 256
LETTERS_READ_MAX: Final = 10_000
PIECE_BYTES_MAX: Final = 256 * 2**20
SEQ_MAX: Final = 2**62
JournalOf = Callable[[AgentId], PortableJournal]
Tell = Callable[[AgentId], None]


def export_agents(journals: list[PortableJournal], path: Path, prefix: str, tell: Tell) -> int:
    """Write the agents whose names begin with ``prefix`` into a new file; returns how many.

    The file appears under its name when it is whole.  Raises :class:`~pagefault.runtime.errors.ConfigError` for one
    that is there already, ``StoreCorrupt`` for an agent that is damaged, ``StoreUnavailable``.
    """
    if path.exists():
        raise ConfigError("FILE", str(path), "a file that is not there yet")
    making = path.with_name(path.name + ".making")
    count = 0
    try:
        with gzip.open(making, "wb", compresslevel=6) as file:
            file.write(_pack([FORMAT, VERSION]))
            for journal in journals:
                for agent in journal.agents(prefix):
                    _write_agent(file, journal, agent)
                    count += 1
                    tell(agent)
                letters = [each for each in journal.mail.letters(LETTERS_READ_MAX) if each.to.startswith(prefix)]
                file.write(_pack(["letters", [encode(each) for each in reversed(letters)]]))
            file.write(_pack(["done", count]))
        making.chmod(0o600)
        making.replace(path)
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        making.unlink(missing_ok=True)
    return count


def _write_agent(file: gzip.GzipFile, journal: PortableJournal, agent: AgentId) -> None:
    digest = hashlib.sha256()

    def put(piece: list[Any]) -> None:
        data = _pack(piece)
        digest.update(data)
        file.write(data)

    life = journal.life(agent)
    head = [life.epoch, life.last_seq, life.wake_ms, life.snapshot_seq, life.snapshot, list(life.topics)]
    put(["agent", life.agent, life.definition, *head, life.placement])
    records = (data for _, data in journal.records(agent))
    while batch := list(islice(records, RECORDS_A_PIECE)):
        put(["records", batch])
    for seq in journal.past(agent).checkpoints:
        put(["checkpoint", seq, journal.checkpoint(agent, seq)])
    file.write(_pack(["end", digest.digest()]))


def _pack(piece: list[Any]) -> bytes:
    data: bytes = msgpack.packb(piece)
    return data


def import_agents(path: Path, journal_of: JournalOf, tell: Tell, *, skip_existing: bool = False) -> tuple[int, int]:
    """Put the agents of a file into journals, each whole or not at all; returns how many were made and passed over.

    Nothing in the file is trusted: every definition, record and snapshot must read back as what it is said to be.
    Raises :class:`~pagefault.runtime.errors.AgentExists` at the first agent that is there already (unless
    ``skip_existing``), :class:`~pagefault.runtime.errors.StoreCorrupt` for a file that is damaged, cut or none of ours;
    agents before that stay imported.
    """
    made = skipped = 0
    try:
        with gzip.open(path, "rb") as file:
            pieces = _Pieces(path, file)
            if pieces.take() != [FORMAT, VERSION]:
                raise StoreCorrupt(f"{path}: is no export of Pagefault of version {VERSION}")
            while (piece := pieces.take())[:1] != ["done"]:
                if piece[:1] == ["letters"]:
                    _take_letters(path, piece, journal_of)
                    continue
                life = _life(path, piece)
                try:
                    journal_of(life.agent).restore(life, pieces.records(life), pieces.checkpoints(life))
                    made += 1
                except AgentExists:
                    if not skip_existing:
                        raise
                    pieces.skip_agent()
                    skipped += 1
                tell(life.agent)
            if piece != ["done", made + skipped]:
                raise StoreCorrupt(f"{path}: ends with {piece!r:.80}, {made + skipped} agents were in it")
    except FileNotFoundError:
        raise ConfigError("FILE", str(path), "a file that exists") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise StoreCorrupt(f"{path}: is damaged or cut: {error}") from error
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be read: {error.strerror}") from error
    return made, skipped


class _Pieces:
    """The pieces of a file in order, with the digest of those of one agent."""

    def __init__(self, path: Path, file: BinaryIO | gzip.GzipFile) -> None:
        self._path = path
        self._unpacker = msgpack.Unpacker(
            file, raw=False, strict_map_key=True, ext_hook=_refuse_extension, timestamp=0,
            max_buffer_size=PIECE_BYTES_MAX, read_size=2**16, unicode_errors="strict",
        )  # fmt: skip
        self._digest = hashlib.sha256()
        self._next: list[Any] | None = None

    def take(self) -> list[Any]:
        """The next piece; the digest begins anew with an agent."""
        if self._next is not None:
            piece, self._next = self._next, None
            return piece
        try:
            piece = next(self._unpacker)
        except StopIteration:
            raise StoreCorrupt(f"{self._path}: was cut: it does not end as an export ends") from None
        except (EOFError, OSError, zlib.error, StoreCorrupt):
            raise
        except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
            raise StoreCorrupt(f"{self._path}: is not readable msgpack: {error!r:.200}") from error
        if type(piece) is not list or not piece or type(piece[0]) is not str:
            raise StoreCorrupt(f"{self._path}: found {piece!r:.80}, allowed: the pieces of an export")
        if piece[0] == "agent":
            self._digest = hashlib.sha256()
        if piece[0] in {"agent", "records", "checkpoint"}:
            self._digest.update(_pack(piece))
        return piece

    def records(self, life: Life) -> Iterator[tuple[int, bytes]]:
        """Numbered, each read as an event first."""
        seq = 0
        while (piece := self.take())[0] == "records":
            if len(piece) != 2 or type(piece[1]) is not list:
                raise StoreCorrupt(f"{self._path}: agent {life.agent!r}: a piece of records holds something else")
            for data in piece[1]:
                decode_event(life.agent, self._bytes(data))
                seq += 1
                yield seq, data
        self._next = piece

    def checkpoints(self, life: Life) -> Iterator[tuple[int, bytes]]:
        """Each read as a snapshot first; after the last the digest is compared, before anything is committed."""
        last = -1
        while (piece := self.take())[0] == "checkpoint":
            if len(piece) != 3 or type(piece[1]) is not int or not last < piece[1] <= life.last_seq:
                raise StoreCorrupt(f"{self._path}: agent {life.agent!r}: a checkpoint has no place in its past")
            last = piece[1]
            decode_snapshot(life.agent, self._bytes(piece[2]))
            yield last, piece[2]
        if piece != ["end", self._digest.digest()]:
            raise StoreCorrupt(f"{self._path}: agent {life.agent!r} does not read back as it was written")

    def skip_agent(self) -> None:
        """Pass over the rest of an agent."""
        while self.take()[0] != "end":
            pass

    def _bytes(self, data: object) -> bytes:
        if not isinstance(data, bytes):
            raise StoreCorrupt(f"{self._path}: found {data!r:.80}, allowed: bytes")
        return data


def _refuse_extension(code: int, _data: bytes) -> NoReturn:
    raise StoreCorrupt(f"an export holds a msgpack extension (code {code}); none is allowed")


def _life(path: Path, piece: list[Any]) -> Life:
    """An agent's first piece, every field checked."""
    if piece[0] != "agent" or len(piece) != 10:
        raise StoreCorrupt(f"{path}: found a piece {piece[0]!r:.40}, allowed: an agent, letters or the end")
    _, name, definition, epoch, last_seq, wake_ms, snapshot_seq, snapshot, topics, placement = piece
    is_right = (
        type(name) is str and 0 < len(name) <= 200
        and type(definition) is bytes
        and all(type(number) is int and 0 <= number < SEQ_MAX for number in (epoch, last_seq, snapshot_seq))
        and (wake_ms is None or (type(wake_ms) is int and 0 <= wake_ms <= SEQ_MAX))
        and (snapshot is None or type(snapshot) is bytes)
        and (placement is None or type(placement) is bytes)
        and type(topics) is list and all(type(topic) is str for topic in topics) and len(set(topics)) == len(topics)
    )  # fmt: skip
    if not is_right:
        raise StoreCorrupt(f"{path}: agent {name!r:.80}: a field of it is of another type")
    agent = AgentId(name)
    decode_definition(agent, definition)
    if snapshot is not None:
        decode_snapshot(agent, snapshot)
    return Life(agent, definition, epoch, last_seq, wake_ms, snapshot_seq, snapshot, tuple(topics), placement)


def _take_letters(path: Path, piece: list[Any], journal_of: JournalOf) -> None:
    letters = piece[1] if len(piece) == 2 and type(piece[1]) is list else [None]
    for data in letters:
        letter = decode(data) if isinstance(data, bytes) else None
        if not isinstance(letter, DeadLetter):
            raise StoreCorrupt(f"{path}: holds a dead letter that is none")
        journal_of(letter.to).mail.add_letters([letter])


def migrate_agents(sources: list[PortableJournal], journal_of: JournalOf, tell: Tell) -> tuple[int, int]:
    """Copy all agents and letters into other journals; returns how many agents were copied, and were there already.

    Each agent is copied in one transaction, so one that is there is whole: a run that was killed goes on where it was.
    At the end every agent is read back and compared.  Raises :class:`~pagefault.runtime.errors.AgentExists` for an
    agent that is there as another one, :class:`~pagefault.runtime.errors.StoreCorrupt` for one that is damaged, or
    does not read back.
    """
    copied = there = 0
    for source in sources:
        for agent in source.agents():
            target, life = journal_of(agent), source.life(agent)
            try:
                if target.life(agent) != life:
                    raise AgentExists(f"agent {agent!r} is in the journal to migrate to, with another life")
                there += 1
            except UnknownAgent:
                kept = ((seq, source.checkpoint(agent, seq)) for seq in source.past(agent).checkpoints)
                target.restore(life, source.records(agent), kept)
                copied += 1
            tell(agent)
        for letter in reversed(source.mail.letters(LETTERS_READ_MAX)):
            journal_of(letter.to).mail.add_letters([letter])
    for source in sources:
        for agent in source.agents():
            if _contents(source, agent) != _contents(journal_of(agent), agent):
                raise StoreCorrupt(f"agent {agent!r} does not read back from where it was migrated to")
            tell(agent)
    return copied, there


def _contents(journal: PortableJournal, agent: AgentId) -> tuple[Life, bytes]:
    digest = hashlib.sha256()
    kept = (journal.checkpoint(agent, seq) for seq in journal.past(agent).checkpoints)
    for data in chain((data for _, data in journal.records(agent)), kept):
        digest.update(len(data).to_bytes(8, "big") + data)
    return journal.life(agent), digest.digest()
