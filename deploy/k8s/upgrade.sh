#!/bin/sh
# Give each party, its workers and its database the version that was applied, one pod of the namespace at a time.
#
#   kubectl apply -k OVERLAY && deploy/k8s/upgrade.sh [--at-once] NAMESPACE [OPTION OF KUBECTL...]
#
# A pod that serves is replaced when all are ready, and the next one when all are ready again; what a caller asks meanwhile the SDK
# sends again. A pod that does not even start is replaced first. So the same command takes a bad version back: apply the one before,
# and run it. --at-once replaces whatever is of another version without waiting: for a version whose protocol is another one, and to
# take one back that starts and never gets ready. May be broken off, and begun again.
# Ends with status 1 when WAIT seconds (600) have brought no progress; nothing more is replaced then.
set -eu
WAIT=${WAIT:-600}

usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
at_once=no
if [ "${1-}" = --at-once ]; then
  at_once=yes
  shift
fi
case ${1-} in "" | -*) usage ;; esac
namespace=$1
shift
ours='app.kubernetes.io/part-of=visard,app.kubernetes.io/name in (party,party-mongodb,worker)'
sets='{range .items[*]}set {.metadata.name} party={.metadata.labels.visard\.dev/party} {.metadata.generation}={.status.observedGeneration} revision={.status.updateRevision} replicas={.spec.replicas}{"\n"}{end}'
pods='{range .items[*]}pod {.metadata.name} revision={.metadata.labels.controller-revision-hash} ready={.status.conditions[?(@.type=="Ready")].status} deleted={.metadata.deletionTimestamp} started={.status.containerStatuses[*].started}{"\n"}{end}'

ask() {
  kubectl --namespace "$namespace" "$@"
}

# One line a pod: its state and its name. Party 0 comes last, since it leads: what it asks for the two others know by then. And a
# party's database and workers come before the party, which asks them.
#   good   of the applied version, and ready          dead  of another version, and does not start
#   stale  of another version, and ready              away  of another version, starts, and is not ready
#   comes  of the applied version and not ready, or about to be
look() {
  {
    ask get pod --selector "$ours" --output "jsonpath=$pods" "$@"
    ask get statefulset --selector "$ours" --output "jsonpath=$sets" "$@"
  } | awk '
    $1 == "pod" { revision[$2] = $3; ready[$2] = $4; deleted[$2] = $5; started[$2] = $0 ~ /started=.*true/ && $0 !~ /started=.*false/ }
    $1 == "set" {
      split($4, generation, "="); split($6, count, "=")
      rank = $2 ~ /mongodb/ ? 0 : $2 ~ /^worker/ ? 1 : 2
      for (k = 0; k < count[2]; k++) {
        pod = $2 "-" k; state = "comes"
        if (pod in revision && deleted[pod] == "deleted=" && generation[1] == generation[2]) {
          is_ready = ready[pod] == "ready=True"
          if (revision[pod] == $5) state = is_ready ? "good" : "comes"
          else state = is_ready ? "stale" : started[pod] ? "away" : "dead"
        }
        print $3, rank, k, state, pod
      }
    }' | sort -k1,1r -k2,2n -k3,3n | cut -d' ' -f4-
}

# the pod to be replaced now; nothing where all must first get ready, or none is left
next() {
  if [ "$at_once" = yes ]; then
    echo "$1" | awk '/^(dead|away|stale) / { print $2; exit }'
  else
    echo "$1" | awk '/^dead / { print $2; found = 1; exit } /^(away|comes) / { waits = 1 } /^stale / && !first { first = $2 }
      END { if (!found && !waits && first) print first }'
  fi
}

since=$(date +%s)
before=
while
  now=$(look "$@")
  [ -n "$now" ] || { echo "no party in namespace $namespace" >&2; exit 1; }
  echo "$now" | grep -qv '^good '
do
  pod=$(next "$now")
  if [ -n "$pod" ]; then
    echo "$(date +%T) replacing $pod"
    ask delete pod "$pod" --wait=false "$@" >/dev/null
  fi
  [ "$now" = "$before" ] || since=$(date +%s)
  before=$now
  if [ $(($(date +%s) - since)) -ge "$WAIT" ]; then
    echo "no progress for $WAIT s:" >&2
    echo "$now" >&2
    echo "See visard status, and kubectl --namespace $namespace describe pod. To go back apply the version before, and run this again." >&2
    exit 1
  fi
  sleep "${PAUSE:-1}"
done
echo "$(date +%T) all are of the version that was applied, and ready"
