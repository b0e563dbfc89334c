"""Whether who calls is who its certificate says: where roles are pinned to roots, one that is pinned for its very role issued it.

TLS accepts a certificate of any pinned root, because it knows no roles; here it is looked at again, at each call. So a root
that is taken out of the configuration's files vouches for nobody from then on, on open connections neither.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import Counter
from visard_wire.errors import UntrustedKey
from visard_wire.vouching import SCHEME, SERVICE_ROLES, Trust

from visard_common.errors import PermissionDenied
from visard_common.metrics import REGISTRY
from visard_common.tls import Tls, stamp

REFUSED = Counter(
    "visard_unvouched_certificates", "Certificates of another root than is pinned for their role.", registry=REGISTRY
)
REMEMBERED = 1024
_BEGIN = b"-----BEGIN CERTIFICATE-----"
REMEMBER_SECONDS = 60.0  # a certificate that ends, or begins, is looked at again so often

log = structlog.get_logger()


class Vouching:
    """Who vouches for whom, as the files say now. Raises OSError and ValueError when it is made."""

    def __init__(self, tls: Tls, clock: Callable[[], float] = time.monotonic) -> None:
        self._tls = tls
        self._clock = clock
        self._seen: dict[tuple[str, bytes], bool] = {}
        self._since = clock()
        self._stamp = stamp(*tls.authorities)
        self._trust = tls.trust()

    @property
    def trust(self) -> Trust:
        """The roots now; while new files are wrong, or half of them there, those before stay."""
        if (now := stamp(*self._tls.authorities)) != self._stamp:
            self._stamp = now
            try:
                self._trust = self._tls.trust()
            except (OSError, ValueError) as error:
                log.warning("the new authorities are not taken", reason=str(error))
            else:
                self._seen.clear()
        return self._trust

    def check(self, role: str, pem: bytes) -> None:
        """Raises PermissionDenied unless a root that is pinned for this role issued a peer's certificate.

        ``pem`` is its chain, its own first, which names the role. What one authority for all has issued itself needs no check:
        TLS has made it. One between may vouch for some roles alone, of which TLS knows nothing.
        """
        trust = self.trust
        if not trust.separate and not trust.limited and pem.count(_BEGIN) <= 1:
            return
        if len(self._seen) >= REMEMBERED or self._clock() - self._since > REMEMBER_SECONDS:
            self._seen.clear()
            self._since = self._clock()
        if (role, pem) not in self._seen:
            self._seen[role, pem] = _vouched(trust, role, pem)
        if not self._seen[role, pem]:
            raise PermissionDenied("no authority vouches here for the certificate's role")


def _vouched(trust: Trust, role: str, pem: bytes) -> bool:
    try:
        uris = trust.names([one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem)])
        vouched = SCHEME + role in uris  # gRPC, which has told the role, tells names of all kinds as one
    except (UntrustedKey, ValueError):
        vouched = False
    if not vouched:
        REFUSED.inc()
        shown = role if role in SERVICE_ROLES else role.partition("/")[0]  # no log names a caller
        log.warning("a certificate's root is not pinned for its role", role=shown)
    return vouched


HERE: ContextVar[Vouching] = ContextVar("vouching")


def check_peer(context: Any, role: str) -> None:
    """Raises PermissionDenied unless the peer's certificate, which names this role, may; and where nobody has said who may."""
    vouching = HERE.get(None)
    if vouching is None:
        raise PermissionDenied("this server knows nobody who vouches for its callers")
    found = context.auth_context()
    own, chain = (b"".join(found.get(name, ())) for name in ("x509_pem_cert", "x509_pem_cert_chain"))
    vouching.check(role, chain if chain.startswith(own) else own + chain)


class VouchingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Says to all calls of a server who vouches for whom: without it no caller has a role there. Raises as Vouching does."""

    def __init__(self, tls: Tls) -> None:
        self._vouching = Vouching(tls)

    async def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        """The handler as it is: each call is a task, and what is set here is for that task."""
        HERE.set(self._vouching)
        return await continuation(details)
