"""A chain is one trace, whichever hosts take part in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.api import Cluster
from pagefault.runtime.host.config import Agent
from tests.runtime.host.telemetry.tracing.exporters import folder_of

pytestmark = pytest.mark.usefixtures("ray_session")
FLEET = f"traced-{os.getpid()}"
TO_FILE = "tests.runtime.host.telemetry.tracing.exporters:ToFile"


def told(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The spans of each process."""
    return {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.iterdir()}


def place(span: dict[str, Any]) -> str:
    """The host that a span comes from."""
    return str(span["resource"]["attributes"]["service.instance.id"])


@pytest.fixture
def folder() -> Iterator[Path]:
    made = folder_of(FLEET)
    made.mkdir()
    yield made
    shutil.rmtree(made)


async def test_a_call_from_host_to_host_is_one_trace(folder: Path) -> None:
    async with Cluster(name=FLEET, embedder="hash", hosts=2, traces=TO_FILE) as fleet:
        names = [f"agent-{number}" for number in range(8)]
        await fleet.spawn_many(
            [Agent(name, model="scripted:tests.cluster.minds:caller", functions=("all",)) for name in names[:4]]
            + [Agent(name, model="scripted:tests.cluster.minds:echo") for name in names[4:]]
        )
        for caller in names[:4]:
            for called in names[4:]:
                assert "heard well?" in await fleet.ask(caller, called)
        places = await fleet.hosts()
    where = {agent: host for host, agents in places.items() for agent in agents}
    spans = [span for each in told(folder).values() for span in each]
    by_id = {span["context"]["span_id"]: span for span in spans}
    assert len(by_id) == len(spans)
    chains = [span for span in spans if span["name"].startswith("invoke_agent")]
    inner = [span for span in chains if span["parent_id"] is not None]
    assert len(chains) == 32
    assert len(inner) == 16
    across = 0
    for span in inner:
        outer = by_id[span["parent_id"]]
        assert outer["context"]["trace_id"] == span["context"]["trace_id"]
        assert outer["attributes"]["gen_ai.agent.id"] in names[:4]
        across += place(span) != place(outer)
    assert across == sum(where[caller] != where[called] for caller in names[:4] for called in names[4:])
    assert across, "no call went from one host to another"
