"""A proof of role in a header is as good as a certificate over TLS, for one request, host, path and minute; and no better."""

import json
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from grpc import StatusCode
from visard import certs
from visard.registrar import authority
from visard.registrar.config import Folder
from visard_common.errors import PermissionDenied, ResourceExhausted
from visard_common.tls import Tls
from visard_gateway.http.proofs import Nonces
from visard_wire.errors import UntrustedKey
from visard_wire.proofs import MAX_HEADER, WINDOW_MS, header, hosts_of, read
from visard_wire.statements import Holder
from visard_wire.v1 import gateway_pb2

from tests.client.registering import SETTINGS
from tests.gateway.harness import House, running
from tests.gateway.over_http import ANY_PORT, JSON, ORIGIN, STATUS, asked

AT = "https://localhost:7443"
LIST = "/visard.v1.FaceMatching/ListSubjects"


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with running(folder, http_listen=ANY_PORT, http_origins=(ORIGIN,)) as house:
        yield house


def holder(folder: Path, role: str = "client") -> Holder:
    return Holder.read(folder / f"{role}.pem", folder / f"{role}.key")


def proof(who: Holder, url: str = AT + STATUS, off_ms: int = 0) -> str:
    return header(who, url, os.urandom(16), time.time_ns() // 1_000_000 + off_ms)


async def told(house: House, value: str, path: str = STATUS, role: str | None = None) -> tuple[int, str]:
    status, _, body = await asked(house, path, headers={**JSON, "authorization": value}, role=role)
    return status, json.loads(body).get("message", "")


async def proof__should_admit_once(house: House) -> None:
    value = proof(holder(house.folder))
    assert (await told(house, value))[0] == 200
    assert await told(house, value) == (403, "the proof of role was taken before: each is for one request")
    assert (await told(house, proof(holder(house.folder), AT + LIST), LIST))[0] == 200
    assert (await told(house, proof(holder(house.folder)).replace("Visard", "visard")))[0] == 200


async def proof__should_be_for_this_host_path_and_minute(house: House) -> None:
    who = holder(house.folder)
    for url, off, why in (
        (f"https://evil.example{STATUS}", 0, "for another host"),
        (AT + LIST, 0, "exactly this request's path"),
        (AT + STATUS, -WINDOW_MS - 5000, "not of this minute"),
        (AT + STATUS, WINDOW_MS + 5000, "not of this minute"),
    ):
        status, message = await told(house, proof(who, url, off))
        assert status == 403
        assert why in message


async def proof__should_give_no_more_than_its_role(house: House) -> None:
    status, message = await told(house, proof(holder(house.folder, "verifier"), AT + LIST), LIST)
    assert (status, "role verifier may not call this" in message) == (403, True)
    # where both are shown the proof counts alone, in both directions
    assert (await told(house, proof(holder(house.folder), AT + LIST), LIST, role="verifier"))[0] == 200
    assert (await told(house, proof(holder(house.folder, "verifier"), AT + LIST), LIST, role="client"))[0] == 403
    # another way to say who asks is none of ours
    assert (await told(house, "Basic YTpi", role="client"))[0] == 200
    assert (await told(house, "Basic YTpi"))[0] == 403


async def proof__should_hold_as_it_was_signed(house: House, tmp_path: Path) -> None:
    who, verifier = holder(house.folder), holder(house.folder, "verifier")
    text = proof(who)
    for place in (len(text) // 3, len(text) // 2, len(text) - 20):
        other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert (await told(house, other))[0] == 403
    mixed = Holder(who.chain, verifier._key)
    assert (await told(house, proof(mixed)))[0] == 403
    certs.init(tmp_path / "others")
    assert (await told(house, proof(holder(tmp_path / "others"))))[0] == 403
    for value in ("Visard", "Visard ", "Visard ??", "Visard AAAA", "Visard " + "A" * MAX_HEADER):
        assert (await told(house, value))[0] == 403


async def proof__should_not_outlive_its_authority(tmp_path: Path, folder: Path) -> None:
    """What revokes a certificate over TLS revokes it here: its root is taken out of the file, and the gateway runs on."""
    certs.init(tmp_path / "house")
    certs.init(tmp_path / "leaving", only=["client"])
    ca, leaving = tmp_path / "house" / "ca.pem", tmp_path / "leaving" / "ca.pem"
    alone = ca.read_bytes()
    ca.write_bytes(alone + leaving.read_bytes())
    async with running(tmp_path / "house", http_listen=ANY_PORT) as house:
        assert (await told(house, proof(holder(tmp_path / "leaving"))))[0] == 200
        ca.write_bytes(alone)
        status, message = await told(house, proof(holder(tmp_path / "leaving")))
        assert (status, "authority" in message) == (403, True)


async def registrar__should_vouch_for_callers_alone(tmp_path: Path) -> None:
    """Over TLS and in a header: its keys are callers, and whoever has stolen its authority's key is nothing else."""
    certs.init(tmp_path / "certs")
    authority.make(tmp_path / "registrar", tmp_path / "certs", SETTINGS, ["localhost"])
    below, key = Folder(tmp_path / "registrar"), ec.generate_private_key(ec.SECP256R1())
    own, signing = x509.load_pem_x509_certificate(below.ca.read_bytes()), certs.authority_key(below.path)
    async with running(tmp_path / "certs", http_listen=ANY_PORT) as house:
        for role, expected in (("enroller/ada", 200), ("admin/ada", 403), ("enroller/ada,admin/ada", 403)):
            uris = [x509.UniformResourceIdentifier(f"visard://{one}") for one in role.split(",")]
            made = certs.begun(x509.Name([]), own.subject, key.public_key())
            made = made.add_extension(x509.SubjectAlternativeName(uris), critical=True)
            leaf = made.sign(signing, hashes.SHA256())
            chain = [one.public_bytes(Encoding.DER) for one in (leaf, own)]
            assert (await told(house, proof(Holder(chain, key))))[0] == expected
            pem = b"".join(one.public_bytes(Encoding.PEM) for one in (leaf, own))
            (house.folder / "signed.pem").write_bytes(pem)
            certs.write_key(house.folder / "signed.key", key)
            assert (await asked(house, STATUS, role="signed"))[0] == expected
            call = house.matching("signed").GetStatus(gateway_pb2.GetStatusRequest())
            assert (await call.code() is StatusCode.OK) == (expected == 200)


async def registrar__should_be_believed_where_its_root_is_pinned(tmp_path: Path, folder: Path) -> None:
    """Each operator has an authority: that of the enrollers has a registrar below it, and so has the gateway's."""
    owners = {
        "party0": "party/0",
        "party1": "party/1",
        "party2": "party/2",
        "gateway": "gateway",
        "client": "enroller/*",
    }
    for name in owners:
        certs.init(tmp_path / name, only=[name])
    roots = {role: tmp_path / name / "ca.pem" for name, role in owners.items()}
    own = Tls(roots=roots, cert=tmp_path / "gateway" / "gateway.pem", key=tmp_path / "gateway" / "gateway.key")
    shutil.copy(tmp_path / "gateway" / "ca.pem", tmp_path / "ca.pem")
    async with running(folder, http_listen=ANY_PORT, tls=own) as house:
        house.folder = tmp_path
        for whose, role, expected in (
            ("client", "enroller/ada", 200),
            ("client", "verifier/ada", 403),  # nobody is pinned for these
            ("gateway", "enroller/ada", 403),
        ):
            place, key = tmp_path / f"{whose}-registrar", ec.generate_private_key(ec.SECP256R1())
            if not place.exists():
                authority.make(place, tmp_path / whose, SETTINGS, ["localhost"])
            made = authority.Authority(Folder(place)).sign(key.public_key(), role, 7)
            assert (await told(house, proof(Holder(made.chain, key))))[0] == expected


async def page__should_be_allowed_to_prove(house: House) -> None:
    wish = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
        "origin": ORIGIN,
    }
    status, headers, _ = await asked(house, STATUS, b"", wish, "OPTIONS", role=None)
    assert status == 204
    assert "authorization" in headers["access-control-allow-headers"].split(", ")
    status, headers, _ = await asked(
        house, STATUS, headers={**JSON, "origin": ORIGIN, "authorization": proof(holder(house.folder))}, role=None
    )
    assert (status, headers["access-control-allow-origin"]) == (200, ORIGIN)


def nonces__should_be_remembered_for_as_long_as_they_could_come_again() -> None:
    now = [0]
    nonces = Nonces(lambda: now[0], most=3, each=2)
    nonces.take("a", b"1")
    nonces.take("b", b"1")
    now[0] = 2 * WINDOW_MS
    with pytest.raises(PermissionDenied):
        nonces.take("a", b"1")
    nonces.take("a", b"2")
    with pytest.raises(ResourceExhausted):  # in all
        nonces.take("c", b"1")
    now[0] += 1
    nonces.take("a", b"1")
    assert len(nonces) == 2
    with pytest.raises(ResourceExhausted):  # of one
        nonces.take("a", b"3")


def hosts__should_be_those_of_the_certificate(tmp_path: Path) -> None:
    certs.init(tmp_path, ["Gateway.Example", "::1", "127.0.0.1"], only=["gateway"])
    assert hosts_of(x509.load_pem_x509_certificate((tmp_path / "gateway.pem").read_bytes())) == {
        "gateway.example",
        "::1",
        "127.0.0.1",
    }
    assert hosts_of(x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())) == set()


def proof__should_be_read_or_refused() -> None:
    with pytest.raises(UntrustedKey):
        read("Visard ÿ")
    for other in ("", "Basic x"):
        with pytest.raises(UntrustedKey, match="no proof"):
            read(other)
