"""The component for the Prometheus operator: every pod with metrics is scraped under its own job, and the alerts are ours."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm.sources import ALERTS, DASHBOARD
from tests.deploy.manifests import Manifest, containers_of, labels_of, name_of, of_kind, selects
from tests.deploy.test_chart import kustomized

JOBS = {"gateway", "dealer", "party-0", "party-1", "party-2"}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return kustomized(tmp_path_factory.mktemp("monitored"), "base", components=("components/monitoring",))


def monitor(manifests: list[Manifest]) -> dict[str, Any]:
    (found,) = of_kind(manifests, "PodMonitor")
    return found["spec"]  # type: ignore[no-any-return]


def scraped(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """The workloads with pods that the monitor takes, with the pods' labels."""
    spec = monitor(manifests)
    (endpoint,) = spec["podMetricsEndpoints"]
    return {
        manifest["metadata"]["name"]: labels_of(manifest)
        for manifest in of_kind(manifests, "Deployment", "StatefulSet")
        if selects(spec["selector"], labels_of(manifest))
        and any(port["name"] == endpoint["port"] for c in containers_of(manifest) for port in c.get("ports", ()))
    }


def monitor__should_take_every_pod_with_metrics_and_no_other(manifests: list[Manifest]) -> None:
    assert scraped(manifests).keys() == JOBS


def jobs__should_tell_the_parties_apart(manifests: list[Manifest]) -> None:
    """As Prometheus relabels: the sources joined, the whole matched, the target replaced."""
    ((rule,),) = [endpoint["relabelings"] for endpoint in monitor(manifests)["podMetricsEndpoints"]]
    prefix = "__meta_kubernetes_pod_label_"
    for name, labels in scraped(manifests).items():
        known = {prefix + re.sub("[^a-zA-Z0-9_]", "_", key): value for key, value in labels.items()}
        joined = rule["separator"].join(known.get(source, "") for source in rule["sourceLabels"])
        matched = re.fullmatch(rule["regex"], joined)
        assert matched is not None
        assert (rule["targetLabel"], matched.expand(rule["replacement"].replace("$", "\\"))) == ("job", name)


def policies__should_let_prometheus_reach_what_is_scraped(manifests: list[Manifest]) -> None:
    prometheus = {"visard.dev/metrics": "true"}
    for name, labels in scraped(manifests).items():
        (policy,) = [
            p for p in of_kind(manifests, "NetworkPolicy")
            if p["spec"]["podSelector"] and selects(p["spec"]["podSelector"], labels)
        ]  # fmt: skip
        ports = {
            port["port"]
            for rule in policy["spec"]["ingress"]
            for peer in rule.get("from", ())
            if "namespaceSelector" in peer and selects(peer["namespaceSelector"], prometheus)
            for port in rule["ports"]
        }
        assert ports == {7391}, name


def rules__should_be_those_for_prometheus_itself(manifests: list[Manifest]) -> None:
    (rule,) = of_kind(manifests, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    (group,) = rule["spec"]["groups"]
    assert group.keys() == {"name", "rules"}
    allowed = {"alert", "expr", "for", "labels", "annotations"}
    assert all(
        entry.keys() <= allowed and re.fullmatch(r"\d+[smh]", entry.get("for", "1m")) for entry in group["rules"]
    )


def dashboard__should_be_ours(manifests: list[Manifest]) -> None:
    (found,) = [m for m in of_kind(manifests, "ConfigMap") if m["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert found["metadata"]["name"] == "visard-dashboard"
    assert json.loads(found["data"]["visard.json"]) == json.loads(DASHBOARD.read_text())


def component__should_add_nothing_else(manifests: list[Manifest], tmp_path: Path) -> None:
    added = {name_of(m) for m in manifests} - {name_of(m) for m in kustomized(tmp_path, "base")}
    assert added == {"PodMonitor/visard", "PrometheusRule/visard", "ConfigMap/visard-dashboard"}
