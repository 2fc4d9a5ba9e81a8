"""Virtual time: hours take the time of their work, and the same run leaves the same journal to the byte."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import pagefault
from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

ROOT = Path(__file__).parents[3]
HERE = "scripted:tests.runtime.host.test_virtual"
HOUR_MS = 3_600_000


def lived(folder: Path, seed: int, hash_seed: int) -> dict[str, Any]:
    """What a town of two hundred leaves behind."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(pagefault.__file__).parents[1]), str(ROOT)]),
        "PYTHONHASHSEED": str(hash_seed),
    }
    command = [sys.executable, "-m", "tests.runtime.host.living", str(folder), str(seed), "200", "0.3"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=True)
    left: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return left


def test_a_seed_gives_the_same_journal_to_the_byte_in_every_process(tmp_path: Path) -> None:
    first = lived(tmp_path / "first", 7, 1)
    assert lived(tmp_path / "second", 7, 2) == first
    other = lived(tmp_path / "other", 8, 1)
    assert other["records"] != first["records"], "another seed is another life"
    assert int(first["records"].split()[0]) > 800
    assert int(first["dead_letters"].split()[0]) > 5
    assert int(first["subscriptions"].split()[0]) > 5


def ticker(request: ModelRequest) -> Reply:
    """Sets a timer of a minute, and counts."""
    incoming = View(request).incoming
    if incoming is not None and incoming.author == "timer":
        return call("count", word=incoming.text)
    return call("set_timer", minutes=1, message="tick", repeat=True)


def hasty(request: ModelRequest) -> Reply:
    """Runs a plain function."""
    view = View(request)
    return say(view.result.text) if view.result is not None else call("count", True, word="now")


HEARD: list[str] = []


@function(effect="once")
def count(word: str) -> str:
    """Count a word.

    Args:
        word: Which.
    """
    HEARD.append(word)
    return f"{len(HEARD)}"


def ticking(name: str = "ann") -> Agent:
    return Agent(name, model=f"{HERE}:ticker", functions=("all", "count"))


def test_hours_of_ticks_take_moments(tmp_path: Path) -> None:
    HEARD.clear()
    clock = VirtualClock()

    async def main() -> None:
        async with Local(tmp_path, clock=clock, functions=[count], embedder="hash", durability="async") as fleet:
            await (await fleet.spawn(ticking())).send("begin")
            await asyncio.sleep(6 * 3_600 + 1)

    began, start_ms = time.monotonic(), clock.now_ms()
    clock.run(main())
    assert clock.now_ms() - start_ms >= 6 * HOUR_MS
    assert HEARD == ["tick"] * 6 * 60
    assert time.monotonic() - began < 60, "and not six hours"


def test_after_an_hour_down_one_tick_comes_and_the_next_is_in_phase(tmp_path: Path) -> None:
    HEARD.clear()
    clock = VirtualClock()
    times: list[int] = []

    async def run(seconds: float) -> None:
        async with Local(tmp_path, clock=clock, functions=[count], embedder="hash") as fleet:
            if not times:
                ann = await fleet.spawn(ticking())
                await ann.send("begin")
                times.append(clock.now_ms())
            await asyncio.sleep(seconds)

    async def nothing() -> None:
        await asyncio.sleep(3_600)

    clock.run(run(150))
    assert HEARD == ["tick", "tick"]
    clock.run(nothing())  # the host is down
    clock.run(run(1))
    assert HEARD[2:] == ["tick\n(59 ticks of this timer went by unseen before it)"]
    phase_ms = (clock.now_ms() - times[0]) % 60_000
    clock.run(run((60_000 - phase_ms) / 1_000 + 1))
    assert HEARD[3:] == ["tick"], "and no storm"


def test_a_pause_is_kept_while_the_host_is_down(tmp_path: Path) -> None:
    HEARD.clear()
    clock = VirtualClock()

    async def first() -> None:
        async with Local(tmp_path, clock=clock, functions=[count], embedder="hash") as fleet:
            ann = await fleet.spawn(ticking())
            await ann.send("begin")
            pauser = await fleet.spawn(Agent("bob", model=f"{HERE}:pausing", functions=("all", "count")))
            await pauser.send("begin")
            await asyncio.sleep(90)

    async def then(seconds: float) -> None:
        async with Local(tmp_path, clock=clock, functions=[count], embedder="hash"):
            await asyncio.sleep(seconds)

    clock.run(first())
    assert HEARD == ["tick"], "bob pauses from his first tick on"
    clock.run(then(480))
    assert [each for each in HEARD if each.startswith("bob")] == []
    clock.run(then(120))
    told = [each for each in HEARD if each.startswith("bob")]
    assert told[0].startswith("bob's tick\n(9 ticks")


def pausing(request: ModelRequest) -> Reply:
    """Sets a timer, then pauses for ten minutes."""
    view = View(request)
    if view.incoming is not None and view.incoming.author == "timer":
        return call("count", word=view.incoming.text)
    if view.result is None:
        return call("set_timer", True, minutes=1, message="bob's tick", repeat=True)
    return call("pause_heartbeats", minutes=10)


def test_plain_functions_run_on_the_loop_and_answer(tmp_path: Path) -> None:
    HEARD.clear()
    clock = VirtualClock()

    async def main() -> str:
        async with Local(tmp_path, clock=clock, functions=[count], embedder="hash") as fleet:
            ann = await fleet.spawn(Agent("ann", model=f"{HERE}:hasty", functions=("all", "count")))
            return await ann.ask("go")

    assert clock.run(main()) == "1"


def talker(request: ModelRequest) -> Reply:
    """Answers."""
    return say("yes")


def test_limits_by_the_minute_are_kept_in_virtual_minutes(tmp_path: Path) -> None:
    clock = VirtualClock()
    limited = {"name": "fast", "models": ["scripted:*"], "requests_per_minute": 60}

    async def main() -> None:
        async with Local(tmp_path, clock=clock, endpoints=[limited], embedder="hash") as fleet:
            agents = [Agent(f"a{number}", model=f"{HERE}:talker") for number in range(180)]
            refs = await fleet.spawn_many(agents)
            await asyncio.gather(*(ref.ask("well?") for ref in refs))

    start_ms, began = clock.now_ms(), time.monotonic()
    clock.run(main())
    assert 110_000 <= clock.now_ms() - start_ms <= 200_000
    assert time.monotonic() - began < 60


async def test_a_virtual_clock_needs_its_own_loop(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"write clock\.run"):
        await Local(tmp_path, clock=VirtualClock()).__aenter__()
    with pytest.raises(ConfigError, match="seed: found -1, allowed: a whole number from 0"):
        VirtualClock(-1)


def test_while_a_thread_is_at_work_time_passes_as_it_really_does() -> None:
    clock = VirtualClock()

    async def main() -> bool:
        done = threading.Event()
        timer = threading.Timer(0.05, done.set)
        timer.start()
        async with asyncio.timeout(30):  # which would be over in no time
            found = await asyncio.to_thread(done.wait)
        timer.join()
        began = time.monotonic()
        await asyncio.sleep(3600)
        return found and time.monotonic() - began < 60

    assert clock.run(main()), "afterwards hours take moments again"


def test_while_a_connection_is_open_time_passes_as_it_really_does() -> None:
    clock = VirtualClock()

    async def main() -> float:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1")
        began = time.monotonic()
        await asyncio.sleep(0.05)
        took = time.monotonic() - began
        server.close()
        return took

    assert clock.run(main()) >= 0.045
