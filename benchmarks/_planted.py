"""Bugs of the kinds that the simulator exists for, each planted from outside into production code for one run.

No switch for them is in the code itself: each is a replaced method, in a block.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks._simulated_ray import replaced
from pagefault.cluster.router import ClusterRouter
from pagefault.runtime.errors import StaleEpoch
from pagefault.runtime.host import workshop as workshops
from pagefault.runtime.host.commit import Committer
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.moving import MovedError
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.kernel import handlers
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import Accept, AnyEffect, ForgetPages, StorePages
from pagefault.runtime.store import sqlite_file
from pagefault.runtime.store.protocols import Activation, Append
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import Effect

Bug = Callable[[ExitStack], None]


def ack_before_append(stack: ExitStack) -> None:
    """A sender is told that its interrupt is accepted when it is in memory."""
    _perform_at_once(stack, lambda effect: isinstance(effect, Accept))


def effects_before_commit(stack: ExitStack) -> None:
    """Functions run, and messages go, before what asked for them is in the journal."""
    _perform_at_once(stack, lambda effect: not isinstance(effect, Accept))


def _perform_at_once(stack: ExitStack, chosen: Callable[[AnyEffect], bool]) -> None:
    handle = Frame.handle

    def handled(frame: Frame, event: Any) -> list[AnyEffect]:
        effects = handle(frame, event)
        held = [(seq, effect) for seq, effect in frame.gated if not chosen(effect)]
        early = [(seq, effect) for seq, effect in frame.gated if chosen(effect)]
        frame.gated = held
        for seq, effect in early:
            HOSTS[frame.id].perform(frame, seq, effect)
        return effects

    handle_event = Host._handle  # noqa: SLF001 - a bug is planted inside

    def with_host(host: Host, frame: Frame, event: Any) -> None:
        HOSTS[frame.id] = host._performer  # noqa: SLF001 - a bug is planted inside
        handle_event(host, frame, event)

    stack.enter_context(replaced(Frame, "handle", handled))
    stack.enter_context(replaced(Host, "_handle", with_host))


HOSTS: dict[str, Any] = {}
"""The performer of whoever handles an event now."""


def no_fencing(stack: ExitStack) -> None:
    """An append of whatever activation is taken, as the next records."""
    append = SqliteJournal.append

    def unfenced(journal: SqliteJournal, group: Sequence[Append]) -> list[Exception | None]:
        results: list[Exception | None] = []
        for item in group:
            past = journal.past(item.agent)
            (epoch,) = journal._read(partial(_epoch, item.agent))  # noqa: SLF001 - a bug is planted inside
            forged = replace(item, epoch=epoch, first_seq=past.last_seq + 1)
            results += append(journal, [forged if epoch != item.epoch else item])
        return results

    stack.enter_context(replaced(SqliteJournal, "append", unfenced))


def _epoch(agent: str, connection: sqlite3.Connection) -> Any:
    query = "SELECT epoch FROM heads JOIN agents ON agents.id = heads.agent WHERE name = ?"
    return connection.execute(query, (agent,)).fetchone()


def dedup_lost_at_snapshot(stack: ExitStack) -> None:
    """Who comes back from a snapshot has forgotten which interrupts it has handled."""
    dump = AgentState.dump
    stack.enter_context(replaced(AgentState, "dump", lambda state: {**dump(state), "remembered": []}))


def tail_off_by_one(stack: ExitStack) -> None:
    """The first record after a snapshot is taken to be in it."""
    activate = SqliteJournal.activate

    def short(journal: SqliteJournal, agent: Any) -> Activation:
        found = activate(journal, agent)
        if found.snapshot is None or not found.records:
            return found
        return replace(found, snapshot_seq=found.snapshot_seq + 1, records=found.records[1:])

    stack.enter_context(replaced(SqliteJournal, "activate", short))


def outbox_not_redone(stack: ExitStack) -> None:
    """Messages that were under way when a host died are not sent again."""
    stack.enter_context(replaced(workshops, "REDONE", (StorePages, ForgetPages)))


def once_runs_again(stack: ExitStack) -> None:
    """A function that may run once is asked for again after a crash."""
    recover = handlers._recover_function  # noqa: SLF001 - a bug is planted inside

    def recovered(data: Any, outstanding: Any) -> None:
        get = data.functions.get

        class Table:
            """The agent's functions, all of them harmless."""

            def get(self, name: str) -> Any:
                spec = get(name)
                return None if spec is None else replace(spec, effect=Effect.IDEMPOTENT)

            def __getattr__(self, name: str) -> Any:
                return getattr(functions, name)

        functions, data.functions = data.functions, Table()
        try:
            recover(data, outstanding)
        finally:
            data.functions = functions

    stack.enter_context(replaced(handlers, "_recover_function", recovered))


def snapshot_before_archive(stack: ExitStack) -> None:
    """A snapshot is saved though the archive has not taken the pages before it."""

    async def at_once() -> None:
        return

    init = Committer.__init__

    def made(
        committer: Committer, stores: Any, perform: Any, fail: Any, _flush: Any, *others: Any, **named: Any
    ) -> None:
        init(committer, stores, perform, fail, at_once, *others, **named)

    stack.enter_context(replaced(Committer, "__init__", made))


def timers_sleep_on(stack: ExitStack) -> None:
    """A hibernated agent's timers are forgotten, by its host and by the journal."""
    stack.enter_context(replaced(Frame, "timer_ms", lambda _frame: None))


def half_a_group(stack: ExitStack) -> None:
    """Of a group of appends the second half is said to be written, and is not."""
    append = SqliteJournal.append

    def halved(journal: SqliteJournal, group: Sequence[Append]) -> list[Exception | None]:
        first = group[: (len(group) + 1) // 2]
        return append(journal, first) + [None] * (len(group) - len(first))

    stack.enter_context(replaced(SqliteJournal, "append", halved))


def commit_not_synced(stack: ExitStack) -> None:
    """A commit returns when it is with the operating system, though ``sync`` was asked for."""
    stack.enter_context(replaced(sqlite_file, "DURABILITY", {**sqlite_file.DURABILITY, "sync": "NORMAL"}))


def moved_is_dropped(stack: ExitStack) -> None:
    """A router that hears that an agent has moved says that its message was accepted."""
    settle = ClusterRouter._settle  # noqa: SLF001 - a bug is planted inside

    def settled(router: ClusterRouter, run: Any, results: Sequence[Receipt | Exception]) -> None:
        settle(router, run, [Receipt(True) if isinstance(each, MovedError | StaleEpoch) else each for each in results])

    stack.enter_context(replaced(ClusterRouter, "_settle", settled))


BUGS: Mapping[str, Bug] = {
    bug.__name__: bug
    for bug in (
        ack_before_append,
        effects_before_commit,
        no_fencing,
        dedup_lost_at_snapshot,
        tail_off_by_one,
        outbox_not_redone,
        once_runs_again,
        snapshot_before_archive,
        timers_sleep_on,
        half_a_group,
        commit_not_synced,
        moved_is_dropped,
    )
}
"""Every bug by its name."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """In this block, production code has this bug (none for an empty name)."""
    with ExitStack() as stack:
        if name:
            BUGS[name](stack)
        yield
