"""What a seed draws, and the faults that strike a simulated fleet: when, which, and whom is all drawn from it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks._simulated_ray import Actor, SimulatedRay
from pagefault.cluster._ray import NodeState
from pagefault.cluster.settings import SCHEDULER_NAME, FleetSettings
from pagefault.runtime.failpoints import FAILPOINTS
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.store.sqlite_file import ASYNC_WINDOW_MS
from pagefault.runtime.testing.simulation.archive import SimulatedArchive
from pagefault.runtime.testing.simulation.disk import SimulatedDisk
from pagefault.runtime.testing.simulation.minds import ModelFaults
from pagefault.runtime.testing.simulation.processes import Process, running_process, this_process
from pagefault.runtime.testing.simulation.story import Story
from pagefault.runtime.values import AgentId

Order = Callable[..., None]
"""Asks the scheduler for something: a method, and its arguments."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed draws before it begins."""

    durability: str
    agents: int
    shards: int
    nodes: int
    packed_hosts: int
    frames: int | None
    idle_s: float | None
    snapshot_steps: int
    mailbox_max: int
    messages: int
    span_s: float
    faults: int
    kinds: tuple[str, ...]
    lost: float
    doubled: float
    delay_ms_max: float
    model: ModelFaults


KINDS = (
    *("kill_host", "stop_host", "isolate_host", "kill_store", "cut_power", "tear_commit", "die_at", "fail_commit"),
    *("archive_down", "kill_scheduler", "slow_store", "cut_line", "jump_clock", "move", "drain", "lose_node"),
)


def draw_plan(chance: Random, messages: int) -> Plan:
    """Few faults in some runs and many in others, not all kinds in each: rare meetings need that."""
    kinds = chance.sample(KINDS, chance.randint(3, len(KINDS)))
    return Plan(
        durability="async" if chance.random() < 0.12 else "sync",
        agents=chance.randint(3, 6),
        shards=chance.randint(1, 2),
        nodes=chance.randint(2, 3),
        packed_hosts=chance.randint(1, 2),
        frames=chance.choice((None, 1, 2, 3)),
        idle_s=chance.choice((None, 0.5, 4.0)),
        snapshot_steps=chance.choice((2, 4, 16)),
        mailbox_max=chance.choice((3, 20, 1000)),
        messages=messages,
        span_s=chance.choice((5.0, 20.0, 40.0)),
        faults=chance.randint(2, 9),
        kinds=tuple(kinds),
        lost=chance.choice((0.0, 0.0, 0.01, 0.05)),
        doubled=chance.choice((0.0, 0.05, 0.2)),
        delay_ms_max=chance.choice((2.0, 20.0, 400.0)),
        model=ModelFaults(chance.choice((5.0, 300.0, 5_000.0)), chance.choice((0.0, 0.0, 0.1))),
    )


