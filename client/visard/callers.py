"""Who asks: a caller signs each request with the key of its certificate, and the parties check that.

Without it a party would know the gateway alone, which it does not trust: a gateway could ask about a stolen photo by itself,
or delete in anybody's name. The signature covers all fields of the request and the hash of each sealed share, so it stands for
one request with these shares and these keys for the answers.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from visard.errors import InvalidRequest, UntrustedKey
from visard.sealing import Context
from visard.v1 import common_pb2

MAX_CHAIN = 4
MAX_CERTIFICATE_BYTES = 16 << 10
_SIGNED = b"visard/v1/caller"
_SIGNATURE = ec.ECDSA(hashes.SHA256())
# our certificates carry what TLS needs, not all that the web's authorities must write
_AUTHORITY = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
_CALLER = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)


class Signer:
    """Signs requests with a certificate's key."""

    def __init__(self, chain: Sequence[bytes], key: ec.EllipticCurvePrivateKey) -> None:
        self._chain = chain
        self._key = key

    @classmethod
    def read(cls, cert: Path, key: Path) -> "Signer":
        """From PEM files; raises OSError, and InvalidRequest for a key that is not ECDSA."""
        chain = x509.load_pem_x509_certificates(cert.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise InvalidRequest(f"{key}: callers sign with ECDSA keys")
        return cls([one.public_bytes(serialization.Encoding.DER) for one in chain], private)

    def sign(self, request: common_pb2.Request) -> None:
        """Say in a request who asks: after its other fields are set."""
        signature = self._key.sign(_SIGNED + Context.from_request(request).digest, _SIGNATURE)
        request.caller.CopyFrom(common_pb2.Caller(chain=self._chain, signature=signature))


def signed_by(authorities: Sequence[x509.Certificate], request: common_pb2.Request) -> list[str]:
    """The URIs in the certificate of who signed a request; raises UntrustedKey, which says what is wrong with it."""
    caller = request.caller
    if not 1 <= len(caller.chain) <= MAX_CHAIN or max(map(len, caller.chain)) > MAX_CERTIFICATE_BYTES:
        raise UntrustedKey(f"a chain of 1 to {MAX_CHAIN} certificates of at most {MAX_CERTIFICATE_BYTES} bytes")
    try:
        leaf, *between = (x509.load_der_x509_certificate(one) for one in caller.chain)
        _check_chain(authorities, leaf, between)
        key = leaf.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise UntrustedKey("a certificate with an ECDSA key")
        key.verify(caller.signature, _SIGNED + Context.from_request(request).digest, _SIGNATURE)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedKey("a certificate of this deployment's authority, valid now") from error
    except InvalidSignature as error:
        raise UntrustedKey("a signature under exactly this request") from error
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _check_chain(
    authorities: Sequence[x509.Certificate], leaf: x509.Certificate, between: list[x509.Certificate]
) -> None:
    policy = PolicyBuilder().store(Store(list(authorities))).time(datetime.datetime.now(datetime.UTC))
    policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_CALLER)
    policy.build_client_verifier().verify(leaf, between)
