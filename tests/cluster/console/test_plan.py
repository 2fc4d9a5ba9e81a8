"""Files that describe a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.cluster.console.plan import make_world, read_plan
from pagefault.cluster.worlds.dialogues import Dialogues
from pagefault.cluster.worlds.village import Village
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.fleet import checked_tiers
from pagefault.runtime.models.budget.settings import budget_plan
from tests.cluster.worlds.talk import write_talk

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_shipped_examples_can_be_read(tmp_path: Path) -> None:
    village = make_world(read_plan(EXAMPLES / "village.toml"), EXAMPLES, None)
    assert isinstance(village, Village)
    assert len(village.plan.names) == 2_000
    dialogues = make_world(read_plan(EXAMPLES / "dialogues.toml"), EXAMPLES, write_talk(tmp_path))
    assert isinstance(dialogues, Dialogues)


def test_a_file_says_as_little_as_it_likes(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text('world = "village"\nagents = 3\n[village]\ndays = 2\n')
    plan = read_plan(file)
    assert (plan.fleet.kind, plan.fleet.placement, plan.village.days, plan.agent) == ("cluster", "auto", 2, {})


def test_tiers_are_tables_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tiers.toml"
    file.write_text('world = "village"\n[[tier]]\nname = "host"\ncapacity_tokens = 500\ninclusive = true\n')
    host, archive = checked_tiers(read_plan(file).tier)
    assert (host.name, host.capacity_tokens, host.inclusive, archive.name) == ("host", 500, True, "archive")


def test_endpoints_and_a_budget_are_tables_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "budget.toml"
    file.write_text(
        'world = "village"\n[[endpoint]]\nname = "main"\nmodels = ["gpt-*"]\nrequests_per_minute = 600\n'
        '[[endpoint]]\nname = "spare"\nconcurrency = 4\n[budget]\nmoney_max = 5\n'
    )
    plan = read_plan(file)
    budget = budget_plan(plan.endpoint, plan.budget)
    assert [each.name for each in budget.serving("openai:gpt-5")] == ["main", "spare"]
    assert (budget.endpoints[0].requests_per_minute, budget.settings.money_max) == (600, 5)


def test_data_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    write_talk(tmp_path)
    file = tmp_path / "talk.toml"
    file.write_text('world = "dialogues"\n[dialogues]\ndata = "talk.json"\n')
    assert isinstance(make_world(read_plan(file), tmp_path, None), Dialogues)
    with pytest.raises(ConfigError, match=r"elsewhere.json"):
        make_world(read_plan(file), tmp_path, tmp_path / "elsewhere.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "world: found 'nothing', allowed: a value: it is needed"),
        (b"\xff\xfe", "a readable text file"),
        (b'world = "village"\n[fleet]\nplacement = "moon"', "fleet.placement: found 'moon'"),
        (b'world = "village"\n[fleet]\nshard = 2', "did you mean shards"),
        (b'world = "village"\n[fleet.kind]\nlocal = 1', "fleet.kind"),
        (b'world = "village"\n[[agent]]\nname = "a"', "agent: found"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read_plan(file)
    assert said in str(raised.value)


def test_no_folder_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a readable text file"):
        read_plan(tmp_path)
