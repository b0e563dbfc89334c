"""Keep a deployment's certificates and passwords: each role's part in a Secret of its own.

Looks every minute. What is missing is made; a certificate of another authority, or with less than a third of its time left, is
issued anew; whatever else is there stays as it is. So a run that was cut off is finished by the next, and a Secret that was
deleted comes back. All certificates are of the authority in the Secret ``authority``, which is made first.

    python /program/certificates.py                      look, for ever
    python /program/certificates.py --renew gateway-tls  issue these anew, now
"""

import base64
import datetime
import http.client
import json
import os
import secrets
import signal
import ssl
import sys
import tempfile
import time
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from visard import certs

MADE = Path("/made")  # in memory: see the Deployment
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOOK_SECONDS = 60.0
RETRY_SECONDS = 5.0  # after a look that failed
LEFT = 1 / 3  # of a certificate's time, below which it is renewed
PARTIES = range(3)
WORKERS = range(
    4
)  # of a party, as overlays/scale adds them: each is called by its own name, and has its party's certificate
SERVICES = ("gateway", "dealer", *(f"party-{i}" for i in PARTIES))
PODS = tuple(f"worker-{i}-{ordinal}.worker-{i}" for i in PARTIES for ordinal in WORKERS)
AUTHORITY = "authority"
# Secrets with a certificate, each with its name in the directory of visard.certs
PAIRS = {
    **{f"{role}-tls": role for role in ("gateway", "dealer", "verifier", "client", "owner", "admin")},
    **{f"party-tls-{i}": f"party{i}" for i in PARTIES},
    **{f"party-mongodb-tls-{i}": f"party-mongodb-{i}" for i in PARTIES},
}
# the user is one of this database and of no other: base/party/user.js makes it
URI = "mongodb://party:{password}@{host}:27017/visard?tls=true&tlsCAFile=/pki/ca.crt"
Data = dict[str, bytes]


class Secrets(Protocol):
    """Where Secrets are kept; a value is what ``replace`` needs to know which one it replaces."""

    def read(self, name: str) -> tuple[Data, str] | None:
        """A Secret's contents and version, or None."""

    def create(self, name: str, data: Data) -> bool:
        """Make a Secret; False where there is one."""

    def replace(self, name: str, data: Data, version: str) -> bool:
        """Replace a Secret; False where it is no more of that version."""


