"""Several drivers on one fleet, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.api import Cluster
from pagefault.cluster.ownership import running_fleets
from pagefault.cluster.whereabouts import read_whereabouts
from pagefault.runtime.errors import ConfigError, StoreError
from pagefault.runtime.host.config import Agent
from tests.cluster.driver import Driver

pytestmark = pytest.mark.usefixtures("ray_session")
ECHO = "scripted:tests.cluster.minds:echo"
CODE = '''
import pagefault as pf


@pf.function(effect="pure", runs_in="ray")
def look_up(word: str) -> str:
    """Look a word up.

    Args:
        word: The word.
    """
    return f"{word} is in the book"


@pf.mind("reader")
def reader(request: pf.ModelRequest) -> pf.Reply:
    view = pf.View(request)
    if view.result is not None:
        return pf.say(view.result.text)
    return pf.call("look_up", True, word=view.incoming.text)
'''


@pytest.mark.soak
async def test_a_fleet_that_is_kept_outlives_the_driver_that_was_killed(tmp_path: Path) -> None:
    address, errors = _ray.gcs_address(), tmp_path / "errors"
    folder = tmp_path / "fleet"
    with Driver(tmp_path, errors=errors) as first, Driver(tmp_path, errors=errors) as second:
        await first("start", folder=str(folder), name="town", address=address, keep=True, embedder="hash", hosts=1)
        await second("attach", name="town", address=address)
        await first("spawn", name="ada", model=ECHO)
        await second("spawn", name="bob", model=ECHO)
        assert [await driver("agents") for driver in (first, second)] == [["ada", "bob"]] * 2
        numbers = range(5)
        # Both begin to count at one: were their ids the same, the second's would be taken for repetitions.
        answers = await asyncio.gather(
            _ask_each(first, "ada", [f"first {number}" for number in numbers]),
            _ask_each(second, "ada", [f"second {number}" for number in numbers]),
        )
        assert list(answers) == [[f"heard {who} {number}" for number in numbers] for who in ("first", "second")]
        # The stream may have begun in the midst of a chain.
        assert (await second("first_step", agent="bob", message="hello"))[0] == "bob"
        place = read_whereabouts(folder)
        assert place is not None
        assert (place.name, place.address, place.pid, place.kept) == ("town", address, first.process.pid, True)

        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
        assert await second("ask", agent="ada", message="alone") == "heard alone"
        await second("leave")
    async with Cluster.attach("town", address=address) as third:
        assert await third.ask("ada", "are you there?") == "heard are you there?"
        assert (await third.inspect("ada")).statistics["steps"] == 2 * len(numbers) + 2
        assert (third.name, third.folder) == ("town", folder)
        await third.stop()
    assert read_whereabouts(folder) is None
    assert "town" not in running_fleets()


async def _ask_each(driver: Driver, agent: str, messages: list[str]) -> list[str]:
    return [await driver("ask", agent=agent, message=message) for message in messages]


async def test_a_fleet_that_is_not_kept_is_saved_and_ends_when_its_driver_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    with Driver(tmp_path, errors=tmp_path / "errors") as driver:
        await driver("start", folder=str(folder), name="short", address=_ray.gcs_address(), embedder="hash", hosts=1)
        await driver("spawn", name="ada", model=ECHO)
        await driver("ask", agent="ada", message="remember")
        driver.process.send_signal(signal.SIGKILL)
        driver.process.wait(30)
    async with asyncio.timeout(60):
        while "short" in running_fleets():  # noqa: ASYNC110 - it ends in another process
            await asyncio.sleep(0.1)
    assert read_whereabouts(folder) is None
    async with Cluster(folder, embedder="hash", hosts=1) as fleet:
        assert (await fleet.inspect("ada")).statistics["steps"] == 1
        store = _ray.find_actor("store-00", fleet._parts.settings.namespace)
        assert store is not None
        os.kill(await _ray.call(store, "pid"), signal.SIGKILL)
        async with asyncio.timeout(60):
            while await _is_away(fleet):  # noqa: ASYNC110 - it comes back in another process
                await asyncio.sleep(0.1)
        assert await fleet.ask("ada", "is it back?") == "heard is it back?"


async def _is_away(fleet: Cluster) -> bool:
    try:
        return await fleet.ask("ada", "is the store back?") != "heard is the store back?"
    except StoreError:
        return True


@pytest.mark.soak
async def test_code_that_only_the_working_folder_has_reaches_hosts_and_tasks(tmp_path: Path) -> None:
    code, address = tmp_path / "code", _ray.gcs_address()
    code.mkdir()
    (code / "only_here.py").write_text(CODE)
    errors = tmp_path / "errors"
    with Driver(code, errors=errors) as first, Driver(tmp_path, errors=errors) as second:
        await first(
            "start", name="library", address=address, embedder="hash", hosts=1, runtime_env={"working_dir": "."}
        )
        shutil.rmtree(code)  # what Ray has of it is all there is
        await second("attach", name="library", address=address)
        with pytest.raises(RuntimeError, match="only_here:no_such"):
            await second("spawn", name="bad", model="scripted:only_here:no_such")
        await second(
            "spawn", name="ada", model="scripted:only_here:reader", functions=["send_message", "only_here:look_up"]
        )
        assert await second("ask", agent="ada", message="moss") == "moss is in the book"


async def test_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name: found 'no name'"):
        Cluster(name="no name")
    with pytest.raises(ConfigError, match="folder"):
        Cluster(keep=True)
    with pytest.raises(ConfigError, match="if_running"):
        Cluster(if_running="perhaps")
    async with Cluster(tmp_path, name="one", embedder="hash", hosts=1) as fleet:
        await fleet.spawn(Agent("ada", model=ECHO))
        with pytest.raises(ConfigError, match="name: found 'one', allowed: a name that no fleet here has"):
            await Cluster(name="one", embedder="hash").__aenter__()
        with pytest.raises(ConfigError, match=r"name: found 'two', allowed: .* one"):
            await Cluster.attach("two").__aenter__()
        async with Cluster(name="one", if_running="join") as joined:
            assert await joined.ask("ada", "hello") == "heard hello"
        assert await fleet.ask("ada", "still here?") == "heard still here?"
    with pytest.raises(ConfigError, match="address"):
        await Cluster(address="192.0.2.1:1234").__aenter__()
    with pytest.raises(ConfigError, match="runtime_env"):
        await Cluster(runtime_env={"working_dir": "."}).__aenter__()
