"""Certificates, sealing keys and callers, of which both clients must believe the same."""

import datetime
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from visard_wire import partykeys
from visard_wire.callers import Signer
from visard_wire.v1 import common_pb2

from tests.web.coding import REQUESTS, message, text

NOW = 1_795_000_000_000  # within all certificates but the one that has ended
_BEGIN, _END = datetime.datetime(2026, 1, 1), datetime.datetime(2126, 1, 1)


class Authority:
    """An authority, which may be another's."""

    def __init__(self, name: str, issuer: "Authority | None" = None, depth: int | None = None, *only: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = issuer or self
        builder = _begun(self.name, by.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
        if only:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in only])
            builder = builder.add_extension(names, critical=False)
        self.root = builder.sign(by.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *uris: str, **others: Any) -> Signer:
        """Who holds a certificate with these names; ``others`` as for ``holder``."""
        key, certificate = self.holder(*uris, **others)
        return Signer([certificate.public_bytes(serialization.Encoding.DER)], key)

    def holder(
        self, *uris: str, end: datetime.datetime = _END, curve: ec.EllipticCurve | None = None, odd: bool = False
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """A key and its certificate with these names; ``odd``: with a critical extension that nobody knows."""
        key = ec.generate_private_key(curve or ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "holder")])
        builder = _begun(name, self.name, key.public_key(), end)
        if uris:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
            builder = builder.add_extension(names, critical=False)
        if odd:
            unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\5\0")
            builder = builder.add_extension(unknown, critical=True)
        return key, builder.sign(self.key, hashes.SHA256())

    @property
    def der(self) -> bytes:
        """Its certificate in DER."""
        return self.root.public_bytes(serialization.Encoding.DER)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, end: datetime.datetime = _END
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(_BEGIN).not_valid_after(end)


def vouching() -> Any:
    """Chains and parties' keys, by one authority or one of each role's: believed, or the error."""
    one, strange = Authority("one"), Authority("strange")
    roles = ("gateway", "dealer", "party/0", "party/1", "party/2", "enroller/*")
    own = {role: Authority(f"root of {role}") for role in roles}
    middle, deep = Authority("middle", one), Authority("no further", own["party/0"], 0)
    deeper = Authority("too deep", deep)
    strictly = Authority("directly", None, 0)
    below = Authority("below", strictly)
    limited = Authority("registrar", one, 0, "visard://enroller/*", "visard://verifier/door")
    trusts = {
        "one": {"": one.pem},
        "direct": {"": strictly.pem},
        "each": {role: authority.pem for role, authority in own.items()},
    }
    party0 = "visard://party/0"
    issue = own["party/0"].issue
    chains = {
        "by the authority": ("one", one.issue(party0).chain, [party0]),
        "on P-384": ("one", one.issue(party0, curve=ec.SECP384R1()).chain, [party0]),
        "several names": ("one", one.issue("https://a.example", party0).chain, ["https://a.example", party0]),
        "by a stranger": ("one", strange.issue(party0).chain, None),
        "by one between": ("one", [*middle.issue(party0).chain, middle.der], [party0]),
        "one between is missing": ("one", middle.issue(party0).chain, None),
        "by a holder": ("one", [*strange.issue(party0).chain, *one.issue(party0).chain], None),
        "no authority between": ("direct", [*below.issue(party0).chain, below.der], None),
        "for whom it may": ("one", [*limited.issue("visard://enroller/a").chain, limited.der], ["visard://enroller/a"]),
        "for one whom it may": ("one", [*limited.issue("visard://verifier/door").chain, limited.der], ["visard://verifier/door"]),
        "for another name": ("one", [*limited.issue("visard://verifier/doors").chain, limited.der], None),
        "for a party": ("one", [*limited.issue(party0).chain, limited.der], None),
        "for one more": ("one", [*limited.issue("visard://enroller/a", party0).chain, limited.der], None),
        "ended": ("one", one.issue(party0, end=datetime.datetime(2026, 2, 1)).chain, None),
        "critical and unknown": ("one", one.issue(party0, odd=True).chain, None),
        "nameless": ("one", one.issue().chain, None),
        "no certificate": ("one", [b"none"], None),
        "none at all": ("one", [], "chain"),
        "too many": ("one", [one.issue(party0).chain[0]] * 5, "chain"),
        "by its own": ("each", issue(party0).chain, [party0]),
        "by another's": ("each", own["party/1"].issue(party0).chain, None),
        "a caller": ("each", own["enroller/*"].issue("visard://enroller/a").chain, ["visard://enroller/a"]),
        "nobody's": ("each", own["enroller/*"].issue("visard://admin/a").chain, None),
        "two roles": ("each", issue(party0, "visard://party/1").chain, None),
        "within its depth": ("each", [*deep.issue(party0).chain, deep.der], [party0]),
        "beyond its depth": ("each", [*deeper.issue(party0).chain, deeper.der, deep.der], None),
    }  # fmt: skip
    return {
        "now": NOW,
        "trusts": trusts,
        "chains": [_chain(name, *one) for name, one in chains.items()],
        "keys": _keys({role: own[role].issue(f"visard://{role}") for role in roles[2:5]}),
        "callers": _callers(own["enroller/*"].issue("visard://enroller/a")),
    }


