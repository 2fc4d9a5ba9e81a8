"""``pagefault metrics`` asks the hosts of a fleet that runs."""

from __future__ import annotations

import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.console.conftest import Living, Pagefault


def test_a_fleet_tells_its_numbers_as_a_table_as_json_and_to_prometheus(pagefault: Pagefault, living: Living) -> None:
    samples = json.loads(pagefault("metrics", str(living.folder), "--json").out)
    steps = [each for each in samples if each["name"] == "pagefault_steps_total"]
    assert [each["labels"] for each in steps] == [{"host": "host-1"}]
    assert steps[0]["value"] >= 2
    text = pagefault("metrics", "--name", "living", "--prometheus").out
    found = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    assert found["pagefault_steps_total"].value == steps[0]["value"]
    assert found["pagefault_agents"].labels == {"shard": "store-00"}
    table = pagefault("metrics", str(living.folder)).out
    assert "pagefault_page_faults_total" in table
    assert "times that a page was needed" in table
    assert "p99" in table


def test_what_cannot_be_asked_is_said_in_one_line(pagefault: Pagefault, tmp_path: Path) -> None:
    assert "--prometheus" in pagefault("metrics", "--json", "--prometheus").error
    assert "one folder" in pagefault("metrics", "here", "--folder", "there").error
    assert "a fleet that runs" in pagefault("metrics", str(tmp_path)).error
