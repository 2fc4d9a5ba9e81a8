"""What a file says is played: it is run as any other, and its mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagefault.cluster.console.main import app
from pagefault.cluster.console.plan import make_world, read_plan
from pagefault.cluster.worlds.playing import Playing
from pagefault.runtime.errors import ConfigError

pytest.importorskip("gymnasium", reason="the extra worlds is not installed")
LAKE = """
world = "gymnasium"
[gymnasium]
id = "FrozenLake-v1"
[play]
worlds = 2
episodes = 2
[agent]
model = "scripted:pagefault.cluster.worlds.players:chooser"
functions = ["send_message"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "play.toml"
    path.write_text(text)
    return path


def test_a_file_is_played_and_its_run_goes_on(tmp_path: Path) -> None:
    arguments = ["run", str(written(tmp_path, LAKE)), "--local", "--json", "--folder", str(tmp_path / "kept")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)
    found = results.get("results", results)
    assert (found["worlds"], found["episodes"], found["finished"], found["illegal"]) == (2, 4, 4, 0)
    again = CliRunner().invoke(app, ["resume", str(tmp_path / "kept"), "--json"])
    assert again.exit_code == 0, again.output
    rest = json.loads(again.stdout)
    rest = rest.get("results", rest)
    assert (rest["episodes"], rest["world_steps"]) == (4, 0), "all of it had been played"


def test_as_many_worlds_as_there_are_agents_for(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, LAKE)).model_copy(update={"agents": 5})
    world = make_world(plan, tmp_path, None)
    assert isinstance(world, Playing)
    assert len(world.agents({})) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('world = "gymnasium"', r"gymnasium\.id: found 'nothing'"),
        ('world = "pettingzoo"', r"pettingzoo\.id: found 'nothing'"),
        ('world = "gymnasium"\n[gymnasium]\nid = "NoLake-v0"', "id: found 'NoLake-v0'"),
        ('world = "gymnasium"\n[gymnasium]\nid = "FrozenLake-v1"\n[play]\npace = "free"', r"play\.tick_s: found None"),
        ('world = "gymnasium"\n[gymnasium]\nidd = "x"', "did you mean id?"),
        ('world = "gymnasium"\n[play]\nworlds = 0', r"play\.worlds: found 0"),
        ('world = "textworld"\n[textworld]\nrooms = 0', r"textworld\.rooms: found 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_world(read_plan(written(tmp_path, wrong)), tmp_path, None)


def test_players_must_come_in_whole_worlds(tmp_path: Path) -> None:
    pytest.importorskip("pygame", reason="pygame is not installed")
    path = written(tmp_path, 'world = "pettingzoo"\nagents = 3\n[pettingzoo]\nid = "classic/tictactoe-v3"')
    with pytest.raises(ConfigError, match="agents: found 3, allowed: a multiple of 2"):
        make_world(read_plan(path), tmp_path, None)
