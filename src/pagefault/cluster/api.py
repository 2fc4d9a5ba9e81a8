"""Cluster: a fleet on Ray.  The same methods as :class:`pagefault.runtime.host.local.Local`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from pagefault.cluster import _ray
from pagefault.cluster.asking import ask_host, inspect_agent, survey_hosts, tier_totals
from pagefault.cluster.fleet_start import Running, different, find_fleet, join_fleet, start_fleet, tried_already
from pagefault.cluster.ownership import fleet_name, namespace_of
from pagefault.cluster.placing import Placing
from pagefault.cluster.scheduler.placement import Wish, check_placement, check_strategy
from pagefault.cluster.settings import Code, FleetSettings, check_beginning
from pagefault.cluster.streams import read_agent, read_all
from pagefault.cluster.whereabouts import RUNS_HERE, Whereabouts, forget_whereabouts, joinable
from pagefault.cluster.workshops import trying_workshop
from pagefault.policies.tiers import Tier
from pagefault.runtime.errors import ConfigError, Overloaded, UsageError
from pagefault.runtime.functions.mcp import Server, accepted_text, read_servers
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.exchange import Exchange
from pagefault.runtime.host.fleet import (
    ASK_TIMEOUT_S,
    AgentRef,
    as_interrupt,
    check_receipt,
    checked_tiers,
    register_all,
    text_of,
)
from pagefault.runtime.host.groups import Post
from pagefault.runtime.host.records import AgentRow, Answer, Inspection, Step
from pagefault.runtime.host.residency import FrameSettings
from pagefault.runtime.host.services import PastStores
from pagefault.runtime.host.survey import FOREVER_MS, merged
from pagefault.runtime.host.telemetry.tracing.export import checked_traces
from pagefault.runtime.host.telemetry.tracing.settings import Given
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.budget.settings import BudgetSettings, Endpoint, budget_plan
from pagefault.runtime.store.open import EDGE, SQLITE
from pagefault.runtime.values import AgentId, Interrupt, InterruptId


class Cluster(Exchange, Placing):
    """Agents on Ray: hosts, store actors and a scheduler, on this machine or many.

    Use it as an asynchronous context manager.  ``address=None`` begins a Ray of its own on this machine;
    an address (``auto``, ``IP:PORT``) joins one that runs.  ``folder`` (on the stores' node) keeps journal
    and archive as for :class:`~pagefault.runtime.host.local.Local`; without one the fleet is forgotten at the
    end.  ``placement``: ``packed`` (many agents a Ray actor), ``dedicated`` (one each: a process of its own,
    with ``resources``) or ``auto`` (packed).  ``hosts`` is the number of packed hosts of each node (default:
    its processors less one), filled evenly (``strategy="spread"``) or one after the other (``"pack"``).
    ``endpoints`` and ``budget``, as for :class:`~pagefault.runtime.host.local.Local`, hold for all hosts together.
    ``functions`` and ``minds`` are the program's own; ``module:name`` references need none.  ``mcp``: as for ``Local``.
    ``frames``, ``frames_bytes``, ``frames_policy``, ``idle_s`` and ``memory_bytes`` bound what is resident in each
    host: see :class:`~pagefault.runtime.host.residency.FrameSettings`.

    ``name`` is what others find the fleet by (:meth:`attach`); ``if_running="join"`` joins one of that name
    instead of failing, and then nothing else that is said here counts.  The fleet ends with this object, or when
    its process dies; with ``keep`` it runs on, until somebody calls :meth:`stop`.  ``runtime_env`` is Ray's (such
    as ``{"working_dir": "."}``) and brings the program's code to the hosts.  ``stores_node`` is the id of the node
    whose disk has ``folder`` (default: this process's).  ``journal``, ``archive``, ``metrics``, ``traces``: see
    :class:`~pagefault.runtime.host.local.Local`; ``log_level`` and ``log_format``: :mod:`pagefault.cluster.logs`.

    Raises (on entering) :class:`~pagefault.runtime.errors.ConfigError` and
    :class:`~pagefault.runtime.errors.StoreUnavailable`; then nothing is left running.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
        address: str | None = None,
        if_running: str = "fail",
        keep: bool = False,
        placement: str = "auto",
        strategy: str = "spread",
        hosts: int | None = None,
        shards: int = 1,
        resources: Mapping[str, float] | None = None,
        functions: Iterable[Callable[..., Any]] = (),
        minds: Mapping[str, Callable[..., Any]] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        stores_node: str | None = None,
        durability: str = "sync",
        embedder: str = "wordllama",
        journal: str = SQLITE,
        archive: str = EDGE,
        tiers: Iterable[Tier | Mapping[str, Any]] = (),
        frames: int | None = None,
        frames_bytes: int | None = None,
        frames_policy: str = "lru",
        idle_s: float | None = None,
        memory_bytes: int | None = None,
        endpoints: Iterable[Endpoint | Mapping[str, Any]] = (),
        budget: BudgetSettings | Mapping[str, Any] | None = None,
        cpus: int | None = None,
        mcp: Mapping[str, Server | Mapping[str, Any]] | Iterable[Mapping[str, Any]] = (),
        metrics: bool = True,
        log_level: str = "info",
        log_format: str = "auto",
        traces: Given = None,
    ) -> None:
        check_beginning(shards, hosts, if_running)
        if keep and folder is None:
            raise ConfigError("folder", folder, "a folder, for a fleet that is kept")
        self._name: str | None = (chosen := fleet_name(name))
        self._settings = FleetSettings(
            namespace_of(chosen),
            str(Path(folder).absolute()) if folder is not None else "",
            shards,
            hosts or 0,
            durability,
            embedder,
            checked_tiers(tiers),
            budget=budget_plan(endpoints, budget),
            frames=FrameSettings(frames, frames_bytes, frames_policy, idle_s=idle_s, memory_bytes=memory_bytes),
            placement=check_placement(placement),
            resources=dict(resources or {}),
            strategy=check_strategy(strategy),
            journal=journal,
            archive=archive,
            metrics=metrics,
            log_level=log_level,
            log_format=log_format,
            traces=checked_traces(traces),
        )
        self._address, self._mcp = address, read_servers(mcp)
        self._if_running, self._keep = if_running, keep
        self._code = Code(tuple(functions), dict(minds or {}))
        self._runtime_env = dict(runtime_env or {})
        self._stores_node, self._cpus = stores_node, cpus
        self._clock, self._numbers, self._token = SystemClock(), itertools.count(1), os.urandom(6).hex()
        self._session: _ray.Session | None = None
        self._running: Running | None = None
        self._joins = self._shows_token = False
        self._temporary = self._found_in = cast("Path | None", None)

    @classmethod
    def attach(
        cls,
        name: str | None = None,
        *,
        address: str | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> Self:
        """A fleet that runs, from another process: ``async with Cluster.attach("town") as fleet``.

        Everything can be done with it that its first driver can do; leaving the block leaves the fleet running.
        ``address`` is that of its Ray cluster (default: the one that Ray finds by itself, ``auto``); without a name
        the only fleet there is meant.  Instead of both, a fleet of this machine can be given by its ``folder``.

        Raises :class:`~pagefault.runtime.errors.ConfigError` at once when nothing runs on that folder, and on
        entering when no such fleet runs at the address.
        """
        token = False
        if folder is not None:
            place = joinable(Path(folder), name, address)
            name, address, token = place.name, place.address, place.token
        fleet = cls(name=name, address=address or "auto")
        fleet._joins, fleet._name, fleet._shows_token = True, name, token
        fleet._found_in = Path(folder) if folder is not None else None
        return fleet

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise UsageError("this Cluster is open already")
        try:
            # Not in a thread: Ray binds its signal handling and its connection to the one that begins it.
            self._session = _ray.Session(
                self._address, cpus=self._cpus, runtime_env=self._runtime_env, shows_token=self._shows_token
            )
            self._running = await self._open()
        except BaseException:  # whatever it was, also a cancellation: nothing may be left running
            await self._close(ends=not self._joins)
            raise
        return self

    async def _open(self) -> Running:
        if self._if_running == "join" and not self._joins and self._name is not None:
            running = await find_fleet(self._name, self._clock)
            if running is not None:
                self._joins = True
                return running
        if not self._joins:
            return await self._start()
        try:
            return await join_fleet(self._name, self._clock)
        except ConfigError:
            if self._found_in is None or self._name is None:
                raise
            forget_whereabouts(self._found_in, self._name)  # its Ray runs on, the fleet has been killed
            raise ConfigError("folder", str(self._found_in), RUNS_HERE) from None

    async def _start(self) -> Running:
        assert self._session is not None
        if self._keep and self._session.began_ray:
            raise ConfigError("keep", True, "False where Ray is begun, and ends, with this process: give an address")
        settings = self._settings
        if not settings.folder:
            self._temporary = Path(tempfile.mkdtemp(prefix="pagefault-"))
        settings = replace(
            settings,
            folder=settings.folder or str(self._temporary),
            mcp=await accepted_text(self._mcp, Path(settings.folder or str(self._temporary))),
            owner="" if self._keep else _ray.this_job(),
        )
        here = _ray.this_node()
        running = await start_fleet(settings, self._code, self._clock, stores_node=self._stores_node or here)
        if self._temporary is None and self._stores_node in (None, here):
            started_ms, token = self._clock.now_ms(), _ray.wants_token()
            place = Whereabouts(settings.name, _ray.gcs_address(), os.getpid(), started_ms, self._keep, token)
            try:
                place.write(settings.path)
            except BaseException:  # as in __aenter__, which does not have this fleet yet
                await running.stop()
                raise
        return running

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close(ends=not (self._keep or self._joins))

    async def stop(self) -> None:
        """End the fleet, for everybody: save every agent, close the stores, leave Ray.  Safe to call twice."""
        await self._close(ends=True)

    async def leave(self) -> None:
        """Leave a fleet that runs on.  One that is not kept ends when the process that began it leaves Ray."""
        await self._close(ends=False)

    async def _close(self, *, ends: bool) -> None:
        running, self._running = self._running, None
        session, self._session = self._session, None
        try:
            if running is not None:
                await (running.stop() if ends else running.leave())
                if ends:
                    forget_whereabouts(running.settings.path, running.settings.name)
        finally:
            if session is not None:
                session.close()
            if self._temporary is not None and ends:
                shutil.rmtree(self._temporary, ignore_errors=True)
                self._temporary = None

    @property
    def name(self) -> str:
        """What others find this fleet by."""
        return self._parts.settings.name

    @property
    def folder(self) -> Path:
        """Where its data is, on the stores' node."""
        return self._parts.settings.path

    @property
    def _parts(self) -> Running:
        if self._running is None:
            raise UsageError("Cluster is not open: use `async with Cluster(...) as fleet:`")
        return self._running

    # --- agents

    async def spawn(
        self,
        agent: Agent,
        placement: str | None = None,
        *,
        resources: Mapping[str, float] | None = None,
        labels: Mapping[str, str] | None = None,
        node: str = "",
        near: str = "",
    ) -> AgentRef:
        """Make an agent, or take up the one of that name.  See :meth:`Local.spawn`.

        ``placement`` overrides the fleet's for this agent, and so do ``resources`` (for ``dedicated`` ones).
        ``labels`` are those that its node must have, ``node`` is the id of the only one that will do, ``near`` an agent
        whose host it wants to share: see :class:`~pagefault.cluster.scheduler.placement.Wish`.
        """
        refs = await self.spawn_many([agent], placement, resources=resources, labels=labels, node=node, near=near)
        return refs[0]

    async def spawn_many(
        self,
        agents: Iterable[Agent],
        placement: str | None = None,
        *,
        resources: Mapping[str, float] | None = None,
        labels: Mapping[str, str] | None = None,
        node: str = "",
        near: str = "",
    ) -> list[AgentRef]:
        """Make many agents; none takes a frame or a process before it is spoken to.  See :meth:`spawn`."""
        parts, described = self._parts, list(agents)
        placement = parts.settings.placement if placement is None else check_placement(placement)
        if resources is None:
            resources = parts.settings.resources if placement == "dedicated" else {}
        wish = Wish(placement, dict(resources), dict(labels or {}), node, near)
        if parts.workshop is None:
            await self._ask_scheduler("try_out", different(described))
        try_out = parts.workshop.try_out if parts.workshop is not None else tried_already
        refs = await register_all(self, described, try_out, parts.remote.register)
        if not wish.is_plain:
            await self._ask_scheduler("wish", [ref.id for ref in refs], wish.encode())
        return refs

    async def _ask_scheduler(self, method: str, *arguments: object) -> Any:
        try:
            return await self._parts.router.ask_scheduler(method, *arguments)
        except Overloaded as error:
            problem = "its scheduler does not answer; it may have been stopped"
            raise Overloaded(f"the fleet {self.name}: {problem}") from error

    def agent(self, name: str) -> AgentRef:
        """A reference to an agent that is there already."""
        return AgentRef(self, AgentId(name))

    async def agents(self, prefix: str = "") -> list[AgentId]:
        """The names of all agents of this fleet, in order."""
        return await self._parts.remote.agents(prefix)

    async def host_pid(self, agent: AgentId | str) -> int:
        """The process that the agent lives in: for tools, and for tests that kill it."""
        return int(await _ray.call(await self._parts.router.handle_of(AgentId(agent)), "pid"))

    # --- interrupts

    def _interrupt(self, message: str | Interrupt) -> Interrupt:
        return as_interrupt(message, f"user-{self._token}-{next(self._numbers)}", self._clock.now_ms())

    def _post(self) -> Post:
        return Post(self._parts.remote, self._parts.router.deliver, self._clock)

    def _archives(self) -> tuple[Workshop, PastStores]:
        return trying_workshop(self._code, self._parts.settings.budget, self._parts.settings.mcp), self._parts.remote

    async def send(self, agent: AgentId | str, message: str | Interrupt) -> InterruptId:
        """Send a user's message, or any interrupt; returns when its acceptance is durable.  See :meth:`Local.send`."""
        interrupt = self._interrupt(message)
        check_receipt(agent, await self._parts.router.deliver(AgentId(agent), interrupt))
        return interrupt.id

    async def ask(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> str:
        """Send and wait for what the agent says.  See :meth:`Local.ask`."""
        return text_of(agent, await self.answer(agent, message, timeout_s))

    async def answer(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> Answer:
        """Like :meth:`ask`, with how the chain ended; a failed chain does not raise."""
        return await ask_host(self._parts.router, AgentId(agent), self._interrupt(message), timeout_s)

    async def stream(self, agent: AgentId | str | None = None, *, words: bool = False) -> AsyncIterator[Step]:
        """Steps as they happen, of one agent or of all.  See :meth:`Local.stream`."""
        router = self._parts.router
        if agent is None:
            steps = read_all(router, self.hosts, lambda: self._running is not None, words=words)
        else:
            steps = read_agent(router, AgentId(agent), lambda: self._running is not None, words=words)
        async with contextlib.aclosing(steps):
            async for step in steps:
                yield step

    async def inspect(self, agent: AgentId | str) -> Inspection:
        """The agent's context, page by page.  See :meth:`Local.inspect`."""
        return await inspect_agent(self._parts.router, AgentId(agent))

    async def tier_statistics(self) -> dict[str, dict[str, int]]:
        """What the tiers of all hosts did, added up.  See :meth:`Local.tier_statistics`."""
        return await tier_totals(self._parts.router, list(await self.hosts()))

    async def survey(self, prefix: str = "") -> list[AgentRow]:
        """Every agent, or those whose names begin with ``prefix``; nobody is woken.  See :meth:`Local.survey`."""
        parts = self._parts
        names, due = await asyncio.gather(parts.remote.agents(prefix), parts.remote.due(FOREVER_MS))
        return merged(await survey_hosts(parts.router, list(await self.hosts()), prefix), names, due)
