"""The dashboard and the alerts ask for series that the services really have, with labels that these have."""

import json
import re
import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from visard.cluster import SERVICES, Cluster

DEPLOY = Path(__file__).parents[2] / "deploy"
_NAME = re.compile(r"\b((?:visard|process)_[a-z_]+)(\{[^}]*\})?")
_LABEL = re.compile(r"(\w+)=~?\"([^\"]*)\"")


def expressions() -> list[str]:
    """Every expression of the dashboard and of the alerts."""
    dashboard = json.loads((DEPLOY / "grafana" / "visard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    return found + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def series(cluster: Cluster) -> dict[str, set[str]]:
    """The names of all samples, each with the names of its labels, and of metrics that have no sample yet."""
    found: dict[str, set[str]] = {}
    for name in SERVICES:
        with urllib.request.urlopen(f"http://{cluster.metrics_address(name)}/metrics", timeout=60) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
                for end in ends:
                    found.setdefault(family.name + end, set())
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("expression", expressions())
def expression__should_name_series_that_exist(expression: str, series: dict[str, set[str]]) -> None:
    used = _NAME.findall(expression)
    assert used
    for name, labels in used:
        assert name in series, name
        known = series[name] | {"job"}  # Prometheus adds it
        for label, _ in _LABEL.findall(labels):
            assert label in known or not series[name], f"{name} has no label {label}"


def alerts__should_say_what_to_do() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    guide = (DEPLOY.parent / "docs" / "operations.md").read_text()
    for rule in rules["groups"][0]["rules"]:
        assert {"summary", "action"} == rule["annotations"].keys()
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["alert"] in guide, f"docs/operations.md does not explain {rule['alert']}"
