"""What an agent's memory must hold: every page that its journal says was stored, and was not forgotten since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b

from pagefault.runtime.errors import InvalidTransition, ReplayDivergence, StoreCorrupt, UnknownAgent
from pagefault.runtime.host.births import FORKED_FROM, compare, state_from
from pagefault.runtime.host.records import decode_definition, decode_event
from pagefault.runtime.host.snapshots import decode_snapshot
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.effects import AnyEffect, ForgetPages, StorePages
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.points import PRIVATE_SPACES
from pagefault.runtime.store.protocols import PortableJournal, StoredPage
from pagefault.runtime.values import AgentId, Fidelity, PageId

FORKS_DEEP_MAX = 64
"""A fork of a fork of a fork: so many, so that damage which makes a circle ends."""
PAGES_A_WRITE = 256
JournalOf = Callable[[AgentId], PortableJournal]
Pages = dict[PageId, StoredPage]


def remembered(
    workshop: Workshop, journal_of: JournalOf, agent: AgentId, last_seq: int | None = None, depth: int = 0
) -> Pages:
    """Live an agent's past again, up to record ``last_seq``; returns its pages as the archive must have them.

    On the way every checksum, number and kept snapshot is checked.  A fork begins with the private pages of the agent
    that it was made from.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`,
    :class:`~pagefault.runtime.errors.ReplayDivergence`, :class:`~pagefault.runtime.errors.UnknownName`.
    """
    journal = journal_of(agent)
    past = journal.past(agent)
    definition = decode_definition(agent, past.definition)
    birth = journal.checkpoint(agent, 0) if 0 in past.checkpoints else None
    state = state_from(workshop, definition, birth)
    pages: Pages = {}
    if birth is not None and (origin := decode_snapshot(agent, birth).get(FORKED_FROM)) is not None:
        inherited = _of_origin(workshop, journal_of, agent, origin, depth).values()
        for page in (stored.page for stored in inherited if stored.page.ordinal <= state.ordinal):
            if page.space in PRIVATE_SPACES:
                copy = replace(page, fidelity=Fidelity.FULL)
                pages[page.id] = StoredPage(definition.tenant, agent, copy)
    until = past.last_seq if last_seq is None else last_seq
    for seq, data in journal.records(agent):
        if seq > until:
            break
        try:
            effects = state.handle(decode_event(agent, data))
        except InvalidTransition as error:
            raise ReplayDivergence(f"{agent}: record {seq} cannot follow what came before: {error}") from error
        _follow(pages, definition.tenant, agent, seq, effects)
        if seq in past.checkpoints:
            compare(journal.checkpoint(agent, seq), state, seq)
    return pages


def _follow(pages: Pages, tenant: str, agent: AgentId, seq: int, effects: Sequence[AnyEffect]) -> None:
    for effect in effects:
        if isinstance(effect, StorePages):
            pages.update({page.id: StoredPage(tenant, agent, page, seq) for page in effect.pages})
        elif isinstance(effect, ForgetPages):
            for page_id in effect.page_ids:
                pages.pop(page_id, None)


def _of_origin(workshop: Workshop, journal_of: JournalOf, agent: AgentId, origin: object, depth: int) -> Pages:
    if depth >= FORKS_DEEP_MAX:
        raise StoreCorrupt(f"{agent}: is a fork of a fork, more than {FORKS_DEEP_MAX} times")
    if not isinstance(origin, list) or len(origin) != 2 or type(origin[0]) is not str or type(origin[1]) is not int:
        raise StoreCorrupt(f"{agent}: its birth does not say whom it was made from: {origin!r:.80}")
    try:
        return remembered(workshop, journal_of, AgentId(origin[0]), origin[1], depth + 1)
    except UnknownAgent:
        raise StoreCorrupt(
            f"{agent}: is a fork of {origin[0]!r}, who is not here: the pages it began with cannot be known"
        ) from None


def write_missing(archive: PointArchive, pages: Pages) -> int:
    """Write those pages that the archive does not have, or has otherwise; returns how many."""
    stored = list(pages.values())
    written = 0
    for first in range(0, len(stored), PAGES_A_WRITE):
        batch = stored[first : first + PAGES_A_WRITE]
        owner = batch[0]
        there = {
            each.page.id: each for each in archive.get(owner.tenant, owner.agent, [each.page.id for each in batch])
        }
        missing = [each for each in batch if there.get(each.page.id) != each]
        if missing:
            archive.upsert(missing)
            written += len(missing)
    return written


def digests(stored: Iterable[StoredPage]) -> dict[tuple[str, AgentId, PageId], bytes]:
    """What each page is, in 16 bytes, by whose it is: an archive's whole contents in little room."""
    found = {}
    for each in stored:
        data = repr(each.page).encode(errors="replace")
        found[each.tenant, each.agent, each.page.id] = blake2b(data, digest_size=16).digest()
    return found
