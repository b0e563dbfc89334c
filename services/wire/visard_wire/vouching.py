"""Who vouches for whom: which roots may have issued a certificate that names a role.

Either one authority vouches for everybody, or each operator has its own and every role is pinned to the roots of whoever
bears it: then an operator's root is worth nothing for another's name, as a trust domain's bundle is in SPIFFE. Pure.

An authority whose own certificate names roles, as the registrar's names ``visard://enroller/*``, vouches for these alone.

A pattern is ``gateway``, ``dealer``, ``party/0`` to ``party/2``, ``KIND/NAME`` for one caller or ``KIND/*`` for all of a kind; a
caller who is pinned by name is vouched for by those roots alone, and not by the kind's.
"""

import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from visard_wire.errors import UntrustedKey

SCHEME = "visard://"
MAX_CHAIN = 4
MAX_CERTIFICATE_BYTES = 16 << 10
MAX_RSA_BITS = 4096
_RSA_EXPONENT = 65537
PARTY_ROLES = ("party/0", "party/1", "party/2")
SERVICE_ROLES = ("gateway", "dealer", *PARTY_ROLES)
CALLER_KINDS = ("verifier", "enroller", "owner", "admin")
PATTERN = re.compile(rf"gateway|dealer|party/[0-2]|({'|'.join(CALLER_KINDS)})/(\*|[A-Za-z0-9._-]{{1,64}})")
_OF_SERVERS = ("dealer", *PARTY_ROLES)
# our certificates carry what TLS needs, not all that the web's authorities must write
_AUTHORITY = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
_HOLDER = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)

Roots = tuple[x509.Certificate, ...]


