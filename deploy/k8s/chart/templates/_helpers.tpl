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

{{- define "visard.pullSecrets" -}}
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "visard.gateway_config" -}}
{{- $root := .root }}
{{- $n := .n }}
gateway.toml: |
  {{- range $key, $value := $root.Values.gateway.config }}
  {{ $key }} = {{ $value | toJson }}
  {{- end }}
  listen = "0.0.0.0:7300"
  health_listen = "0.0.0.0:7390"
  metrics_listen = "0.0.0.0:7391"
  parties = ["{{ join `", "` $root.Values.addresses.parties }}"]
  drain_seconds = 130
  tls = { ca = "/pki/ca.crt", cert = "/pki/tls.crt", key = "/pki/tls.key" }
{{- end }}
{{- define "visard.dealer_config" -}}
{{- $root := .root }}
{{- $n := .n }}
dealer.toml: |
  {{- range $key, $value := $root.Values.dealer.config }}
  {{ $key }} = {{ $value | toJson }}
  {{- end }}
  listen = "0.0.0.0:7301"
  health_listen = "0.0.0.0:7390"
  metrics_listen = "0.0.0.0:7391"
  master_key = "/master/master"
  drain_seconds = 60
  tls = { ca = "/pki/ca.crt", cert = "/pki/tls.crt", key = "/pki/tls.key" }
{{- end }}
{{- define "visard.party_config" -}}
{{- $root := .root }}
{{- $n := .n }}
party.toml: |
  {{- range $key, $value := $root.Values.party.config }}
  {{ $key }} = {{ $value | toJson }}
  {{- end }}
  listen = "0.0.0.0:7310"
  health_listen = "0.0.0.0:7390"
  metrics_listen = "0.0.0.0:7391"
  index = {{ $n }}
  data_dir = "/var/lib/visard"
  peers = ["{{ join `", "` $root.Values.addresses.parties }}"]
  dealer = "{{ $root.Values.addresses.dealer }}"
  drain_seconds = 70
  tls = { ca = "/pki/ca.crt", cert = "/pki/tls.crt", key = "/pki/tls.key" }
{{- end }}
{{- define "visard.party_mongodb_users" -}}
{{- $root := .root }}
{{- $n := .n }}
user.js: |
  // The image of MongoDB runs this once, when its data directory is empty, after it has made root: the party's own user, which
  // reads and writes the party's database and may do nothing else. user.json says what it may.
  const fs = require("fs");
  const text = (path) => fs.readFileSync(path, "utf8").trim();
  const { database, roles } = JSON.parse(text("/docker-entrypoint-initdb.d/user.json"));
  db.getSiblingDB(database).createUser({ user: text("/password/username"), pwd: text("/password/password"), roles });
user.json: |
  {
    "database": "visard",
    "roles": [{"role": "readWrite", "db": "visard"}]
  }
{{- end }}
