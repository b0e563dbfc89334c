"""The party's sealing keys: the one offered to clients, and the one before it, which still opens what was sealed to it.

The files are read again when they change, so that a key is renewed without a restart.
"""

from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from prometheus_client import Counter
from visard.certs import verify_party_key
from visard.errors import UntrustedKey
from visard.sealing import key_id
from visard.v1 import common_pb2

from services.common.metrics import REGISTRY
from services.common.tls import Stamp, stamp

SHARES = Counter("visard_shares_accepted", "Uploads of shares accepted, by key.", ["key"], registry=REGISTRY)

log = structlog.get_logger()


@dataclass(frozen=True)
class SealingKey:
    """An X25519 key."""

    private: X25519PrivateKey
    public: bytes

    @classmethod
    def read(cls, path: Path) -> "SealingKey":
        """The key in a file of 32 bytes; raises OSError and ValueError."""
        private = X25519PrivateKey.from_private_bytes(path.read_bytes())
        return cls(private, private.public_key().public_bytes_raw())


class SealingKeys:
    """The current and the previous key of a party. Raises OSError, ValueError and UntrustedKey when it is made."""

    def __init__(self, party: int, ca: Path, current: Path, previous: Path | None) -> None:
        self._party = party
        self._ca = ca
        self._path = current
        self._signature = current.with_name(current.name + ".sig")
        self._previous_path = previous
        self._read(self._stamp_now())

    def offered(self) -> common_pb2.PartyKey:
        """The current public key with the authority's signature."""
        self._refresh()
        return self._offered

    def named(self, wanted: bytes) -> SealingKey:
        """The key that a share names; the current one when it names none of ours, to be refused by its name."""
        self._refresh()
        if self._previous is not None and wanted == key_id(self._previous.public):
            SHARES.labels("previous").inc()
            return self._previous
        if wanted == key_id(self._current.public):
            SHARES.labels("current").inc()
        return self._current

    def _refresh(self) -> None:
        if (now := self._stamp_now()) == self._stamp:
            return
        try:
            self._read(now)
            log.info("sealing keys renewed")
        except (OSError, ValueError, UntrustedKey) as error:
            # half written, or wrong: the keys in memory stay, and the files are looked at again next time
            log.warning("the new sealing keys are not taken", reason=str(error))

    def _stamp_now(self) -> Stamp:
        files = (self._path, self._signature, *((self._previous_path,) if self._previous_path else ()))
        return stamp(*files)

    def _read(self, now: Stamp) -> None:
        current, signature = SealingKey.read(self._path), self._signature.read_bytes()
        verify_party_key(self._ca.read_bytes(), self._party, current.public, signature)
        path = self._previous_path
        self._previous = SealingKey.read(path) if path is not None and path.exists() else None
        self._current = current
        self._offered = common_pb2.PartyKey(party=self._party, public_key=current.public, signature=signature)
        self._stamp = now