class Shard:
    """What stays of one shard's store when its process dies."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.archive = SimulatedArchive()
        self.lost_from_ms: int | None = None
        self.was_open = False


class Faults:
    """Strikes a fleet.  ``order`` asks its scheduler for something."""

    def __init__(
        self,
        plan: Plan,
        seed: int,
        *,
        ray: SimulatedRay,
        clock: VirtualClock,
        story: Story,
        settings: FleetSettings,
        shards: Sequence[Shard],
        names: Sequence[AgentId],
        order: Order,
    ) -> None:
        self.plan = plan
        self.ray = ray
        self.clock = clock
        self.story = story
        self.settings = settings
        self.shards = shards
        self.names = names
        self._order = order
        self._chance = Random(f"{seed}/faults")
        self._traps: dict[str, tuple[int, Callable[[], None]]] = {}
        self._torn: set[str] = set()
        self._nodes_made = 0
        ray.ended = self._ended

    def add_node(self) -> None:
        """One more node joins."""
        name = f"node-{self._nodes_made}"
        self._nodes_made += 1
        self.ray.node_states[name] = NodeState(name, name, 2.0, {})

    async def strike(self) -> None:
        """All faults of the plan, one after the other."""
        chance = self._chance
        for _ in range(self.plan.faults):
            await asyncio.sleep(chance.random() * 2 * self.plan.span_s / self.plan.faults)
            kind = chance.choice(self.plan.kinds)
            self.story.add(f"fault: {kind}")
            getattr(self, f"_{kind}")()

    def _host(self) -> Actor | None:
        hosts = self.hosts()
        return self._chance.choice(hosts) if hosts else None

    def _store(self) -> Actor:
        return self.ray.actors[self.settings.store_name(self._chance.randrange(self.plan.shards))]

    def _after(self, delay_s: float, work: Callable[..., object], *arguments: object) -> None:
        timer = asyncio.get_running_loop().call_later(delay_s, work, *arguments)
        del timer

    def _kill_host(self) -> None:
        if (host := self._host()) is not None:
            self.ray.kill(host)

    def _stop_host(self) -> None:
        """Long enough, at times, that it is held for dead and comes back."""
        host = self._host()
        if host is None or host.process is None or host.process.is_stopped:
            return
        self.story.add(f"{host.name} stands still")
        host.process.stop()
        self._after(self._chance.choice((1.0, 5.0, 25.0)) * self._chance.random(), host.process.go_on)

    def _isolate_host(self) -> None:
        """Everybody holds it for dead, and it goes on speaking to the stores."""
        if (host := self._host()) is not None:
            self.story.add(f"{host.name} is held for dead")
            self.ray.hold_for_dead(host)
            self._after(self._chance.uniform(1, 40), self.ray.kill, host)

    def _kill_store(self) -> None:
        self.ray.kill(self._store())

    def _cut_power(self) -> None:
        """Of the store's machine; without syncing, of all: hosts elsewhere would know more than the disk."""
        store = self._store()
        self._torn.add(store.name)
        if self.plan.durability != "sync":
            for host in self.hosts() + [each for each in self.ray.old if each.process is not None]:
                self.ray.kill(host, with_power=True)
            for name in (SCHEDULER_NAME, *map(self.settings.store_name, range(self.plan.shards))):
                self._torn.add(name)
                self.ray.kill(self.ray.actors[name], with_power=True)
        self.ray.kill(store, with_power=True)

    def _tear_commit(self) -> None:
        """The power goes while a commit is being written; whoever waits for it is not told."""
        if self.plan.durability != "sync":
            return

        def tear() -> None:
            self._torn.add(this_process().name)
            self.ray.die_here()

        self._traps["journal.append.after_commit"] = (self._chance.randint(1, 8), tear)

    def _die_at(self) -> None:
        name = self._chance.choice(sorted(FAILPOINTS))
        self._traps[name] = (self._chance.randint(1, 6), self.ray.die_here)

    def _fail_commit(self) -> None:
        def fail() -> None:
            raise sqlite3.OperationalError("disk I/O error")

        name = self._chance.choice(("journal.append.before_commit", "journal.activate.before_commit"))
        self._traps[name] = (self._chance.randint(1, 4), fail)

    def _archive_down(self) -> None:
        archive = self.shards[self._chance.randrange(self.plan.shards)].archive
        archive.is_down = True
        self._after(self._chance.uniform(0.1, 15), setattr, archive, "is_down", False)

    def _kill_scheduler(self) -> None:
        self.ray.kill(self.ray.actors[SCHEDULER_NAME])

    def _slow_store(self) -> None:
        name = self._store().name
        self.ray.slow[name] = self._chance.uniform(5, 200)
        self._after(self._chance.uniform(1, 10), self.ray.slow.pop, name, None)

    def _cut_line(self) -> None:
        names = sorted([*self.ray.actors, "driver"])
        line = frozenset(self._chance.sample(names, 2))
        self.ray.cut.add(line)
        self._after(self._chance.uniform(0.5, 12), self.ray.cut.discard, line)

    def _jump_clock(self) -> None:
        if (host := self._host()) is not None and host.process is not None:
            host.process.clock.offset_ms = self._chance.choice((-5_000, -300, 300, 5_000))

    def _move(self) -> None:
        agents = self._chance.sample(self.names, self._chance.randint(1, len(self.names)))
        self._order("move", agents, "", self._chance.choice((0.0, 0.3, 3.0)))

    def _drain(self) -> None:
        if (host := self._host()) is not None:
            self._order("drain", host.name, self._chance.choice((0.0, 0.3, 3.0)))

    def _lose_node(self) -> None:
        """A node is gone, and what ran there runs on for a while; later another joins."""
        names = [name for name in self.ray.node_states if name != "node-0"]
        if not names:
            return
        name = self._chance.choice(names)
        del self.ray.node_states[name]
        for host in [each for each in self.ray.actors.values() if each.node == name]:
            self.ray.hold_for_dead(host)
            self._after(self._chance.uniform(0, 30), self.ray.kill, host)
        self._after(self._chance.uniform(1, 10), self.add_node)

    def hosts(self) -> list[Actor]:
        """All hosts whose process is alive."""
        return [
            actor
            for name, actor in sorted(self.ray.actors.items())
            if name.startswith("host-") and actor.process is not None and not actor.process.is_dead
        ]

    def reached(self, name: str) -> None:
        """A failpoint is reached."""
        process = running_process()
        if process is None:
            return
        if name.startswith("journal.") and name.endswith("before_commit"):
            self._disk_of(process).commits()
        trap = self._traps.get(name)
        if trap is None or process.name == "driver":
            return
        count, action = trap
        if count > 1:
            self._traps[name] = (count - 1, action)
            return
        del self._traps[name]
        self.story.add(f"{process.name} is struck at {name}")
        action()

    def _disk_of(self, process: Process) -> SimulatedDisk:
        return self.shards[int(process.name.removeprefix("store-"))].disk

    def _ended(self, actor: Actor) -> None:
        if actor.name.startswith("store-"):  # not at once: the journal may be in the middle of something
            self.ray.later(None, 0.0, self._leave, actor.name)

    def _leave(self, name: str) -> None:
        shard = self.shards[int(name.removeprefix("store-"))]
        if name not in self._torn:
            shard.disk.crash()
            return
        self._torn.discard(name)
        shard.disk.lose_power()
        if self.plan.durability != "sync":
            shard.lost_from_ms = self.clock.now_ms() - 2 * ASYNC_WINDOW_MS

    def end(self) -> None:
        """Nothing goes wrong any more, and what stood still goes on."""
        self._traps.clear()
        self.ray.cut.clear()
        self.ray.slow.clear()
        network = self.ray.network
        network.lost = network.doubled = 0.0
        network.delay_ms_max = 5.0
        for host in self.hosts():
            if host.process is not None:
                host.process.go_on()
                host.process.clock.offset_ms = 0
        for shard in self.shards:
            shard.archive.is_down = False
