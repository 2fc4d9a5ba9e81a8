"""The document of metrics has the table that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from pagefault.runtime.host.telemetry.table import METRICS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_table_is_the_codes() -> None:
    found = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$", TEXT, re.MULTILINE)
    assert found == [(metric.name, metric.kind, ", ".join(metric.labels), metric.help) for metric in METRICS]