class Trust:
    """The roots of each role. ``everybody`` vouch for all of them; or else ``pinned`` says who does for which."""

    def __init__(self, everybody: Sequence[x509.Certificate] = (), pinned: Mapping[str, Roots] | None = None) -> None:
        self._everybody = tuple(everybody)
        self.pinned = dict(pinned or {})

    @classmethod
    def one(cls, pem: bytes) -> "Trust":
        """One authority for everybody; several in the PEM while one takes over from another. Raises ValueError."""
        return cls(everybody=x509.load_pem_x509_certificates(pem))

    @classmethod
    def each(cls, pem: Mapping[str, bytes]) -> "Trust":
        """The roots of each role, by pattern; raises ValueError that begins with the pattern which is wrong."""
        check_patterns(pem)
        pinned = {pattern: _roots(pattern, data) for pattern, data in pem.items()}
        _check_apart(pinned)
        _check_names(pinned)
        return cls(pinned=pinned)

    @property
    def separate(self) -> bool:
        """Whether roles are pinned to roots."""
        return bool(self.pinned)

    @property
    def limited(self) -> bool:
        """Whether one of those who vouch for everybody may do so for some roles alone."""
        return any(_named(one) for one in self._everybody)

    def of(self, role: str) -> Roots:
        """The roots that may vouch for a role, as in "party/0": none for one that nobody is pinned for."""
        if not self.pinned:
            return self._everybody
        if not PATTERN.fullmatch(role) or role.endswith("*"):
            return ()
        return self.pinned.get(role) or self.pinned.get(f"{role.partition('/')[0]}/*", ())

    def pem(self, *roles: str) -> bytes:
        """What TLS trusts of a peer that must be one of these roles, or of any; raises ValueError where that is nobody."""
        wanted = [self.of(role) for role in roles] if roles else [self._everybody, *self.pinned.values()]
        found = {one: None for roots in wanted for one in roots}
        if not found:  # gRPC would take the machine's own authorities instead
            raise ValueError(f"no root vouches for {' or '.join(roles)}")
        return b"".join(one.public_bytes(Encoding.PEM) for one in found)

    def names(self, chain: Sequence[bytes]) -> list[str]:
        """The URIs in a certificate that may name them, its chain in DER, its own first; raises UntrustedKey.

        Each is issued by the next one. Where roles are pinned the certificate names one, and a root that is pinned for that one
        has issued it.
        """
        if not 1 <= len(chain) <= MAX_CHAIN or max(map(len, chain)) > MAX_CERTIFICATE_BYTES:
            raise UntrustedKey(f"a chain of 1 to {MAX_CHAIN} certificates of at most {MAX_CERTIFICATE_BYTES} bytes")
        try:
            leaf, *between = (x509.load_der_x509_certificate(one) for one in chain)
            found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            uris = found.get_values_for_type(x509.UniformResourceIdentifier)
            _check_order((leaf, *between))
            _check_chain(self._vouching(uris), leaf, between, uris)
        except (VerificationError, ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound) as error:
            raise UntrustedKey(f"a certificate of {self._whom()}, valid now") from error
        return uris

    def _vouching(self, uris: Sequence[str]) -> Roots:
        if not self.pinned:
            return self._everybody
        roles = [uri.removeprefix(SCHEME) for uri in uris if uri.startswith(SCHEME)]
        roots = self.of(roles[0]) if len(roles) == 1 else ()
        if not roots:
            raise ValueError("nobody vouches for this role, or it names none, or several")
        return roots

    def _whom(self) -> str:
        return "an authority that vouches for its role here" if self.pinned else "this deployment's authority"


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises ValueError for a pattern that is none, and for a party that nobody vouches for."""
    known = set(patterns)
    for pattern in known:
        if not PATTERN.fullmatch(pattern):
            kinds = ", ".join(f"{kind}/NAME or {kind}/*" for kind in CALLER_KINDS)
            raise ValueError(f"{pattern}: not a role; known are {', '.join(SERVICE_ROLES)}, {kinds}")
    check_named(known, PARTY_ROLES)


def check_named(patterns: Iterable[str], needed: Iterable[str]) -> None:
    """Raises ValueError for a role that is needed and missing."""
    if missing := sorted(set(needed) - set(patterns)):
        raise ValueError(f"{missing[0]}: missing: who vouches for it?")


def read_table(path: Path) -> dict[str, Path]:
    """The table in a TOML file, patterns to PEM files, which are beside it; raises OSError, and ValueError naming it."""
    try:
        found = tomllib.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not TOML") from error
    if not all(isinstance(file, str) for file in found.values()):
        raise ValueError(f"{path}: a table of roles and files, as in gateway = 'gateway.pem'")
    return {pattern: path.parent / file for pattern, file in found.items()}


def read_roots(files: Mapping[str, Path]) -> Trust:
    """The roots in these files, by pattern; raises OSError, and ValueError that begins with the pattern."""
    check_patterns(files)
    return Trust.each({pattern: path.read_bytes() for pattern, path in files.items()})


def fingerprint(root: x509.Certificate) -> str:
    """SHA-256 of a certificate, as ``openssl x509 -fingerprint -sha256`` writes it."""
    return root.fingerprint(hashes.SHA256()).hex(":").upper()


def _roots(pattern: str, pem: bytes) -> Roots:
    if b"PRIVATE KEY" in pem:
        raise ValueError(f"{pattern}: the file holds a private key, which nobody else may have: roots are certificates")
    try:
        found = tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise ValueError(f"{pattern}: no certificates in PEM") from error
    if not all(map(_is_root, found)):
        raise ValueError(f"{pattern}: a root is an authority's own certificate, signed by itself")
    return found


def _is_root(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(certificate)
    except (x509.ExtensionNotFound, InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return constraints.ca


def _check_apart(pinned: Mapping[str, Roots]) -> None:
    """Two of the parties and the dealer see what no one may; and what a gateway asks callers must have signed."""
    keys = {role: {_key(root) for root in roots} for role, roots in pinned.items()}
    callers = [pattern for pattern in pinned if pattern not in SERVICE_ROLES]
    for one, other in (*combinations(_OF_SERVERS, 2), *(("gateway", caller) for caller in callers)):
        if keys.get(one, set()) & keys.get(other, set()):
            raise ValueError(f"{other}: has a root in common with {one}: whoever holds its key could be both")


def _check_names(pinned: Mapping[str, Roots]) -> None:
    """TLS finds a root by its name: of two operators' with one name it may try the wrong one, and let nobody in."""
    known: dict[x509.Name, tuple[Roots, str]] = {}
    for pattern, roots in pinned.items():
        for root in roots:
            before, where = known.setdefault(root.subject, (roots, pattern))
            if root not in before:
                raise ValueError(f"{pattern}: its root has the name of another, that of {where}; a name is for one")


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_order(chain: Sequence[x509.Certificate]) -> None:
    """Raises ValueError unless each certificate names the next as its issuer, none comes twice, and keys are cheap to use.

    Strangers send chains: a path among authorities of one name would be looked for in each order of them.
    """
    subjects = [one.subject for one in chain]
    if any(one.issuer != below for one, below in zip(chain, subjects[1:], strict=False)):
        raise ValueError("a chain in disorder")
    if len(set(subjects[1:])) < len(subjects[1:]) or len(set(map(_key, chain))) < len(chain):
        raise ValueError("an authority that comes twice")
    if not all(map(_cheap, chain)):
        raise ValueError("a key of another kind")


def _cheap(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size <= MAX_RSA_BITS and key.public_numbers().e == _RSA_EXPONENT
    return isinstance(key, ec.EllipticCurvePublicKey)


def _check_chain(
    authorities: Roots, leaf: x509.Certificate, between: list[x509.Certificate], uris: Sequence[str]
) -> None:
    policy = PolicyBuilder().store(Store(list(authorities))).time(datetime.datetime.now(datetime.UTC))
    policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_HOLDER)
    _, *above = policy.build_client_verifier().verify(leaf, between).chain
    roles = [uri for uri in uris if uri.startswith(SCHEME)]
    for authority in above:
        allowed = _named(authority)
        if allowed and not all(any(_within(role, one) for one in allowed) for role in roles):
            raise ValueError("an authority that may not vouch for this role")


def _named(authority: x509.Certificate) -> list[str]:
    """The roles for which alone an authority vouches, as in visard://enroller/*; none where it may for any."""
    try:
        names = authority.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(SCHEME)]


def _within(role: str, allowed: str) -> bool:
    return role == allowed or (allowed.endswith("/*") and role.startswith(allowed[:-1]))
