"""Statements: what the holder of a certificate signs with its key, and what makes others believe it. The rules in one place.

Callers sign their requests (visard_wire.callers), parties their sealing keys (visard_wire.partykeys). Whose certificate is
believed visard_wire.vouching says.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from visard_wire.errors import InvalidRequest, UntrustedKey
from visard_wire.vouching import Trust

_SIGNATURE = ec.ECDSA(hashes.SHA256())


class Holder:
    """Who holds a certificate and its key. ``chain`` is DER, its own certificate first."""

    def __init__(self, chain: Sequence[bytes], key: ec.EllipticCurvePrivateKey) -> None:
        self.chain = chain
        self._key = key

    @classmethod
    def read(cls, cert: Path, key: Path) -> Self:
        """From PEM files; raises OSError, ValueError, and InvalidRequest for a key that is not ECDSA."""
        chain = x509.load_pem_x509_certificates(cert.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise InvalidRequest(f"{key}: statements are signed with ECDSA keys")
        return cls([one.public_bytes(serialization.Encoding.DER) for one in chain], private)

    def signature(self, statement: bytes) -> bytes:
        """DER of an ECDSA signature with SHA-256 (FIPS 186-5)."""
        return self._key.sign(statement, _SIGNATURE)


def signers(trust: Trust, chain: Sequence[bytes], statement: bytes, signature: bytes, about: str) -> list[str]:
    """The URIs in the certificate of who signed a statement; raises UntrustedKey, which says what is wanted instead."""
    names = trust.names(chain)
    key = x509.load_der_x509_certificate(chain[0]).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UntrustedKey("a certificate with an ECDSA key")
    try:
        key.verify(signature, statement, _SIGNATURE)
    except InvalidSignature as error:
        raise UntrustedKey(f"a signature under exactly this {about}") from error
    return names
