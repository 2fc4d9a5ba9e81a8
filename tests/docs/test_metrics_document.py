"""The document of metrics has the code's table, and what is deployed asks for no metric that there is not."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from pagefault.runtime.host.telemetry.table import BY_NAME, METRICS
from tests.docs.walk import ROOT

TEXT = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
BOARD = json.loads((ROOT / "deploy" / "grafana" / "pagefault.json").read_text(encoding="utf-8"))
RULES = (ROOT / "deploy" / "prometheus" / "pagefault.rules.yml").read_text(encoding="utf-8")


def test_the_table_is_the_codes() -> None:
    found = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$", TEXT, re.MULTILINE)
    assert found == [(metric.name, metric.kind, ", ".join(metric.labels), metric.help) for metric in METRICS]


def check(expression: str) -> None:
    """Whether an expression asks for metrics that exist, each as its kind is asked for, and by labels that it has."""
    names = re.findall(r"\bpagefault_\w+", expression)
    assert names, expression
    for name in names:
        metric = BY_NAME.get(name.removesuffix("_bucket"))
        assert metric is not None, name
        assert name.endswith("_bucket") == (metric.kind == "histogram"), expression
        assert (metric.kind != "gauge") == bool(re.search(rf"(rate|increase)\({name}\b", expression)), expression
        for labels in re.findall(r"by \((.*?)\)", expression):
            assert set(labels.split(", ")) <= {*metric.labels, "le"}, expression
        for label in re.findall(rf"{name}{{(\w+)", expression):
            assert label in metric.labels, expression
    assert expression.count("(") == expression.count(")")


def test_every_panel_of_the_dashboard_asks_for_metrics_that_exist() -> None:
    panels: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
    assert len(panels) > 20
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert {each["name"] for each in BOARD["templating"]["list"]} == {"datasource", "prefix"}
    places = set()
    for panel in panels:
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
        for target in panel["targets"]:
            check(target["expr"].replace("${prefix}", "pagefault"))
    assert len(places) == len(panels), "no panel hides another"


def test_every_alert_asks_for_metrics_that_exist_and_says_what_is_wrong() -> None:
    alerts = [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in alerts}) == len(alerts) >= 5
    for rule in alerts:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        check(rule["expr"])
