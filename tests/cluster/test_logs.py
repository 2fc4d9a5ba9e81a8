"""Logs are one JSON object a line off a terminal, say whose they are, and do no harm on one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from ray._private.worker import global_worker

from pagefault.cluster.api import Cluster
from pagefault.cluster.logs import configure_actor_logging, configure_logging
from pagefault.runtime.errors import ConfigError, ModelRefused
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.secrecy import forget_secrets, learn_secrets
from pagefault.runtime.models.scripted import Reply, mind
from pagefault.runtime.values import ModelRequest

HOSTILE = "no\x1b[2J\u202e way\nfake line"


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    forget_secrets()


@function(effect="pure", runs_in="ray", resources={"CPU": 0.5})
def far_words() -> str:
    """Log something, wherever this runs."""
    structlog.get_logger("far").info("said_far_away")
    return "done"


@mind("logs_refuser")
async def refuser(request: ModelRequest) -> Reply:
    raise ModelRefused(HOSTILE)


async def test_a_line_says_whose_it_is_though_whoever_logs_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    async with Local(embedder="hash") as fleet:
        agent = await fleet.spawn(Agent("ada", model="scripted:logs_refuser"))
        await fleet.answer(agent.id, "hello")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = next(line for line in lines if line["event"] == "model_failed")
    assert (failed["agent"], failed["epoch"], failed["level"]) == ("ada", 1, "warning")
    assert failed["cause"].startswith("user-")
    assert HOSTILE in failed["problem"]
    assert failed["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["json", "console"])
def test_escape_codes_stay_words_and_secrets_stay_out(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", form)
    learn_secrets(["the-launch-code"])
    structlog.get_logger("test").warning("said", words=HOSTILE, code="the-launch-code")
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(written)
    assert "the-launch-code" not in written


def lines_of(fleet: str) -> list[dict[str, Any]]:
    """What the processes of a fleet have logged, as their node has it."""
    node: Any = global_worker.node
    folder = Path(node.get_logs_dir_path())
    written = [line for file in sorted(folder.glob("worker-*.err")) for line in file.read_text().splitlines()]
    lines = [json.loads(line) for line in written if line.startswith("{")]
    return [line for line in lines if line.get("fleet") == fleet]


async def test_every_process_of_a_fleet_says_whose_its_lines_are(ray_session: None) -> None:
    async with Cluster(name="logged", embedder="hash", hosts=1, log_format="json") as fleet:
        agent = await fleet.spawn(Agent("ada", model="scripted:tests.cluster.minds:refuser"))
        assert (await fleet.answer(agent.id, "hello")).outcome == "model_failed"
        ((host, _),) = (await fleet.hosts()).items()
        (node,) = await fleet.nodes()
    lines = lines_of("logged")
    assert {(line["role"], line.get("host"), line.get("shard")) for line in lines} == {
        ("scheduler", None, None),
        ("store", None, "store-00"),
        ("host", host, None),
    }
    assert {line["node"] for line in lines} == {node["id"][:8]}
    failed = next(line for line in lines if line["event"] == "model_failed")
    assert (failed["agent"], failed["epoch"], failed["role"], failed["level"]) == ("ada", 1, "host", "warning")
    assert failed["cause"].startswith("user-")
    assert failed["timestamp"].endswith("Z")


async def test_a_function_that_runs_as_a_task_says_whose_call_its_lines_are(ray_session: None) -> None:
    async with Cluster(name="far", embedder="hash", hosts=1, log_format="json", functions=[far_words]) as fleet:
        agent = await fleet.spawn(
            Agent("ada", model="scripted:tests.cluster.minds:far_speaker", functions=("send_message", "far_words"))
        )
        assert await agent.ask("hello") == "done"
    (line,) = [line for line in lines_of("far") if line["role"] == "function"]
    assert (line["event"], line["agent"], line["function"]) == ("said_far_away", "ada", "far_words")
    assert line["cause"].startswith("user-")
    assert line["call"]
    assert line["node"]


@pytest.mark.soak
async def test_a_fleets_processes_log_as_little_as_they_are_told_to(ray_session: None) -> None:
    async with Cluster(name="terse", embedder="hash", hosts=1, log_level="warning") as fleet:
        agent = await fleet.spawn(Agent("ada", model="scripted:tests.cluster.minds:refuser"))
        await fleet.answer(agent.id, "hello")
    assert {line["level"] for line in lines_of("terse")} == {"warning"}


def test_what_is_no_format_or_level_is_named() -> None:
    with pytest.raises(ConfigError, match="log_format: found 'xml', allowed: one of auto, json, console"):
        Cluster(log_format="xml")
    with pytest.raises(ConfigError, match="log_level: found 'loud'"):
        Cluster(log_level="loud")


def test_a_process_that_is_not_rays_keeps_its_logs_as_they_are() -> None:
    before = structlog.get_config()
    configure_actor_logging("info", "json", {"fleet": "any"})
    assert structlog.get_config() == before
