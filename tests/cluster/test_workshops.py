"""MCP servers on Ray: hosts connect by themselves, from settings that came as text."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pagefault.cluster.api import Cluster
from pagefault.runtime.host.config import Agent

SERVER = {"command": [sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC"]}


@pytest.mark.usefixtures("ray_session")
@pytest.mark.soak
async def test_agents_of_a_cluster_call_a_server_and_are_replayed_without_it(tmp_path: Path) -> None:
    async with Cluster(tmp_path, embedder="hash", hosts=1, mcp={"time": SERVER}) as fleet:
        mind = "scripted:tests.cluster.minds:convert_time"
        ada = await fleet.spawn(Agent("ada", model=mind, functions=("send_message", "mcp:time")))
        assert "03:30:00+00:00" in await ada.ask("12:30")
        assert (await fleet.replay_run()).is_exact