def _chain(name: str, trust: str, chain: Sequence[bytes], names: Any) -> Any:
    wanted = "an authority that vouches for its role here" if trust == "each" else "this deployment's authority"
    refused = f"a certificate of {wanted}, valid now"
    if names == "chain":
        names, refused = None, "a chain of 1 to 4 certificates of at most 16384 bytes"
    outcome = {"error": ["UntrustedKey", refused]} if names is None else {"names": names}
    return {"name": name, "trust": trust, "chain": [text(one) for one in chain], **outcome}


def _keys(holders: dict[str, Signer]) -> Any:
    found = []
    for name, party, signer, changes, problem in (
        ("good", 0, "party/0", {}, None),
        ("another party's", 1, "party/0", {}, "is said to be that of another party"),
        ("short", 0, "party/0", {"public_key": bytes(31)}, "has not 32 bytes"),
        ("ended", 0, "party/0", {"not_after_unix_ms": NOW}, "has expired: its statement is an old one, or a clock is wrong"),
        ("soon", 0, "party/0", {"not_before_unix_ms": NOW + 60_000}, None),
        ("later", 0, "party/0", {"not_before_unix_ms": NOW + 60_001}, "is not valid yet: check the clocks"),
        ("signed by another", 0, "party/1", {}, "is signed by another holder of a certificate"),
    ):  # fmt: skip
        key = common_pb2.PartyKey(party=0, public_key=bytes(range(32)), serial=3, not_before_unix_ms=NOW)
        key.not_after_unix_ms = NOW + 9
        for field, value in changes.items():
            setattr(key, field, value)
        partykeys.sign(holders[signer], key)
        found.append(_key(name, party, key, problem))
    key.signature = b"none"
    found.append(
        _key("garbled", 0, key, "is not signed as it must be: wanted is a signature under exactly this statement")
    )
    return found


def _key(name: str, party: int, key: common_pb2.PartyKey, problem: str | None) -> Any:
    error = problem and ["UntrustedKey", f"the sealing key offered for party {party} {problem}"]
    return {"name": name, "trust": "each", "party": party, "key": message(key), "error": error}


def _callers(signer: Signer) -> Any:
    good, changed = common_pb2.Request(), common_pb2.Request()
    for request in (good, changed):
        request.CopyFrom(REQUESTS["every field"])
        signer.sign(request)
    changed.subject = "eve"
    wrong = ["UntrustedKey", "a signature under exactly this request"]
    return [
        {"name": "signed", "trust": "each", "request": message(good), "names": ["visard://enroller/a"]},
        {"name": "changed", "trust": "each", "request": message(changed), "error": wrong},
    ]
