"""Local: a fleet in one process, without Ray.  The same methods as :class:`pagefault.cluster.api.Cluster`."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from pagefault.policies.tiers import Tier
from pagefault.runtime.errors import UsageError
from pagefault.runtime.functions.mcp.pool import McpServers
from pagefault.runtime.functions.mcp.settings import Server, read_servers, secrets_of
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.exchange import Exchange
from pagefault.runtime.host.fleet import (
    ASK_TIMEOUT_S,
    AgentRef,
    as_answer,
    as_interrupt,
    check_receipt,
    checked_tiers,
    register_all,
    text_of,
)
from pagefault.runtime.host.groups import Post
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.local_router import LocalRouter
from pagefault.runtime.host.records import AgentRow, Answer, Inspection, Step
from pagefault.runtime.host.residency import FrameSettings
from pagefault.runtime.host.secrecy import learn_secrets
from pagefault.runtime.host.services import PastStores
from pagefault.runtime.host.survey import FOREVER_MS, merged
from pagefault.runtime.host.telemetry.host_meter import HostMeter
from pagefault.runtime.host.telemetry.meters import Sample
from pagefault.runtime.host.telemetry.read import budget_samples, host_samples, store_samples
from pagefault.runtime.host.telemetry.tracing.export import TraceExport, checked_traces, open_spans
from pagefault.runtime.host.telemetry.tracing.settings import Given
from pagefault.runtime.host.thread_stores import ThreadStores
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.budget.gate import Gate, local_gate, monotonic_ms
from pagefault.runtime.models.budget.processor import budgeted
from pagefault.runtime.models.budget.settings import BudgetSettings, Endpoint, budget_plan
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.store.open import EDGE, SQLITE, check_drivers
from pagefault.runtime.values import AgentId, Interrupt, InterruptId

IDLE_POLL_S = 0.005


class Local(Exchange):
    """Agents in this process, with their journal and archive in ``folder``.

    Use it as an asynchronous context manager.  ``folder`` is made if absent, and opened again it has the
    agents that were in it, with the same context and mailbox; without one the fleet is forgotten at the
    end.  ``functions`` are the program's own, decorated with :func:`pagefault.function`.  ``durability``:
    ``sync`` survives a power cut, ``async`` only the death of the process, ``exit`` not even that (see
    :mod:`~pagefault.runtime.store.sqlite_file`).  ``embedder``: ``wordllama``,
    ``hash`` or ``openai:MODEL``.  ``journal`` is ``sqlite`` or
    ``postgresql://…``, ``archive`` is ``edge`` or ``http://…`` (a Qdrant server), see docs/stores.md.
    ``tiers``: see :class:`~pagefault.policies.tiers.Tier`; pages that leave a context
    are kept there, so that a page fault need not reach the archive.  ``endpoints`` and ``budget``: what model
    servers allow, and what may be spent; see :mod:`~pagefault.runtime.models.budget.settings`.
    ``mcp``: servers, by name, whose tools agents may be given as ``mcp:NAME`` or ``NAME.TOOL``, see docs/functions.md.

    ``clock``: the machine's, or a :class:`~pagefault.runtime.host.virtual.VirtualClock` for runs that take no longer
    than their work and are the same each time.  Agents that had work under way go on by themselves, unless ``watch``
    is off: then only those that are spoken to wake.

    ``secrets`` are kept out of memory, journal and logs, as are those of the environment: see
    :mod:`~pagefault.runtime.host.secrecy`.  ``metrics``: whether it counts what :meth:`metrics` tells.
    ``traces``: see :class:`~pagefault.runtime.host.telemetry.tracing.settings.Traces`.

    Raises (on entering) :class:`~pagefault.runtime.errors.StoreUnavailable` when the folder cannot be used.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        functions: Iterable[Callable[..., Any]] = (),
        durability: str = "sync",
        embedder: str = "wordllama",
        journal: str = SQLITE,
        archive: str = EDGE,
        tiers: Iterable[Tier | Mapping[str, Any]] = (),
        endpoints: Iterable[Endpoint | Mapping[str, Any]] = (),
        budget: BudgetSettings | Mapping[str, Any] | None = None,
        frames: int | None = None,
        frames_bytes: int | None = None,
        frames_policy: str = "lru",
        idle_s: float | None = None,
        memory_bytes: int | None = None,
        clock: Clock | None = None,
        watch: bool = True,
        secrets: Iterable[str | SecretStr] = (),
        mcp: Mapping[str, Server | Mapping[str, Any]] | Iterable[Mapping[str, Any]] = (),
        metrics: bool = True,
        traces: Given = None,
    ) -> None:
        servers = read_servers(mcp)
        learn_secrets([*secrets, *secrets_of(servers.values())])
        self._servers = servers
        self._temporary = folder is None
        self._folder = Path(folder) if folder is not None else None
        self._durability = durability
        self._embedder = embedder
        check_drivers(journal, archive)
        self._drivers = (journal, archive)
        self._tiers = checked_tiers(tiers)
        self._budget = budget_plan(endpoints, budget)
        self._frames = FrameSettings(frames, frames_bytes, frames_policy, idle_s=idle_s, memory_bytes=memory_bytes)
        self._clock = clock
        self._is_watching = watch
        self._is_counting = metrics
        self._traces = checked_traces(traces)
        self._export: TraceExport | None = None
        self._registry = Registry()
        for function in functions:
            self._registry.add(function)
        self._numbers = itertools.count(1)
        self._token = clock.token() if isinstance(clock, VirtualClock) else os.urandom(6).hex()
        self._host: Host | None = None
        self._stores: ThreadStores | None = None
        self._router: LocalRouter | None = None
        self._gate: Gate | None = None

    @property
    def folder(self) -> Path:
        if self._folder is None:
            raise UsageError("Local is not open yet: use `async with Local(...) as fleet:`")
        return self._folder

    @property
    def host(self) -> Host:
        """The host behind this fleet, for tests and tools."""
        if self._host is None:
            raise UsageError("Local is not open: use `async with Local(...) as fleet:`")
        return self._host

    async def __aenter__(self) -> Self:
        if self._host is not None:
            raise UsageError("this Local is open already")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pagefault-"))
        try:
            self._stores = await self._open_stores(self._folder)
        except BaseException:  # whatever it was, also a cancellation: the folder made for it goes
            self._forget()
            raise
        try:
            mcp = McpServers(self._servers)
            await mcp.open(self._folder)
        except BaseException:  # as above; the stores are open by now
            await self.stop()
            raise
        self._router = LocalRouter()
        now_ms = self._clock.now_ms if isinstance(self._clock, VirtualClock) else monotonic_ms
        self._gate = gate = local_gate(self._budget, now_ms)
        maker = budgeted(self._budget, gate, make_processor) if self._budget else make_processor
        workshop = Workshop(self._registry, BpeTokenCounter(), maker, mcp)
        if self._budget:
            workshop.hurry = gate.promote
        self._host = Host(
            self._stores,
            workshop,
            self._router,
            self._clock,
            tiers=self._tiers,
            frames=self._frames,
            meter=self._meter(),
        )
        self._router.serve(self._host)
        if self._is_watching:
            self._host.watch()
        return self

    def _meter(self) -> HostMeter | None:
        self._export, spans = open_spans(self._traces)
        return HostMeter(spans) if self._is_counting or spans is not None else None

    async def _open_stores(self, folder: Path) -> ThreadStores:
        journal, archive = self._drivers
        opened = partial(
            ThreadStores.open,
            folder,
            durability=self._durability,
            embedder=self._embedder,
            journal=journal,
            archive=archive,
        )
        if not isinstance(self._clock, VirtualClock):
            return await asyncio.to_thread(opened)
        self._clock.check_loop()
        return opened(threads=False)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Save every agent and close the stores.  Safe to call twice."""
        host, stores, self._host, self._stores = self._host, self._stores, None, None
        try:
            if host is not None:
                await host.close()
        finally:
            if self._router is not None:  # after the host, which routes what it commits last
                await self._router.close()
            if stores is not None:
                await stores.close()
            if self._export is not None:
                await asyncio.to_thread(self._export.close)
            self._forget()

    def _forget(self) -> None:
        if self._temporary and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # --- agents

    async def spawn(self, agent: Agent) -> AgentRef:
        """Make an agent, or take up the one of that name if its description is the same.

        Raises :class:`~pagefault.runtime.errors.ConfigError`,
        :class:`~pagefault.runtime.errors.UnknownName` or
        :class:`~pagefault.runtime.errors.AgentExists`; then nothing was made.
        """
        return (await self.spawn_many([agent]))[0]

    async def spawn_many(self, agents: Iterable[Agent]) -> list[AgentRef]:
        """Make many agents at once: much faster than one by one, and no frame is taken before they are spoken to."""
        host, stores = self.host, self._stores
        assert stores is not None
        return await register_all(self, agents, host.workshop.try_out, stores.register)

    def agent(self, name: str) -> AgentRef:
        """A reference to an agent that is there already."""
        return AgentRef(self, AgentId(name))

    async def agents(self, prefix: str = "") -> list[AgentId]:
        """The names of all agents of this fleet, in order."""
        if self._stores is None:
            raise UsageError("Local is not open: use `async with Local(...) as fleet:`")
        return await self._stores.agents(prefix)

    # --- interrupts

    def _interrupt(self, message: str | Interrupt) -> Interrupt:
        return as_interrupt(message, f"user-{self._token}-{next(self._numbers)}", self.host.clock.now_ms())

    def _post(self) -> Post:
        host, stores = self.host, self._stores
        assert stores is not None
        return Post(stores, host.deliver, host.clock)

    def _archives(self) -> tuple[Workshop, PastStores]:
        host, stores = self.host, self._stores
        assert stores is not None
        return host.workshop, stores

    async def send(self, agent: AgentId | str, message: str | Interrupt) -> InterruptId:
        """Send a user's message, or any interrupt; returns when its acceptance is durable.

        Raises :class:`~pagefault.runtime.errors.Overloaded` (send again later, with the same interrupt),
        :class:`~pagefault.runtime.errors.AgentFailed` (refused for good),
        :class:`~pagefault.runtime.errors.UnknownAgent`, or a
        :class:`~pagefault.runtime.errors.StoreError`.
        """
        interrupt = self._interrupt(message)
        check_receipt(agent, await self.host.deliver(AgentId(agent), interrupt))
        return interrupt.id

    async def ask(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> str:
        """Send and wait for what the agent says while it handles this interrupt.

        Returns the texts of its ``send_message`` calls, one a line; an empty string if it said nothing.
        Raises what :meth:`send` raises; :class:`~pagefault.runtime.errors.AgentFailed` when the chain failed
        before it said anything; ``TimeoutError`` after ``timeout_s`` (the agent goes on).
        """
        answer = await self.answer(agent, message, timeout_s)
        return text_of(agent, answer)

    async def answer(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> Answer:
        """Like :meth:`ask`, with how the chain ended and how many steps it took; a failed chain does not raise."""
        host, name, interrupt = self.host, AgentId(agent), self._interrupt(message)
        async with asyncio.timeout(timeout_s):
            return as_answer(agent, await host.answers.ask(name, interrupt))

    async def tier_statistics(self) -> dict[str, dict[str, int]]:
        """By tier: hits, tokens brought up, pages taken in and given away; empty without tiers."""
        return self.host.cache.statistics()

    async def budget_statistics(self) -> dict[str, dict[str, float]]:
        """By endpoint: requests and tokens of the last minute, calls under way, the factor by which limits are
        shrunk, how often it was busy; under ``run`` what was spent, and how many calls wait."""
        return {} if self._gate is None or not self._budget else self._gate.statistics()

    async def metrics(self) -> list[Sample]:
        """What this fleet has counted and measured since it was opened, and how it is now; nothing if that is off.

        See :data:`~pagefault.runtime.host.telemetry.table.METRICS`, and
        :func:`~pagefault.runtime.host.telemetry.meters.exposition` for Prometheus.
        """
        host, stores = self.host, self._stores
        assert stores is not None
        if host.meter is None:
            return []
        told = [*host_samples(host), *store_samples(stores.statistics())]
        return [*told, *budget_samples(await self.budget_statistics())]

    async def stream(self, agent: AgentId | str | None = None, *, words: bool = False) -> AsyncIterator[Step]:
        """Steps as they happen, of one agent or of all; until the fleet stops or the iteration is closed.

        With ``words`` there are also steps of the kinds ``words`` (more of what a model is saying, if its server
        streams) and ``words_withdrawn`` (what came since the last ``message`` is not going to be said).
        """
        stream = self.host.listeners.stream(None if agent is None else AgentId(agent), words=words)
        try:
            async for step in stream:
                yield step
        finally:
            stream.close()

    async def inspect(self, agent: AgentId | str) -> Inspection:
        """The agent's context, page by page, with what each costs and why it is there."""
        return await self.host.inspect(AgentId(agent))

    async def hibernate(self, agent: AgentId | str) -> bool:
        """Have an agent leave its frame, if it is at rest; the next interrupt wakes it.

        Returns whether it has no frame now; ``False`` means that it has something under way.
        """
        host, name = self.host, AgentId(agent)
        await host.hibernate([name])
        return name not in host.frames

    async def survey(self, prefix: str = "") -> list[AgentRow]:
        """Every agent, or those whose names begin with ``prefix``, in order of their names; nobody is woken."""
        stores = self._post().stores
        names, due = await stores.agents(prefix), await stores.due(FOREVER_MS)
        return merged(self.host.survey(prefix, "local"), names, due)

    async def idle(self) -> None:
        """Return when no agent has anything under way."""
        while not (self.host.is_idle and (self._router is None or self._router.is_idle)):
            await self.host.committer.settled()
            await asyncio.sleep(IDLE_POLL_S)
