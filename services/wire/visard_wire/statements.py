"""Statements: what the holder of a certificate signs with its key, and what makes others believe it. The rules in one place.

Callers sign their requests (visard_wire.callers), parties their sealing keys (visard_wire.partykeys).
"""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from visard_wire.errors import InvalidRequest, UntrustedKey

MAX_CHAIN = 4
MAX_CERTIFICATE_BYTES = 16 << 10
_SIGNATURE = ec.ECDSA(hashes.SHA256())
# our certificates carry what TLS needs, not all that the web's authorities must write
_AUTHORITY = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
_HOLDER = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)


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


def signers(
    authorities: Sequence[x509.Certificate], chain: Sequence[bytes], statement: bytes, signature: bytes, about: str
) -> list[str]:
    """The URIs in the certificate of who signed a statement; raises UntrustedKey, which says what is wanted instead."""
    if not 1 <= len(chain) <= MAX_CHAIN or max(map(len, chain)) > MAX_CERTIFICATE_BYTES:
        raise UntrustedKey(f"a chain of 1 to {MAX_CHAIN} certificates of at most {MAX_CERTIFICATE_BYTES} bytes")
    try:
        leaf, *between = (x509.load_der_x509_certificate(one) for one in chain)
        _check_chain(authorities, leaf, between)
        key = leaf.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise UntrustedKey("a certificate with an ECDSA key")
        key.verify(signature, statement, _SIGNATURE)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedKey("a certificate of this deployment's authority, valid now") from error
    except InvalidSignature as error:
        raise UntrustedKey(f"a signature under exactly this {about}") from error
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _check_chain(
    authorities: Sequence[x509.Certificate], leaf: x509.Certificate, between: list[x509.Certificate]
) -> None:
    policy = PolicyBuilder().store(Store(list(authorities))).time(datetime.datetime.now(datetime.UTC))
    policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_HOLDER)
    policy.build_client_verifier().verify(leaf, between)
