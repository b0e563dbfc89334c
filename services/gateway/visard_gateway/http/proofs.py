"""Who asks, where no certificate was shown over TLS: a proof of role in the header Authorization (visard_wire.proofs).

It is looked at once, when the call's interceptors ask who calls, and is from then on what a certificate over TLS would have
been: the same roles, places, budgets and errors. Where there is a proof it counts alone.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from visard_common.errors import PermissionDenied, ResourceExhausted
from visard_common.identity import Role
from visard_common.limits import RETRY_SECONDS
from visard_common.tls import Tls, stamp
from visard_common.vouching import HERE
from visard_wire.errors import UntrustedKey
from visard_wire.proofs import WINDOW_MS, hosts_of, offered, read, verify

from visard_gateway.http.peers import Peer

# proofs that are remembered: some ten million bytes in all, and of one caller 50 a second
MOST, MOST_EACH = 60_000, 6_000

log = structlog.get_logger()


class Nonces:
    """Those of two minutes, after which the time in a proof says that it is old. ``clock`` is in milliseconds. Pure."""

    def __init__(self, clock: Callable[[], int], most: int = MOST, each: int = MOST_EACH) -> None:
        self._clock = clock
        self._most = most
        self._each = each
        self._until: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._callers: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._until)

    def take(self, caller: str, nonce: bytes) -> None:
        """Remember one; raises PermissionDenied where it was taken before, ResourceExhausted where no more are remembered."""
        now = self._clock()
        while self._until and next(iter(self._until.values())) < now:
            (old, _), _ = self._until.popitem(last=False)
            self._callers[old] -= 1
            if not self._callers[old]:
                del self._callers[old]
        if (caller, nonce) in self._until:
            raise PermissionDenied("the proof of role was taken before: each is for one request")
        if len(self._until) >= self._most or self._callers[caller] >= self._each:
            raise ResourceExhausted("too many proofs of role within two minutes", retry_after=RETRY_SECONDS)
        self._until[caller, nonce] = now + 2 * WINDOW_MS
        self._callers[caller] += 1


class Proofs:
    """Takes proofs for this server, which is who its certificate says. Raises OSError and ValueError when it is made."""

    def __init__(self, tls: Tls, clock: Callable[[], float] = time.time) -> None:
        self._tls = tls
        self._clock = clock
        self._nonces = Nonces(self._now)
        self._hosts = self._read()

    def peer(self, shown: Peer, header: str, method: str) -> Peer:
        """Who calls a method, as if shown over TLS; ``shown`` where the header holds no proof. Raises ServiceFault."""
        if not offered(header):
            return shown
        vouching = HERE.get(None)
        if vouching is None:
            raise PermissionDenied("this server knows nobody who vouches for its callers")
        try:
            proof = read(header)
            uris = verify(vouching.trust, proof, self._names(), method, self._now())
        except UntrustedKey as error:
            log.debug("a proof of role is refused", reason=str(error))
            raise PermissionDenied(str(error)) from error
        self._nonces.take(" ".join(sorted(str(role) for uri in uris if (role := Role.parse(uri)))), proof.nonce)
        pem = [x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in proof.chain]
        return {
            "x509_subject_alternative_name": [uri.encode() for uri in uris],
            "x509_pem_cert": [pem[0]],
            "x509_pem_cert_chain": [b"".join(pem)],
        }

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _names(self) -> frozenset[str]:
        """The hosts in our certificate, as its file says now; while that cannot be read, as it said before."""
        if stamp(self._tls.cert) != self._stamp:
            try:
                self._hosts = self._read()
            except (OSError, ValueError) as error:
                log.warning("the new certificate's names are not taken", reason=str(error))
        return self._hosts

    def _read(self) -> frozenset[str]:
        self._stamp = stamp(self._tls.cert)
        return hosts_of(x509.load_pem_x509_certificate(self._tls.cert.read_bytes()))


class Caller:
    """Who calls: found out when it is asked for, and once."""

    def __init__(self, find: Callable[[], Peer]) -> None:
        self._find = find
        self._found: Peer | Exception | None = None

    def __call__(self) -> Peer:
        """The names and certificates of who calls; raises ServiceFault, the same each time."""
        if self._found is None:
            try:
                self._found = self._find()
            except Exception as error:
                self._found = error
        if isinstance(self._found, Exception):
            raise self._found
        return self._found
