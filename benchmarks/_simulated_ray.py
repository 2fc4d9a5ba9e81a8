"""Ray, simulated: the production actors of a fleet run on one thread, and every call between them may go wrong.

``pagefault.cluster`` makes all its calls of Ray in one module; :meth:`SimulatedRay.installed` takes the place of those.
A call is delayed, and may be lost on the way there or back (then its caller hears, later, that the actor is
unavailable), or come twice.  Actors die, stall, come back, and may be held for dead while they run on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from random import Random
from typing import Any

from ray.exceptions import ActorDiedError, ActorUnavailableError

from pagefault.cluster import _ray, host_actor, router, scheduler_actor
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.testing.simulation.processes import Process, SimulatedCrash, this_process
from pagefault.runtime.testing.simulation.story import Story

START_S = 0.2
"""An actor is there so long after it was started."""
COME_BACK_S = 1.5
"""An actor that Ray starts again is there so long after its death."""
NOTICED_S = 0.3
"""A caller hears so late that the actor it waits for has died, or that its message was lost."""
REPEATED = frozenset({"deliver", "append", "write_pages", "forget", "add_letters", "take", "flush", "activate"})
"""Methods that may be called twice where the caller called once: they must not mind."""
QUIET = frozenset({"pid", "ready", "is_idle", "locate", "due", "flush", "write_pages", "append", "deliver"})
"""Too many to be told one by one; what they do is."""


@dataclass(slots=True)
class NetworkFaults:
    """Shares of calls that are lost (there or back) and doubled; delays up to ``delay_ms_max``, mostly far below."""

    lost: float = 0.0
    doubled: float = 0.0
    delay_ms_max: float = 5.0


class Actor:
    """A named actor: its process, and what it takes to start it again."""

    def __init__(self, name: str, make: Callable[[], object], node: str, *, restarts: bool) -> None:
        self.name = name
        self.make = make
        self.node = node
        self.restarts = restarts
        self.process: Process | None = None
        self.instance: Any = None
        self.opened = asyncio.Event()
        self.is_gone = False  # for everybody else; its process may run on
        self.pending: dict[asyncio.Future[Any], Process] = {}


class SimulatedRay:
    """A Ray cluster of one thread.  ``ended`` is told of every actor whose process has died."""

    def __init__(self, clock: VirtualClock, chance: Random, story: Story) -> None:
        self._clock = clock
        self._chance = chance
        self._story = story
        self.network = NetworkFaults()
        self.slow: dict[str, float] = {}
        self.cut: set[frozenset[str]] = set()
        self.actors: dict[str, Actor] = {}
        self.node_states: dict[str, _ray.NodeState] = {}
        self.kept: dict[str, None] = {}
        self.old: list[Actor] = []
        self.calls = 0
        self._outside = copy_context()  # of no process
        self.ended: Callable[[Actor], None] = lambda _actor: None

    # --- what stands for the functions of ``_ray``

    async def call(self, handle: Actor, method: str, *arguments: object) -> Any:
        """See :func:`pagefault.cluster._ray.call`."""
        caller = this_process()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.calls += 1
        if method not in QUIET:
            self._story.add(f"{caller.name} calls {handle.name}.{method}")
        handle.pending[future] = caller
        future.add_done_callback(lambda done: handle.pending.pop(done, None))
        times = 2 if method in REPEATED and self._chance.random() < self.network.doubled else 1
        for _ in range(times):
            if self._chance.random() < self.network.lost:
                self.later(caller, NOTICED_S, self._fail, future, ActorUnavailableError("the call was lost", None))
            else:
                self.later(None, self._delay_s(handle), self._arrive, caller, handle, method, arguments, future)
        return await future

    def start_actor(
        self, cls: Callable[..., object], *arguments: object, name: str, node: str = "", restarts: int = 0, **_: object
    ) -> Actor:
        """See :func:`pagefault.cluster._ray.start_actor`."""
        place = node or next(iter(self.node_states))
        actor = Actor(name, lambda: cls(*arguments), place, restarts=bool(restarts))
        self.actors[name] = actor
        self._story.add(f"{name} is started on {place}")
        self.later(None, START_S * (0.5 + self._chance.random()), self._begin, actor)
        return actor

    def find_actor(self, name: str, namespace: str) -> Actor | None:
        """See :func:`pagefault.cluster._ray.find_actor`."""
        del namespace
        return self.actors.get(name)

    def named_actors(self) -> list[tuple[str, str]]:
        """See :func:`pagefault.cluster._ray.named_actors`."""
        return [(name, "simulated") for name in self.actors]

    def nodes(self) -> list[_ray.NodeState]:
        """See :func:`pagefault.cluster._ray.nodes`."""
        return list(self.node_states.values())

    def end_actor(self, handle: Actor) -> None:
        """See :func:`pagefault.cluster._ray.end_actor`: it takes effect in its own time, if the actor is stalled."""
        handle.restarts = False
        self.hold_for_dead(handle)
        process = handle.process
        if process is not None and not process.is_dead:
            wait_s = 5.0 * self._chance.random() if process.is_stopped else 0.05
            self.later(None, wait_s, self._end_when_it_runs, handle)

    def remember(self, namespace: str, key: str) -> None:
        """See :func:`pagefault.cluster._ray.remember`."""
        self.kept[f"{namespace}/{key}"] = None

    def remembered(self, namespace: str) -> list[str]:
        """See :func:`pagefault.cluster._ray.remembered`."""
        return [key.partition("/")[2] for key in self.kept if key.startswith(f"{namespace}/")]

    # --- what goes wrong

    def hold_for_dead(self, actor: Actor) -> None:
        """Everybody is told that this actor has died, whether it has or not."""
        if actor.is_gone:
            return
        actor.is_gone = True
        if self.actors.get(actor.name) is actor and not actor.restarts:
            del self.actors[actor.name]
            self.old.append(actor)
        self._fail_pending(actor, ActorDiedError())

    def kill(self, actor: Actor, *, with_power: bool = False) -> None:
        """The actor's process dies now."""
        process = actor.process
        if process is None or process.is_dead:
            return
        self._story.add(f"{actor.name} dies{' with its machine' if with_power else ''}")
        process.kill()
        actor.opened.clear()
        self.ended(actor)
        if actor.restarts:
            self._fail_pending(actor, ActorUnavailableError("it is started again", None))
            self.later(None, COME_BACK_S * (0.3 + self._chance.random()), self._begin, actor)
        else:
            self.hold_for_dead(actor)

    def die_here(self) -> None:
        """The process that runs dies, at this very place."""
        process = this_process()
        for actor in list(self.actors.values()) + self.old:
            if actor.process is process:
                self.kill(actor)
        raise SimulatedCrash(process.name)

    def _end_when_it_runs(self, actor: Actor) -> None:
        if actor.process is not None and actor.process.is_stopped:
            self.later(None, 0.5, self._end_when_it_runs, actor)
        else:
            self.kill(actor)

    def _fail_pending(self, actor: Actor, error: Exception) -> None:
        for future, caller in list(actor.pending.items()):
            self.later(caller, NOTICED_S * self._chance.random(), self._fail, future, error)

    # --- how a call goes

    def _begin(self, actor: Actor) -> None:
        if actor.node not in self.node_states:
            self.hold_for_dead(actor)  # its node left before it was there
        if actor.is_gone:
            return
        process = actor.process = Process(actor.name, self._clock, actor.node)
        task = process.start(self._construct(actor, process))
        task.add_done_callback(_heard)

    async def _construct(self, actor: Actor, process: Process) -> None:
        try:
            actor.instance = actor.make()
        except Exception as error:  # noqa: BLE001 - whatever a constructor raises ends its process, as with Ray
            self._story.add(f"{actor.name} cannot be made: {type(error).__name__}: {error}")
            self.kill(actor)
            return
        if not process.is_dead:
            self._story.add(f"{actor.name} is there")
            actor.opened.set()

    def _arrive(
        self,
        caller: Process,
        actor: Actor,
        method: str,
        arguments: tuple[object, ...],
        future: asyncio.Future[Any],
    ) -> None:
        if actor.is_gone:
            self.later(caller, NOTICED_S, self._fail, future, ActorDiedError())
            return
        process = actor.process
        if frozenset((caller.name, actor.name)) in self.cut:
            self.later(caller, NOTICED_S, self._fail, future, ActorUnavailableError("it cannot be reached", None))
        elif process is None or process.is_dead:
            if actor.restarts and process is not None:
                self.later(caller, NOTICED_S, self._fail, future, ActorUnavailableError("it is started again", None))
            else:  # it has not begun: the call waits for it
                self.later(None, START_S, self._arrive, caller, actor, method, arguments, future)
        else:
            task = process.start(self._run(caller, actor, method, arguments, future))
            task.add_done_callback(_heard)

    async def _run(
        self,
        caller: Process,
        actor: Actor,
        method: str,
        arguments: tuple[object, ...],
        future: asyncio.Future[Any],
    ) -> None:
        process = this_process()
        await actor.opened.wait()
        CALLER[process] = caller
        result: Any = None
        error: BaseException | None = None
        try:
            result = await getattr(actor.instance, method)(*arguments)
        except Exception as raised:  # noqa: BLE001 - whatever a method raises is its caller's, as with Ray
            error = raised
        if process.is_dead:
            return
        if self._chance.random() < self.network.lost or frozenset((caller.name, actor.name)) in self.cut:
            self.later(caller, NOTICED_S, self._fail, future, ActorUnavailableError("the answer was lost", None))
        elif error is not None:
            self.later(caller, self._delay_s(actor), self._fail, future, error)
        else:
            self.later(caller, self._delay_s(actor), self._answer, future, result)

    @staticmethod
    def _answer(future: asyncio.Future[Any], result: object) -> None:
        if not future.done():
            future.set_result(result)

    @staticmethod
    def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever asked may have left: that is no cause for a warning

    def _delay_s(self, actor: Actor) -> float:
        share: float = self._chance.random() ** 6
        return (0.1 + share * self.network.delay_ms_max) * self.slow.get(actor.name, 1.0) / 1000

    def later(self, process: Process | None, delay_s: float, work: Callable[..., None], *arguments: object) -> None:
        """Do something in a process, or (``None``) in none: what is under way between processes."""
        context = self._outside.copy() if process is None else process.context()
        timer = asyncio.get_running_loop().call_later(delay_s, work, *arguments, context=context)
        del timer

    @contextmanager
    def installed(self, chance: Random) -> Iterator[None]:
        """In this block, what the cluster calls of Ray goes here, and its clocks and chance are the simulation's."""
        self._outside = copy_context()
        with ExitStack() as stack:
            for name in ("call", "start_actor", "find_actor", "named_actors", "nodes", "end_actor"):
                stack.enter_context(replaced(_ray, name, getattr(self, name)))
            stack.enter_context(replaced(_ray, "remember", self.remember))
            stack.enter_context(replaced(_ray, "remembered", self.remembered))
            stack.enter_context(replaced(_ray, "forget_remembered", lambda _namespace: self.kept.clear()))
            stack.enter_context(replaced(_ray, "this_node", lambda: this_process().node))
            for module in (host_actor, scheduler_actor):
                stack.enter_context(replaced(module, "SystemClock", lambda: this_process().clock))
                stack.enter_context(replaced(module, "monotonic_ms", lambda: 1000.0 * self._clock.seconds()))
            stack.enter_context(replaced(host_actor, "tune_collector", lambda: None))
            for module in (router, scheduler_actor):
                stack.enter_context(replaced(module, "os", _Chance(chance)))
            yield


class _Chance:
    """What stands for :mod:`os` where chance is wanted of it."""

    def __init__(self, chance: Random) -> None:
        self.urandom = chance.randbytes
        self.getpid = os.getpid


CALLER: dict[Process, Process] = {}
"""Whose call a process has begun to serve last: true until it awaits something."""


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """In this block, an attribute of a module or class is another one."""
    before = vars(owner)[name] if isinstance(owner, type) or hasattr(owner, "__dict__") else getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
