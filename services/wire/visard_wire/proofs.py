"""Proofs of role: who asks at an HTTP port and has shown no certificate over TLS, as a page cannot whose key is in IndexedDB.

A proof is for one host, path and minute, and is taken once. It admits a request and vouches for nothing in it: what the parties
do they do for who has signed the request itself (visard_wire.callers). Pure; times are milliseconds since 1970.
"""

import base64
import binascii
from collections.abc import Collection
from urllib.parse import urlsplit

from cryptography import x509
from google.protobuf.message import DecodeError

from visard_wire.digests import sized
from visard_wire.errors import UntrustedKey
from visard_wire.statements import Holder, signers
from visard_wire.v1 import common_pb2
from visard_wire.vouching import Trust

SCHEME = "Visard"
WINDOW_MS = 60_000  # how far the clocks may be apart, either way
NONCE_BYTES = 16
MAX_HEADER = 12 << 10  # characters
_SIGNED = b"visard/v1/proof"


def _statement(proof: common_pb2.Proof, path: str, about: bytes) -> bytes:
    parts = (proof.host.encode(), path.encode(), proof.time_unix_ms.to_bytes(8, "big"), proof.nonce, about)
    return _SIGNED + b"".join(map(sized, parts))


def header(holder: Holder, url: str, nonce: bytes, now_unix_ms: int, about: bytes = b"") -> str:
    """The value of the header Authorization for a request to this address. ``about``: SHA-256 of what it vouches for."""
    asked = urlsplit(url)
    proof = common_pb2.Proof(chain=holder.chain, host=asked.hostname or "", time_unix_ms=now_unix_ms, nonce=nonce)
    proof.signature = holder.signature(_statement(proof, asked.path, about))
    return f"{SCHEME} {base64.urlsafe_b64encode(proof.SerializeToString()).decode().rstrip('=')}"


def offered(value: str) -> bool:
    """Whether a header Authorization holds a proof, of whatever worth."""
    return value.partition(" ")[0].lower() == SCHEME.lower()


def read(value: str) -> common_pb2.Proof:
    """The proof in a header; raises UntrustedKey, also where none is offered."""
    if not offered(value):
        raise UntrustedKey("the header Authorization holds no proof of role")
    _, _, text = value.partition(" ")
    try:
        if len(value) > MAX_HEADER or not text.isascii():
            raise ValueError("too long, or not of base64")
        return common_pb2.Proof.FromString(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, DecodeError) as error:
        raise UntrustedKey("the proof of role in the header Authorization cannot be read") from error


def verify(
    trust: Trust, proof: common_pb2.Proof, hosts: Collection[str], path: str, now_unix_ms: int, about: bytes = b""
) -> list[str]:
    """The URIs in the certificate of who made a proof for this host, path and time; raises UntrustedKey.

    ``hosts``: all names that the server has. Whether the nonce was taken before is for the server to say.
    """
    if proof.host not in hosts:
        raise UntrustedKey(
            "the proof of role is for another host than the server's certificate names, where * names none"
        )
    if len(proof.nonce) != NONCE_BYTES:
        raise UntrustedKey(f"a proof of role has a nonce of {NONCE_BYTES} bytes")
    if abs(now_unix_ms - proof.time_unix_ms) > WINDOW_MS:
        raise UntrustedKey(
            f"the proof of role is not of this minute: it is {WINDOW_MS // 1000} s off; check the clocks"
        )
    try:
        return signers(
            trust, proof.chain, _statement(proof, path, about), proof.signature, "request's path, host and time"
        )
    except UntrustedKey as error:
        raise UntrustedKey(f"the proof of role does not hold: wanted is {error}") from error


def hosts_of(certificate: x509.Certificate) -> frozenset[str]:
    """The names of hosts in a server's certificate, as they stand in addresses: small letters, no brackets.

    One with * is no host's: whoever else has such a certificate could pass on what it is shown.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    dns = (name.lower() for name in names.get_values_for_type(x509.DNSName))
    return frozenset((*dns, *map(str, names.get_values_for_type(x509.IPAddress))))
