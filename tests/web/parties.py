"""Three parties and a caller, with their keys: what a test in TypeScript plays a deployment with."""

from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard_wire import partykeys
from visard_wire.v1 import common_pb2

from tests.web.coding import message, text
from tests.web.vouching import Authority

_BEGIN_MS, _END_MS = 1_767_225_600_000, 4_922_000_000_000  # 2026 to 2125


def parties() -> Any:
    """The authority, the caller's certificate and key in PEM, and each party's sealing key with its statement."""
    authority = Authority("all of a test")
    return {
        "ca": authority.pem,
        "caller": _caller(authority),
        "parties": [_party(authority, party) for party in range(3)],
    }


def _party(authority: Authority, party: int) -> Any:
    private = X25519PrivateKey.generate()
    key = common_pb2.PartyKey(
        party=party,
        public_key=private.public_key().public_bytes_raw(),
        serial=1,
        not_before_unix_ms=_BEGIN_MS,
        not_after_unix_ms=_END_MS,
    )
    partykeys.sign(authority.issue(f"visard://party/{party}"), key)
    return {"private_key": text(private.private_bytes_raw()), "key": message(key)}


def _caller(authority: Authority) -> Any:
    key, certificate = authority.holder("visard://enroller/page")
    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    return {
        "chain": certificate.public_bytes(encoding).decode(),
        "key": key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption).decode(),
    }
