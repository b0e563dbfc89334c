"""What the registrar does: an invitation, or a key of before, and a signing request make a certificate."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from visard_wire.errors import UntrustedKey
from visard_wire.proofs import hosts_of, read, verify
from visard_wire.vouching import SCHEME, Trust

from visard.errors import InvalidRequest, PermissionDenied
from visard.registrar.authority import Authority, Signed, requested
from visard.registrar.book import Book
from visard.registrar.config import KINDS, Folder, Settings

ENROL, RENEW = "/v1/enrol", "/v1/renew"
MAX_BODY = 8 << 10


class Registrar:
    """Signs for whoever is invited, and for whoever holds a key that it has signed. Safe in threads. Raises InvalidRequest.

    ``clock``: seconds since 1970.
    """

    def __init__(self, folder: Folder, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._authority = Authority(folder)
        self._trust = Trust.one(self._authority.pem)
        self._book = Book(folder.book)
        self._days = settings.days
        self._hosts = hosts_of(x509.load_pem_x509_certificate(folder.tls[0].read_bytes()))
        self._clock = clock

    def enrol(self, body: bytes) -> tuple[str, Signed]:
        """A certificate by invitation: its role, and the chain. Raises InvalidRequest, PermissionDenied and Unavailable."""
        asked = _fields(body, "invitation", "request")
        key = requested(_bytes(asked["request"]))
        now = self._now()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        invitation, holder = asked["invitation"], hashlib.sha256(spki).digest()
        role = self._book.use(invitation, holder, now)
        made = self._authority.sign(key, role, self._days)
        self._book.enrolled(made.serial, role, now, made.until_unix_ms, invitation, holder)
        return role, made

    def renew(self, body: bytes, header: str) -> tuple[str, Signed]:
        """A certificate for a fresh key, asked for by the one before, which a header proves. Raises as ``enrol``, and Copied.

        The proof is for this very request, so one that is heard again gets nobody a certificate but its holder.
        """
        request = _bytes(_fields(body, "request")["request"])
        key, now = requested(request), self._now()
        try:
            about = hashlib.sha256(request).digest()
            proof = read(header)
            names = verify(self._trust, proof, self._hosts, RENEW, now, about)
        except UntrustedKey as error:
            raise PermissionDenied(f"{error}; who has no valid key any more asks for an invitation") from error
        roles = [name.removeprefix(SCHEME) for name in names if name.startswith(SCHEME)]
        if len(roles) != 1 or roles[0].partition("/")[0] not in KINDS:
            raise PermissionDenied("the certificate names no role that is renewed here")
        before = x509.load_der_x509_certificate(proof.chain[0]).serial_number
        made = self._authority.sign(key, roles[0], self._days)
        self._book.renewed(made.serial, roles[0], now, made.until_unix_ms, before)
        return roles[0], made

    def healthy(self) -> bool:
        """Whether it could sign now."""
        self._book.check()
        return self._authority.until.timestamp() * 1000 > self._now()

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _fields(body: bytes, *names: str) -> dict[str, str]:
    """The texts of a JSON object; what else is in it is passed over. Never says what was sent."""
    try:
        found: Any = json.loads(body)
        if isinstance(found, dict) and all(isinstance(found.get(name), str) for name in names):
            return {name: found[name] for name in names}
    except (ValueError, RecursionError):
        pass
    raise InvalidRequest(f"a JSON object with the texts {' and '.join(names)}")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidRequest("request: in base64") from error
