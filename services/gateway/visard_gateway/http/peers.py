"""Who is at the other end of a TLS connection, told as gRPC tells it: visard_common.identity makes a role of it."""

import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

# as in grpc.ServicerContext.auth_context()
Peer = Mapping[str, Iterable[bytes]]

NOBODY: Peer = {}


def peer_of(connection: ssl.SSLObject | None) -> Peer:
    """The names in the peer's certificate and its chain, which TLS has checked; NOBODY for one that showed none.

    Names are URIs alone. gRPC tells names of all kinds as one.
    """
    if connection is None or connection.getpeercert(binary_form=True) is None:
        return NOBODY
    chain = [x509.load_der_x509_certificate(one) for one in _chain(connection)]
    pem = [one.public_bytes(Encoding.PEM) for one in chain]
    return {
        "x509_subject_alternative_name": [uri.encode() for uri in _uris(chain[0])],
        "x509_pem_cert": [pem[0]],
        "x509_pem_cert_chain": [b"".join(pem)],
    }


def _chain(connection: Any) -> list[bytes]:
    """What the peer sent, in DER, its own certificate first. Public from Python 3.13 on."""
    if hasattr(connection, "get_unverified_chain"):
        return list(connection.get_unverified_chain())
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in connection._sslobj.get_unverified_chain()]


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
