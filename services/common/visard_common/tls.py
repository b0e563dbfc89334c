"""Mutual TLS on every connection, and the channel options that all services use.

Certificate files may be replaced at any time: a server looks at them at each handshake, long-lived channels are built again
(visard_common.channels), and peer links read them whenever they connect.
"""

from pathlib import Path
from typing import Any, Self

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from visard_wire.limits import MAX_MESSAGE
from visard_wire.vouching import Trust, check_patterns, read_roots

from visard_common.limits import CONNECTION_CALLS, HANDSHAKE_SECONDS, MAX_REQUEST, UNREAD_BYTES
from visard_common.tracing import client_interceptors

_IDENTITY = 1  # of gRPC's compressions, as a set of bits: none. A small message would become a large one in our memory
# the server tolerates what the client sends: otherwise gRPC ends the connection with too_many_pings
SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY),
    ("grpc.so_reuseport", 0),
    # how much of a call may lie here before anybody reads it: gRPC would let it grow with the speed of the connection
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", UNREAD_BYTES),
    ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_SECONDS * 1000)),
    ("grpc.max_concurrent_streams", CONNECTION_CALLS),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # what no server has seen, as when a connection ends for its age, gRPC sends again by itself (retries, which are on).
    # a restarted service is found again within about a second; an attempt to connect (min) has longer: peers are far, or busy
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


Stamp = tuple[tuple[int, int, int] | None, ...]

log = structlog.get_logger()


def stamp(*paths: Path) -> Stamp:
    """Something that differs when a file was changed, replaced, made or removed."""

    def one(path: Path) -> tuple[int, int, int] | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    return tuple(one(path) for path in paths)


class Tls(BaseModel):
    """Paths of PEM files: this service's own certificate and key, and who vouches for the others.

    That is either ``ca``, one authority for everybody, or ``roots``: each role's own (visard_wire.vouching says how roles are
    named). A file may hold several certificates, while one takes over from another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: Path | None = None
    roots: dict[str, Path] | None = None
    cert: Path
    key: Path

    @field_validator("roots")
    @classmethod
    def _roles_are_known(cls, roots: dict[str, Path] | None) -> dict[str, Path] | None:
        if roots is not None:
            check_patterns(roots)
        return roots

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ca is None) == (self.roots is None):
            raise ValueError("either ca, one authority for everybody, or roots, each role's own")
        return self

    @property
    def authorities(self) -> tuple[Path, ...]:
        """The files that say who vouches for whom."""
        return (*(self.roots or {}).values(),) if self.ca is None else (self.ca,)

    def trust(self) -> Trust:
        """What these files hold now; raises OSError and ValueError."""
        return read_roots(self.roots or {}) if self.ca is None else Trust.one(self.ca.read_bytes())

    def stamp(self) -> Stamp:
        """Differs when a file has changed."""
        return stamp(*self.authorities, self.cert, self.key)

    def check(self) -> None:
        """Raises OSError for a missing file, ValueError for one that is none, or a key of another certificate."""
        self.trust()
        certificate = x509.load_pem_x509_certificate(self.cert.read_bytes()).public_key()
        key = load_pem_private_key(self.key.read_bytes(), None).public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if certificate.public_bytes(*form) != key.public_bytes(*form):
            raise ValueError(f"{self.key} is not the key of {self.cert}")

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a server that demands a certificate of its callers; raises OSError and ValueError."""
        source = _Certificates(self)
        fetch: Any = source.fetch  # the stubs do not know that None means no change
        return grpc.dynamic_ssl_server_credentials(source.read(), fetch, require_client_authentication=True)

    def channel(self, address: str, role: str) -> grpc.aio.Channel:
        """A channel to a service, whose certificate must name the host of the address; raises OSError and ValueError.

        ``role``, as in "party/0", says whose roots may have issued it. gRPC looks at no URI: another certificate of that
        operator will do, if it names this host.
        """
        roots = self.trust().pem(role)
        credentials = grpc.ssl_channel_credentials(roots, self.key.read_bytes(), self.cert.read_bytes())
        return grpc.aio.secure_channel(
            address, credentials, options=CHANNEL_OPTIONS, interceptors=client_interceptors()
        )


class _Certificates:
    """A server's certificates as they are now; gRPC asks at each handshake, from threads of its own."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._stamp: Stamp = ()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """The files; raises OSError and ValueError."""
        now = self._tls.stamp()
        self._tls.check()
        pair = (self._tls.key.read_bytes(), self._tls.cert.read_bytes())
        configuration = grpc.ssl_server_certificate_configuration([pair], self._tls.trust().pem())
        self._stamp = now
        return configuration

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """New certificates, or None where nothing has changed or the files do not fit together (yet)."""
        if self._tls.stamp() == self._stamp:
            return None
        try:
            configuration = self.read()
        except (OSError, ValueError) as error:
            log.warning("the new certificates are not taken", reason=str(error))
            return None
        log.info("certificates renewed")
        return configuration
