"""Every file that is written, by its path: nothing here is to be changed by hand."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from deploy.helm import templates, values
from deploy.helm.emit import FINAL, Filled, text_of
from deploy.helm.sources import ALERTS, DASHBOARD, K8S, ROOT, Manifest, party, piece

CHART = K8S / "chart"
MONITORING = K8S / "components" / "monitoring"
_ROOT = "{{- /* Written by `make chart` from deploy/k8s: change that. */ -}}\n{{- $root := . }}\n"
_HELPERS = """\
{{- /* Written by `make chart` from deploy/k8s: change that. */ -}}

{{- define "visard.parties" -}}
{{- if eq .Values.deploy "cell" }}{{ list 0 1 2 | toJson }}
{{- else if eq .Values.deploy "party" }}{{ list .Values.party.number | toJson }}
{{- else }}[]
{{- end }}
{{- end }}

{{- define "visard.networks" -}}
{{- range . }}
- ipBlock:
    cidr: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "visard.root" -}}
{{- printf "%s-root.pem" (. | replace "/*" "" | replace "/" "") }}
{{- end }}

{{- define "visard.roots" -}}
{{- $listed := list }}
{{- range $who, $root := .Values.roots }}
{{- $listed = append $listed (printf `%q = "/trust/%s"` $who (include "visard.root" $who)) }}
{{- end }}
{{- join ", " $listed }}
{{- end }}

{{- define "visard.pullSecrets" -}}
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}

"""
_TRUST = """\
{{- if $root.Values.roots }}
apiVersion: v1
kind: ConfigMap
metadata:
  # under one name, so that pods see new roots without a restart
  name: trust
  labels:
    app.kubernetes.io/name: {{ eq $root.Values.deploy "cell" | ternary "visard" $root.Values.deploy }}
    app.kubernetes.io/part-of: visard
data:
  {{- range $who, $root := $root.Values.roots }}
  {{ include "visard.root" $who }}: {{ $root | toJson }}
  {{- end }}
{{- end }}
"""
_CHART = """\
# Written by `make chart`.
apiVersion: v2
name: visard
description: Face matching where nobody sees the face, by three parties that belong to three operators
type: application
version: {version}
appVersion: "{version}"
# probes by gRPC, budgets that let unready pods go
kubeVersion: ">=1.27.0-0"
"""
_NOTES = """\
{{- $root := . -}}
visard, {{ .Values.deploy }}, in the namespace {{ .Release.Namespace }}. One release to a namespace.

The pods wait for Secrets, which no release makes (docs/operations.md, "Secrets from a vault", says how one can):
"""
_UNSET = """\
{{- range $name, $image := .Values.images }}
{{- if contains "sha256:000000000000" $image.digest }}
The image {{ $name }} has no digest yet: set images.{{ $name }}.
{{- end }}
{{- end }}
"""


def files() -> dict[Path, str]:
    """All that is written."""
    pieces = {name: piece(name) for name in ("default-deny", "disruption", "gateway", "dealer")} | {"party": party()}
    everything = [manifest for manifests in pieces.values() for manifest in manifests]
    found = {
        "Chart.yaml": _CHART.format(version=_version()),
        "values.yaml": values.text(copy.deepcopy(everything)),
        "values.schema.json": json.dumps(values.schema(copy.deepcopy(everything)), indent=1) + "\n",
        "files/alerts.yaml": ALERTS.read_text(),
        "files/visard.json": DASHBOARD.read_text(),
        "templates/NOTES.txt": _NOTES + _secrets(pieces) + _UNSET,
        "templates/monitoring.yaml": monitoring(),
        "templates/trust.yaml": _ROOT + _TRUST,
    }
    helpers = _HELPERS
    for name, manifests in pieces.items():
        text, defined = templates.template(copy.deepcopy(manifests))
        found[f"templates/{name}.yaml"] = f"{_ROOT}{_begin(name)}{text}{{{{- end }}}}\n"
        helpers += defined
    found["templates/_helpers.tpl"] = helpers
    written = {CHART / name: text for name, text in found.items()}
    return written | {MONITORING / "prometheusrule.yaml": rule(), MONITORING / "dashboard.json": DASHBOARD.read_text()}


def _begin(name: str) -> str:
    if name == "default-deny":
        return "{{- if .Values.defaultDeny }}\n"
    if name == "party":
        return '{{- range $n := include "visard.parties" . | fromJsonArray }}\n{{- $n = int $n }}\n'
    role = "party" if name == "disruption" else name
    return f'{{{{- $n := 0 }}}}\n{{{{- if has .Values.deploy (list "cell" "{role}") }}}}\n'


def rule() -> str:
    """The alerts as the Prometheus operator takes them."""
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "visard",
            "labels": {"app.kubernetes.io/name": "visard", "app.kubernetes.io/part-of": "visard"},
        },
        "spec": yaml.safe_load(ALERTS.read_text()),
    }
    head = "# Written by `make chart` from deploy/prometheus/alerts.yaml: change that.\n"
    return head + yaml.safe_dump(manifest, sort_keys=False, width=10**9)


def monitoring() -> str:
    """The component's objects; alerts and dashboard from files, since they have braces of their own."""
    monitor = yaml.safe_load((MONITORING / "podmonitor.yaml").read_text())
    alerts = yaml.safe_load(rule()) | {"spec": Filled('$root.Files.Get "files/alerts.yaml"')}
    (settings,) = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())["configMapGenerator"]
    dashboard = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": settings["name"], "labels": settings["options"]["labels"]},
        "data": {"visard.json": Filled('$root.Files.Get "files/visard.json" | toJson')},
    }
    own = " ".join(f'"{key}" "{value}"' for key, value in monitor["metadata"]["labels"].items())
    for manifest in (monitor, alerts):
        manifest["metadata"]["labels"] = Filled(f"toYaml (merge (dict {own}) $root.Values.monitoring.labels)")
    text = "".join(f"---\n{text_of(manifest)}" for manifest in (monitor, alerts, dashboard))
    return f"{_ROOT}{{{{- if .Values.monitoring.enabled }}}}\n{text}{{{{- end }}}}\n"


def _secrets(pieces: dict[str, list[Manifest]]) -> str:
    """The Secrets that the pods of what is deployed mount, for the notes."""
    lines = ""
    for name in ("gateway", "dealer", "party"):
        listed = "".join(f"  {secret}\n" for secret in sorted(set(_mounted(pieces[name]))))
        lines += f"{_begin(name)}{listed.translate(FINAL)}{{{{- end }}}}\n"
    return lines


def _mounted(manifests: list[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        for volume in manifest["spec"]["template"]["spec"]["volumes"] if "template" in manifest.get("spec", {}) else ():
            parts = [volume, *volume.get("projected", {}).get("sources", ())]
            yield from (
                part["secret"].get("secretName") or part["secret"]["name"] for part in parts if "secret" in part
            )


def _version() -> str:
    found = re.search(r'__version__ = "([^"]+)"', (ROOT / "services/wire/visard_wire/version.py").read_text())
    if found is None:
        raise ValueError("no version")
    return found[1]
