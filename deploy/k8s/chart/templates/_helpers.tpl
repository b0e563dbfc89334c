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
  {{- if $root.Values.roots }}
  tls = { cert = "/pki/tls.crt", key = "/pki/tls.key", roots = { {{ include "visard.roots" $root }} } }
  {{- else }}
  tls = { ca = "/pki/ca.crt", cert = "/pki/tls.crt", key = "/pki/tls.key" }
  {{- end }}
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
  {{- if $root.Values.roots }}
  tls = { cert = "/pki/tls.crt", key = "/pki/tls.key", roots = { {{ include "visard.roots" $root }} } }
  {{- else }}
  tls = { ca = "/pki/ca.crt", cert = "/pki/tls.crt", key = "/pki/tls.key" }
  {{- end }}
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
  {{- if $root.Values.roots }}
  tls = { cert = "/pki/tls.crt", key = "/pki/tls.key", roots = { {{ include "visard.roots" $root }} } }
  {{- else }}
  tls = { ca = "/pki/ca.crt", cert = "/pki/tls.crt", key = "/pki/tls.key" }
  {{- end }}
{{- end }}
{{- define "visard.party_mongodb_rotate" -}}
{{- $root := .root }}
{{- $n := .n }}
rotate.js: |
  // Tells mongod, in the same pod, to read its certificate, key and authority again; status 1 if it has not. What the server shows is
  // not checked: the certificate may be over, or of an authority before, and that is why we are here. Nobody else listens in this pod,
  // and SCRAM gives the password to no server that does not know it.
  const fs = require("fs");
  const secret = (key) => encodeURIComponent(fs.readFileSync(`/rotation-password/${key}`, "utf8").trim());
  const options = "directConnection=true&tls=true&tlsAllowInvalidCertificates=true&serverSelectionTimeoutMS=10000";
  const uri = `mongodb://${secret("username")}:${secret("password")}@127.0.0.1:27017/admin?${options}`;
  const say = (event, more) => console.log(JSON.stringify({ event, ...more }));
  try {
    connect(uri).adminCommand({ rotateCertificates: 1, message: "the mounted files have changed" });
    const { X509Certificate } = require("crypto");
    say("mongod has read its certificate", { until: new X509Certificate(fs.readFileSync("/pki/tls.crt")).validTo });
  } catch (error) {
    say("mongod has not read its certificate: trying again", { error: error.message });
    process.exit(1);
  }
rotate.sh: |
  #!/bin/bash
  # Beside mongod, for as long as it runs: when the mounted certificate, its key or the authority have changed, mongod is told to
  # read them. Connections stay as they are; new ones get the new certificate. What does not fit mongod refuses, and keeps what it
  # has: then, and where it is not there yet, this tries again.
  trap 'exit 0' TERM
  told=
  while true; do
    touch /tmp/looked
    now=$(cat /pki/tls-combined.pem /pki/ca.crt | sha256sum)
    if [ "$now" != "$told" ] && (: < /dev/tcp/127.0.0.1/27017) 2> /dev/null; then
      mongosh --nodb --norc --quiet /rotation/rotate.js && told=$now
    fi
    sleep 10 &
    wait $!
  done
{{- end }}
{{- define "visard.party_mongodb_users" -}}
{{- $root := .root }}
{{- $n := .n }}
rotation.js: |
  // Run once, as user.js: the user with which the container "certificate" tells mongod that its certificate was renewed. It may
  // say that, and nothing else. On a database that is older than this file make it by hand (docs/operations.md).
  const secret = (key) => require("fs").readFileSync(`/rotation-password/${key}`, "utf8").trim();
  const admin = db.getSiblingDB("admin");
  const privileges = [{ resource: { cluster: true }, actions: ["rotateCertificates"] }];
  admin.createRole({ role: "rotation", privileges, roles: [] });
  admin.createUser({ user: secret("username"), pwd: secret("password"), roles: ["rotation"] });
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
