"""A root vouches for the names that it is pinned to, and for no other."""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from visard_wire import vouching
from visard_wire.errors import UntrustedKey
from visard_wire.vouching import MAX_CHAIN, PATTERN, SERVICE_ROLES, Trust, fingerprint, read_roots, read_table

DAY = datetime.timedelta(days=1)


class Authority:
    """An operator's own, with a name that may be another's too."""

    def __init__(
        self,
        name: str,
        issuer: "Authority | None" = None,
        depth: int | None = None,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = issuer or self
        builder = _begun(self.name, by.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
        self.root = builder.sign(by.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    def issue(self, *uris: str) -> bytes:
        """A certificate in DER."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "holder")])
        self.last_key = ec.generate_private_key(ec.SECP256R1())
        builder = _begun(name, self.name, self.last_key.public_key())
        names = [x509.DNSName("localhost"), *map(x509.UniformResourceIdentifier, uris)]
        return builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            self.key, hashes.SHA256()
        ).public_bytes(Encoding.DER)  # fmt: skip


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)


ROLES = (*SERVICE_ROLES, "verifier/*", "enroller/*", "owner/*", "admin/*", "verifier/door")
BEARERS = [role.replace("*", "x") for role in ROLES]


@pytest.fixture(scope="module")
def authorities() -> dict[str, Authority]:
    return {role: Authority(f"root of {role}") for role in ROLES}


@pytest.fixture(scope="module")
def trust(authorities: dict[str, Authority]) -> Trust:
    return Trust.each({role: one.pem for role, one in authorities.items()})


@pytest.mark.parametrize("issuer", ROLES)
@pytest.mark.parametrize("role", BEARERS)
def root__should_vouch_for_the_role_it_is_pinned_to_alone(
    trust: Trust, authorities: dict[str, Authority], issuer: str, role: str
) -> None:
    """Every authority issues every name: one in eleven is believed."""
    chain = [authorities[issuer].issue(f"visard://{role}")]
    if issuer.replace("*", "x") == role:
        assert trust.names(chain) == [f"visard://{role}"]
    else:
        with pytest.raises(UntrustedKey, match="an authority that vouches for its role here"):
            trust.names(chain)


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("https://party/0",),
        ("visard://party/0", "visard://party/1"),
        ("visard://party",),
        ("visard://party/",),
        ("visard://party/00",),
        ("visard://party/3",),
        ("visard://PARTY/0",),
        ("visard://gateway/",),
        ("visard://gateway/x",),
        ("visard://verifier",),
        ("visard://verifier/",),
        ("visard://verifier/*",),
        ("visard://store/0",),
        ("visard://*/0",),
    ],
)
def name_that_nobody_is_pinned_to__should_be_refused_whoever_issues_it(
    trust: Trust, authorities: dict[str, Authority], uris: tuple[str, ...]
) -> None:
    for authority in authorities.values():
        with pytest.raises(UntrustedKey):
            trust.names([authority.issue(*uris)])


def other_names_beside_the_role__should_not_matter(trust: Trust, authorities: dict[str, Authority]) -> None:
    uris = ["spiffe://bank.example/visard", "visard://dealer"]
    assert trust.names([authorities["dealer"].issue(*uris)]) == uris


def caller_pinned_by_name__should_be_vouched_for_by_that_root_alone(
    trust: Trust, authorities: dict[str, Authority]
) -> None:
    assert trust.of("verifier/door") == (authorities["verifier/door"].root,)
    assert trust.of("verifier/doors") == (authorities["verifier/*"].root,)


def intermediate__should_be_followed_to_the_pinned_root_and_no_other() -> None:
    root, other = Authority("root", depth=1), Authority("other")
    between = Authority("between", root, depth=0)
    pem = {role: Authority(role).pem for role in SERVICE_ROLES}
    chain = [between.issue("visard://party/1"), between.root.public_bytes(Encoding.DER)]
    assert Trust.each(pem | {"party/1": root.pem}).names(chain) == ["visard://party/1"]
    for wrong in (other.pem, pem["party/1"]):
        with pytest.raises(UntrustedKey):
            Trust.each(pem | {"party/1": wrong}).names(chain)
    with pytest.raises(UntrustedKey):
        Trust.each(pem | {"party/1": root.pem}).names(chain[:1])


def two_roots_of_one_role__should_both_vouch_for_it(authorities: dict[str, Authority]) -> None:
    """While an operator changes from one to the next."""
    pem = {role: one.pem for role, one in authorities.items()}
    following = Authority("root of party/1")  # the same name: cert-manager's next one has it, too
    trust = Trust.each(pem | {"party/1": pem["party/1"] + following.pem})
    for authority in (authorities["party/1"], following):
        assert trust.names([authority.issue("visard://party/1")]) == ["visard://party/1"]
        with pytest.raises(UntrustedKey):
            trust.names([authority.issue("visard://party/0")])


@pytest.mark.parametrize("count", [0, MAX_CHAIN + 1])
def chain_of_odd_length__should_be_refused(trust: Trust, authorities: dict[str, Authority], count: int) -> None:
    with pytest.raises(UntrustedKey, match="a chain of 1 to 4"):
        trust.names([authorities["dealer"].issue("visard://dealer")] * count)


@pytest.fixture(scope="module")
def strangers() -> dict[str, list[bytes]]:
    """Chains that cost much, or lead astray, if they are searched for a path."""
    first, namesake = Authority("evil"), Authority("evil")
    between = Authority("below", first)
    again = Authority("again", between, key=first.key)
    slow = Authority("slow", key=rsa.generate_private_key(3, 2048))
    large = Authority("large", key=rsa.generate_private_key(65537, 4104))
    der = {one: one.root.public_bytes(Encoding.DER) for one in (first, namesake, between, again, slow, large)}
    return {
        "one authority many times": [first.issue("visard://admin/x"), *[der[first]] * (MAX_CHAIN - 1)],
        "two of one name": [first.issue("visard://admin/x"), der[first], der[namesake]],
        "two of one key": [again.issue("visard://admin/x"), der[again], der[between], der[first]],
        "in disorder": [between.issue("visard://admin/x"), der[first], der[between]],
        "another exponent": [slow.issue("visard://admin/x"), der[slow]],
        "a large key": [large.issue("visard://admin/x"), der[large]],
    }


def chain_of_strangers__should_cost_nothing(
    trust: Trust, strangers: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_for(*_: object) -> None:
        raise AssertionError("a path is looked for")

    monkeypatch.setattr(vouching, "_check_chain", looked_for)
    one = Trust.one(Authority("root").pem)
    for chain in strangers.values():
        for believing in (trust, one):
            with pytest.raises(UntrustedKey):
                believing.names(chain)


@pytest.mark.parametrize("chain", [[b""], [b"nonsense"]])
def no_certificate__should_be_refused(trust: Trust, chain: Sequence[bytes]) -> None:
    with pytest.raises(UntrustedKey):
        trust.names(chain)


def tls__should_get_the_roots_of_a_role_and_never_none(trust: Trust, authorities: dict[str, Authority]) -> None:
    """Without any gRPC would trust the machine's own authorities."""
    assert trust.pem("party/2") == authorities["party/2"].pem
    assert all(one.pem in trust.pem() for one in authorities.values())
    for nobody in ("party/3", "store/0", "", "verifier"):
        with pytest.raises(ValueError, match="no root vouches for"):
            trust.pem(nobody)
    with pytest.raises(ValueError, match="no root"):
        Trust().pem("gateway")


def shared(one: str, other: str) -> Callable[[dict[str, bytes]], None]:
    def change(pem: dict[str, bytes]) -> None:
        pem[other] += pem[one]

    return change


def named_alike(pem: dict[str, bytes]) -> None:
    pem["party/1"] = Authority("root of party/0").pem


def leaf(pem: dict[str, bytes]) -> None:
    der = Authority("some").issue("visard://party/1")
    pem["party/1"] = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def signed_by_another(pem: dict[str, bytes]) -> None:
    pem["party/1"] = Authority("between", Authority("root")).pem


def with_its_key(pem: dict[str, bytes]) -> None:
    pem["party/1"] += b"-----BEGIN EC PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda pem: pem.update({"party/3": pem["dealer"]}), "party/3: not a role"),
        (lambda pem: pem.update({"party/*": pem["dealer"]}), "party/\\*: not a role"),
        (lambda pem: pem.update({"*": pem["dealer"]}), "\\*: not a role"),
        (lambda pem: pem.update({"store/0": pem["dealer"]}), "store/0: not a role"),
        (lambda pem: pem.pop("party/2"), "party/2: missing"),
        (lambda pem: pem.clear(), "party/0: missing"),
        (lambda pem: pem.update({"party/1": b""}), "party/1: no certificates"),
        (lambda pem: pem.update({"party/1": b"half a file"}), "party/1: no certificates"),
        (with_its_key, "party/1: the file holds a private key"),
        (leaf, "party/1: a root is"),
        (signed_by_another, "party/1: a root is"),
        (named_alike, "party/1: its root has the name of another"),
        (shared("party/0", "party/1"), "party/1: has a root in common with party/0"),
        (shared("party/2", "dealer"), "party/2: has a root in common with dealer"),
        (shared("gateway", "enroller/*"), "enroller/\\*: has a root in common with gateway"),
        (shared("gateway", "verifier/door"), "verifier/door: has a root in common with gateway"),
    ],
)
def wrong_table__should_be_refused_by_the_name_of_the_role(
    authorities: dict[str, Authority], change: Callable[[dict[str, bytes]], object], problem: str
) -> None:
    pem = {role: one.pem for role, one in authorities.items()}
    change(pem)
    with pytest.raises(ValueError, match=f"^{problem}"):
        Trust.each(pem)


def one_operator_of_gateway_and_party__should_be_possible(authorities: dict[str, Authority]) -> None:
    pem = {role: one.pem for role, one in authorities.items()}
    trust = Trust.each(pem | {"gateway": pem["party/0"], "enroller/*": pem["party/1"]})
    assert trust.names([authorities["party/0"].issue("visard://gateway")])
    with pytest.raises(UntrustedKey):
        trust.names([authorities["party/0"].issue("visard://enroller/x")])


def one_authority__should_vouch_for_everybody(authorities: dict[str, Authority]) -> None:
    trust = Trust.one(authorities["dealer"].pem)
    assert not trust.separate
    for role in ("gateway", "party/0", "verifier/x", "store/1"):
        assert trust.names([authorities["dealer"].issue(f"visard://{role}")]) == [f"visard://{role}"]
        assert trust.pem(role) == authorities["dealer"].pem


def table__should_be_read_with_files_beside_it(tmp_path: Path, authorities: dict[str, Authority]) -> None:
    table = tmp_path / "roots.toml"
    for number, (role, one) in enumerate(authorities.items()):
        (tmp_path / f"{number}.pem").write_bytes(one.pem)
        with table.open("a") as file:
            file.write(f"'{role}' = '{number}.pem'\n")
    assert read_roots(read_table(table)).of("party/2") == (authorities["party/2"].root,)
    for wrong in ("party", "gateway = 7", "gateway = {a = 'b'}"):
        table.write_text(wrong)
        with pytest.raises(ValueError, match=r"roots\.toml"):
            read_table(table)


def fingerprint__should_be_as_openssl_writes_it(authorities: dict[str, Authority]) -> None:
    shown = fingerprint(authorities["dealer"].root)
    assert bytes.fromhex(shown.replace(":", "")) == authorities["dealer"].root.fingerprint(hashes.SHA256())
    assert (len(shown), shown) == (95, shown.upper())


def patterns__should_be_roles_of_peers_alone() -> None:
    for pattern in ("gateway", "dealer", "party/0", "verifier/*", "admin/a-1._"):
        assert PATTERN.fullmatch(pattern)
    for pattern in (
        "",
        "gateway/*",
        "party",
        "party/",
        "verifier",
        "verifier/",
        "verifier/a*",
        "verifier/a b",
        "dealer\n",
    ):
        assert not PATTERN.fullmatch(pattern)
