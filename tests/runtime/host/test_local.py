"""Local on the real stores: what a program sees of a fleet in its own process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pagefault
from pagefault.runtime.errors import (
    AgentExists,
    ConfigError,
    Overloaded,
    StoreUnavailable,
    UnknownAgent,
    UnknownName,
    UsageError,
)
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority
from tests.runtime.host.answering import MIND

ROOT = Path(__file__).parents[3]
HOLDS: dict[str, asyncio.Event] = {}


def waiting(request: ModelRequest) -> Reply:
    """Calls a function that does not end before it is let go."""
    return call("hold", False)


@function(effect="pure")
async def hold() -> str:
    """Wait."""
    HOLDS["began"].set()
    await HOLDS["go"].wait()
    return "held"


async def test_a_fleet_speaks_streams_and_comes_back_from_its_folder(tmp_path: Path) -> None:
    async with Local(tmp_path / "fleet", embedder="hash") as fleet:
        ada = await fleet.spawn(Agent("ada", model=MIND))
        stream = ada.stream()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert await ada.ask("one") == "heard one"
        assert (await first).agent == "ada"
        await stream.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
        await ada.send("two")
        await fleet.idle()
        before = await ada.inspect()
        assert before.statistics["steps"] == 2
        refs = await fleet.spawn_many(Agent(f"other-{number}", model=MIND) for number in range(1500))
        assert len(refs) == len(await fleet.agents("other-")) == 1500
    async with Local(tmp_path / "fleet", embedder="hash") as fleet:
        after = await fleet.agent("ada").inspect()
        assert (after.digest, after.messages) == (before.digest, before.messages)
        assert await fleet.agent("ada").ask("three") == "heard three"


def answered_until_killed(folder: Path) -> list[str]:
    """What a process of its own has printed when it is killed in the midst of answering."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(pagefault.__file__).parents[1]), str(ROOT)])}
    command = [sys.executable, "-m", "tests.runtime.host.answering", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as child:
        assert child.stdout is not None
        answered = [child.stdout.readline().strip() for _ in range(40)]
        child.send_signal(signal.SIGKILL)
        return answered + [line.strip() for line in child.stdout if line.endswith("\n")]


async def test_a_fleet_whose_process_was_killed_while_it_answered_has_all_that_was_answered(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    answered = await asyncio.to_thread(answered_until_killed, folder)
    async with Local(folder, embedder="hash") as fleet:
        ada = fleet.agent("ada")
        inspection = await ada.inspect()
        steps = inspection.statistics["steps"]
        assert len(answered) <= steps <= len(answered) + 1
        assert await ada.ask("after") == "heard after"
        assert (await ada.inspect()).statistics["steps"] in (steps + 1, steps + 2)
        texts = [message.text for message in inspection.messages if message.role == "user"]
        for number in range(len(answered) - 2, len(answered) + 1):
            assert sum(text.endswith(f" number {number}") for text in texts) == 1
    assert answered == [f"heard number {number}" for number in range(1, len(answered) + 1)]


async def test_a_full_mailbox_refuses_and_a_timeout_lets_the_agent_go_on() -> None:
    HOLDS.update(began=asyncio.Event(), go=asyncio.Event())
    async with Local(embedder="hash", functions=[hold]) as fleet:
        model = "scripted:tests.runtime.host.test_local:waiting"
        ada = await fleet.spawn(Agent("ada", model=model, functions=("hold",), mailbox_max=2))
        await ada.send("runs")
        await HOLDS["began"].wait()
        with pytest.raises(TimeoutError):
            await ada.ask("waits", timeout_s=0.05)
        await ada.send("waits too")
        with pytest.raises(Overloaded, match="at most 2") as caught:
            await ada.send("one too many")
        assert caught.value.retry_after_ms > 0
        assert (await ada.inspect()).waiting == 2
        HOLDS["go"].set()
        await fleet.idle()
        assert (await ada.inspect()).statistics["chains"] == 3


async def test_the_same_interrupt_asked_twice_is_handled_once() -> None:
    async with Local(embedder="hash") as fleet:
        ada = await fleet.spawn(Agent("ada", model=MIND))
        same = Interrupt(InterruptId("k"), InterruptKind.MESSAGE, Priority.USER, "user", "once")
        answers = await asyncio.gather(ada.ask(same), ada.ask(same))
        assert set(answers) == {"heard once"}
        assert (await ada.inspect()).statistics["steps"] == 1
        assert await ada.ask(same) == "heard once", "it has ended: its words are found again"
        assert (await ada.inspect()).statistics["steps"] == 1


async def test_what_is_wrong_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    async with Local(tmp_path / "fleet", embedder="hash") as fleet:
        with pytest.raises(UnknownName):
            await fleet.spawn_many([Agent("good", model=MIND), Agent("bad", model=MIND, policy="no_such")])
        assert await fleet.agents() == []
        await fleet.spawn(Agent("ada", model=MIND))
        with pytest.raises(AgentExists):
            await fleet.spawn(Agent("ada", model=MIND, persona="another"))
        with pytest.raises(UnknownAgent):
            await fleet.ask("nobody", "hello")
        for wrong in (7, None, Interrupt(InterruptId(""), InterruptKind.MESSAGE, Priority.USER, "user")):
            with pytest.raises(UsageError):
                await fleet.send("ada", wrong)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(UsageError, match="open already"):
            await fleet.__aenter__()
        with pytest.raises(StoreUnavailable):
            async with Local(tmp_path / "fleet", embedder="hash"):
                pass
    for wrong_settings in ({"embedder": "no_such"}, {"durability": "never"}):
        with pytest.raises((UnknownName, ConfigError)):
            async with Local(**wrong_settings):  # type: ignore[arg-type]  # wrong on purpose
                pass


async def test_a_temporary_fleet_leaves_nothing_behind() -> None:
    fleet = Local(embedder="hash")
    async with fleet:
        folder = fleet.folder
        assert folder.exists()
    assert not folder.exists()
    await fleet.stop()
    with pytest.raises(UsageError):
        _ = fleet.folder


async def test_an_agent_at_rest_is_put_to_sleep_and_wakes_when_it_is_spoken_to(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash") as fleet:
        ada = await fleet.spawn(Agent("ada", model=MIND))
        await ada.ask("hello")
        await fleet.idle()
        assert await fleet.hibernate("ada")
        assert [row.phase for row in await fleet.survey()] == ["asleep"]
        assert await fleet.hibernate("ada"), "she sleeps already"
        assert await ada.ask("hello again")
        assert [row.phase for row in await fleet.survey()] != ["asleep"]


async def test_the_newest_arrivals_are_read_from_the_journal(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash") as fleet:
        ada = await fleet.spawn(Agent("ada", model=MIND))
        for number in range(5):
            await ada.ask(f"message {number}")
        arrived = await fleet.arrivals("ada", 2)
        assert [(each.sender, each.text) for each in arrived] == [("user", "message 3"), ("user", "message 4")]
        assert len(await fleet.arrivals("ada", 50)) == 5
        with pytest.raises(UnknownAgent):
            await fleet.arrivals("bob", 1)
