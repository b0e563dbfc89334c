"""A sealing key is believed if its party vouches for it, now, and with no older serial than was seen before."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard import certs
from visard.errors import InvalidRequest, UntrustedKey
from visard.partykeys import CLOCK_SKEW_MS, sign, trusted, verify_party_key
from visard.seen import SeenSerials
from visard.statements import Holder
from visard.v1 import common_pb2

from tests.client.double import statement_of

NOW = 1_790_000_000_000
KEY = X25519PrivateKey.generate()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory / "ours")
    certs.init(directory / "theirs")
    return directory


def made(pki: Path, party: int = 0, deployment: str = "ours", **changes: int) -> common_pb2.PartyKey:
    times = {"serial": NOW, "not_before_unix_ms": NOW, "not_after_unix_ms": NOW + 1000}
    return statement_of(pki / deployment, party, KEY, **(times | changes))


def ca(pki: Path) -> bytes:
    return (pki / "ours" / "ca.pem").read_bytes()


def statement__should_be_believed_of_its_party_alone(pki: Path) -> None:
    key = made(pki)
    verify_party_key(ca(pki), 0, key, NOW)
    with pytest.raises(UntrustedKey, match="another party"):
        verify_party_key(ca(pki), 1, key, NOW)


def signed_by(pki: Path, role: str) -> common_pb2.PartyKey:
    key = made(pki)
    sign(Holder.read(pki / "ours" / f"{role}.pem", pki / "ours" / f"{role}.key"), key)
    return key


def changed(key: common_pb2.PartyKey, field: str, value: object) -> common_pb2.PartyKey:
    setattr(key, field, value)
    return key


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: made(p, not_after_unix_ms=NOW), "expired"),
        (lambda p: made(p, not_before_unix_ms=NOW + CLOCK_SKEW_MS + 1), "not valid yet"),
        (lambda p: made(p, deployment="theirs"), "not signed as it must be"),
        (lambda p: signed_by(p, "party1"), "another holder"),
        (lambda p: signed_by(p, "gateway"), "another holder"),
        (lambda p: changed(made(p), "serial", NOW + 1), "not signed as it must be"),
        (lambda p: changed(made(p), "not_after_unix_ms", NOW + 2000), "not signed as it must be"),
        (lambda p: changed(made(p), "not_before_unix_ms", NOW - 1), "not signed as it must be"),
        (lambda p: changed(made(p), "public_key", bytes(32)), "not signed as it must be"),
        (lambda p: changed(made(p), "public_key", bytes(31)), "32 bytes"),
        (lambda p: changed(made(p), "signature", b""), "not signed as it must be"),
    ],
)
def wrong_statement__should_be_refused_with_the_reason(
    pki: Path, make: Callable[[Path], common_pb2.PartyKey], text: str
) -> None:
    with pytest.raises(UntrustedKey, match=text):
        verify_party_key(ca(pki), 0, make(pki), NOW)


def key_of_either_authority_in_a_bundle__should_be_believed(pki: Path) -> None:
    bundle = ca(pki) + (pki / "theirs" / "ca.pem").read_bytes()
    for deployment in ("ours", "theirs"):
        verify_party_key(bundle, 0, made(pki, deployment=deployment), NOW)


def older_serial__should_be_refused_also_by_the_next_program(pki: Path, tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    old, new = ([made(pki, party, serial=serial) for party in range(3)] for serial in (NOW, NOW + 5))
    assert trusted(ca(pki), new, SeenSerials(path), NOW).until_unix_ms == NOW + 1000
    for seen in (SeenSerials(path), SeenSerials(path)):
        with pytest.raises(UntrustedKey, match="party 0 is older"):
            trusted(ca(pki), old, seen, NOW)
        trusted(ca(pki), new, seen, NOW)
    mixed = [new[0], new[1], old[2]]
    with pytest.raises(UntrustedKey, match="party 2 is older"):
        trusted(ca(pki), mixed, SeenSerials(path), NOW)
    with pytest.raises(UntrustedKey, match="three parties"):
        trusted(ca(pki), new[:2], SeenSerials(), NOW)


def damaged_file__should_be_named(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    path.write_text("[1]")
    with pytest.raises(InvalidRequest, match=r"seen\.json is damaged"):
        SeenSerials(path).admit({0: 1})
    with pytest.raises(InvalidRequest, match="cannot be kept"):
        SeenSerials(tmp_path / "no folder" / "seen.json").admit({0: 1})


def _admit_many(path: Path, start: int) -> None:
    for serial in range(start, 400, 4):
        try:
            SeenSerials(path).admit({0: serial, 1: serial})
        except UntrustedKey:
            continue


def programs_at_the_same_time__should_never_lower_a_serial(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_admit_many, args=(path, k)) for k in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert json.loads(path.read_text()) == {"0": 399, "1": 399}
