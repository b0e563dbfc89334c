"""Make a deployment's certificates and passwords, and put each role's part into a Secret of its own.

Runs once, as a Job. The authority's key is forgotten when it ends; to begin again delete the namespace.
"""

import base64
import http.client
import json
import os
import secrets
import ssl
import sys
from pathlib import Path

from visard import certs

WORK = Path("/made/pki")  # in memory: see the Job
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PARTIES = range(3)
SERVICES = ("gateway", "dealer", *(f"party-{i}" for i in PARTIES))
STORES = tuple(f"party-mongodb-{i}" for i in PARTIES)
CALLERS = ("verifier", "client", "owner", "admin")
# the user is one of this database and of no other: base/party/user.js makes it
URI = "mongodb://party:{password}@{host}:27017/visard?tls=true&tlsCAFile=/pki/ca.crt"


def main() -> None:
    """Make everything, then create the Secrets."""
    certs.init(WORK, ["localhost", "127.0.0.1", *SERVICES])
    for host in STORES:
        certs.issue(WORK, host, f"visard://store/{host[-1]}", [host])
    for name, data in contents().items():
        create(name, data)
        print(f"created {name}")


def contents() -> dict[str, dict[str, bytes]]:
    """Every Secret by its name."""
    found = {f"{name}-tls": pair(name) for name in ("gateway", "dealer", *CALLERS)}
    found["dealer-master"] = {"master": secrets.token_bytes(32)}
    for party in PARTIES:
        found |= of_party(party)
    return found


def of_party(party: int) -> dict[str, dict[str, bytes]]:
    """What one party holds, and nobody else."""
    store = pair(f"party-mongodb-{party}")
    store["tls-combined.pem"] = store["tls.key"] + store["tls.crt"]
    password = secrets.token_urlsafe(24)
    uri = URI.format(password=password, host=f"party-mongodb-{party}")
    return {
        f"party-tls-{party}": pair(f"party{party}"),
        f"party-mongodb-tls-{party}": store,
        f"party-mongodb-{party}": {"username": b"party", "password": password.encode(), "uri": uri.encode()},
        f"party-mongodb-root-{party}": {"username": b"root", "password": secrets.token_urlsafe(24).encode()},
        f"party-mongodb-rotation-{party}": {"username": b"rotation", "password": secrets.token_urlsafe(24).encode()},
    }


def pair(name: str) -> dict[str, bytes]:
    """A certificate, its key, and the authority, under the names that cert-manager uses."""
    files = {"tls.crt": f"{name}.pem", "tls.key": f"{name}.key", "ca.crt": "ca.pem"}
    return {key: (WORK / file).read_bytes() for key, file in files.items()}


def create(name: str, data: dict[str, bytes]) -> None:
    """Create one Secret; one that is there already ends the program: parts of two deployments do not fit together."""
    namespace = (ACCOUNT / "namespace").read_text()
    address = f"{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "visard"}},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"}
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    connection = http.client.HTTPSConnection(address, timeout=30, context=context)
    connection.request("POST", f"/api/v1/namespaces/{namespace}/secrets", json.dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != http.HTTPStatus.CREATED:
        sys.exit(f"{name}: {answer.status} {answer.reason}: to begin again delete the namespace")


if __name__ == "__main__":
    main()