def main() -> None:
    """Look for ever, or renew what is named."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if sys.argv[1:2] == ["--renew"]:
        again = frozenset(sys.argv[2:])
        if strange := again - PAIRS.keys():
            sys.exit(f"no certificate is in {' '.join(strange)}; there are {' '.join(PAIRS)}")
        with closing(Cluster()) as kept:
            sys.exit(None if look(kept, again) else "somebody else is at it: try again")
    while True:
        (MADE / "looked").touch()
        try:
            with closing(Cluster()) as kept:
                complete = look(kept)
        except (OSError, http.client.HTTPException, ValueError) as error:
            print(f"trying again: {type(error).__name__}: {error}", flush=True)
            complete = False
        if complete:
            (MADE / "complete").touch()
        time.sleep(LOOK_SECONDS if complete else RETRY_SECONDS)


def look(kept: Secrets, renew: frozenset[str] = frozenset()) -> bool:
    """Bring everything in order; whether it is, and nobody else was at it. Raises what ``kept`` raises."""
    with tempfile.TemporaryDirectory(dir=MADE) as folder:
        work = Path(folder, "pki")
        draft(work)
        if not _authority(kept, work):
            return False
        done = [_pair(kept, work, name, name in renew) for name in PAIRS]
        done += [kept.read(name) is not None or _made(kept, name, data) for name, data in passwords().items()]
        return all(done)


def draft(work: Path) -> None:
    """Every role and its host names once, of an authority of their own."""
    certs.init(work, ["localhost", "127.0.0.1", *SERVICES, *PODS])
    for i in PARTIES:
        host = f"party-mongodb-{i}"
        certs.issue(work, host, f"visard://store/{i}", [host])


def _authority(kept: Secrets, work: Path) -> bool:
    """The authority that is kept, in place of the draft's; the draft's is kept if there is none."""
    files = {"tls.crt": work / "ca.pem", "tls.key": work / "ca.key"}
    found = kept.read(AUTHORITY)
    if found is None:
        return _made(kept, AUTHORITY, {key: path.read_bytes() for key, path in files.items()})
    for key, path in files.items():
        path.write_bytes(found[0][key])
    return True


def _pair(kept: Secrets, work: Path, name: str, again: bool) -> bool:
    """One certificate, as it should be."""
    found = kept.read(name)
    ca = (work / "ca.pem").read_bytes()
    if found and not again and good(found[0], ca):
        return True
    certs.renew(work, PAIRS[name])
    data = pair(work, name)
    if found is None:
        return _made(kept, name, data)
    if not kept.replace(name, data, found[1]):
        return False
    print(f"renewed {name}", flush=True)
    return True


def _made(kept: Secrets, name: str, data: Data) -> bool:
    if not kept.create(name, data):
        return False
    print(f"made {name}", flush=True)
    return True


def good(data: Data, ca: bytes) -> bool:
    """Whether a pair is whole, of this authority, and has time left."""
    if data.get("ca.crt") != ca or not data.get("tls.key"):
        return False
    try:
        own = x509.load_pem_x509_certificate(data["tls.crt"])
        own.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    except (KeyError, ValueError, InvalidSignature):
        return False
    left = own.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left > LEFT * (own.not_valid_after_utc - own.not_valid_before_utc)


def pair(work: Path, name: str) -> Data:
    """A certificate, its key, and the authority, under the names that cert-manager uses."""
    files = {"tls.crt": f"{PAIRS[name]}.pem", "tls.key": f"{PAIRS[name]}.key", "ca.crt": "ca.pem"}
    data = {key: (work / file).read_bytes() for key, file in files.items()}
    if "mongodb" in name:
        data["tls-combined.pem"] = data["tls.key"] + data["tls.crt"]
    return data


def passwords() -> dict[str, Data]:
    """Every other Secret, with fresh contents: each is whole by itself."""
    found: dict[str, Data] = {"dealer-master": {"master": secrets.token_bytes(32)}}
    for i in PARTIES:
        password = secrets.token_urlsafe(24)
        uri = URI.format(password=password, host=f"party-mongodb-{i}")
        found[f"party-mongodb-{i}"] = {"username": b"party", "password": password.encode(), "uri": uri.encode()}
        for user in ("root", "rotation"):
            found[f"party-mongodb-{user}-{i}"] = {
                "username": user.encode(),
                "password": secrets.token_urlsafe(24).encode(),
            }
    return found


class Cluster:
    """The Secrets of this pod's namespace. Raises OSError and HTTPException where the API is away or refuses."""

    def __init__(self) -> None:
        self._path = f"/api/v1/namespaces/{(ACCOUNT / 'namespace').read_text()}/secrets"
        address = f"{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._connection = http.client.HTTPSConnection(address, timeout=30, context=context)

    def read(self, name: str) -> tuple[Data, str] | None:
        """See Secrets."""
        status, found = self._ask("GET", name, HTTPStatus.OK, HTTPStatus.NOT_FOUND)
        if status == HTTPStatus.NOT_FOUND:
            return None
        data = {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
        return data, found["metadata"]["resourceVersion"]

    def create(self, name: str, data: Data) -> bool:
        """See Secrets."""
        status, _ = self._ask("POST", "", HTTPStatus.CREATED, HTTPStatus.CONFLICT, _secret(name, data))
        return status == HTTPStatus.CREATED

    def replace(self, name: str, data: Data, version: str) -> bool:
        """See Secrets."""
        body = _secret(name, data)
        body["metadata"]["resourceVersion"] = version
        return self._ask("PUT", name, HTTPStatus.OK, HTTPStatus.CONFLICT, body)[0] == HTTPStatus.OK

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _ask(
        self, method: str, name: str, good: HTTPStatus, also: HTTPStatus, body: object = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer, with one of two statuses."""
        # the token is read each time: the kubelet renews it
        headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"}
        path = f"{self._path}/{name}" if name else self._path
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status not in (good, also):
            raise http.client.HTTPException(f"{method} {path}: {answer.status} {answer.reason}")
        return answer.status, json.loads(text)


def _secret(name: str, data: Data) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "certificates", "app.kubernetes.io/part-of": "visard"}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "data": encoded}


if __name__ == "__main__":
    main()
