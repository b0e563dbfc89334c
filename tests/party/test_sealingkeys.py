"""A party offers a key for a day, opens with it for an hour longer, and then neither it nor its disk can."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard import certs
from visard.errors import UntrustedKey
from visard.partykeys import verify_party_key
from visard.sealing import key_id

from services.common.tls import Tls
from services.party import keyring
from services.party.keyring import ACCEPTED_LONGER_MS, HOUR_MS, Term
from services.party.sealingkeys import SealingKeys

START = 1_790_000_000_000
DAY = 24 * HOUR_MS


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


def keys(pki: Path, folder: Path, clock: Clock, party: int = 1) -> SealingKeys:
    tls = Tls(ca=pki / "ca.pem", cert=pki / f"party{party}.pem", key=pki / f"party{party}.key")
    return SealingKeys(party, tls, folder / "sealing", 24.0, clock)


def files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "sealing").glob("*.key"))]


def key__should_be_offered_for_a_day_and_open_for_an_hour_longer(pki: Path, tmp_path: Path) -> None:
    clock = Clock()
    held = keys(pki, tmp_path, clock)
    first = held.offered()
    private = held.named(key_id(first.public_key)).private.private_bytes_raw()
    verify_party_key((pki / "ca.pem").read_bytes(), 1, first, clock.now)
    assert first.not_after_unix_ms == START + DAY + ACCEPTED_LONGER_MS
    clock.now += DAY - 1
    assert held.offered() == first
    clock.now += 1
    second = held.offered()
    assert (second.serial > first.serial, second.public_key != first.public_key) == (True, True)
    assert held.named(key_id(first.public_key)).public == first.public_key
    assert any(private in file for file in files(tmp_path))
    clock.now += ACCEPTED_LONGER_MS
    assert held.named(key_id(first.public_key)).public == second.public_key, "none of ours any more"
    assert not any(private in file for file in files(tmp_path))
    assert len(files(tmp_path)) == 1


def rotation__should_take_place_once_a_request_and_leave_an_hour(pki: Path, tmp_path: Path) -> None:
    clock = Clock()
    held = keys(pki, tmp_path, clock)
    first = held.offered()
    clock.now += 5
    held.rotate(b"request")
    second = held.offered()
    held.rotate(b"request")
    assert held.offered() == second != first
    assert held.named(key_id(first.public_key)).public == first.public_key
    clock.now += ACCEPTED_LONGER_MS
    assert held.named(key_id(first.public_key)).public == second.public_key


def restored_disk__should_never_offer_a_serial_again(pki: Path, tmp_path: Path) -> None:
    clock = Clock()
    first = keys(pki, tmp_path, clock).offered()
    clock.now -= 10 * DAY  # and a clock that was set back
    second = keys(pki, tmp_path, clock).offered()
    assert second.serial > first.serial


def statement__should_be_signed_anew_with_the_certificate(tmp_path: Path) -> None:
    certs.init(tmp_path / "pki")
    held = keys(tmp_path / "pki", tmp_path, Clock())
    first = held.offered()
    certs.renew(tmp_path / "pki", "party1")
    second = held.offered()
    assert (second.public_key, second.serial) == (first.public_key, first.serial)
    assert second.chain != first.chain
    verify_party_key((tmp_path / "pki" / "ca.pem").read_bytes(), 1, second, START)


def certificate_of_another_party__should_end_the_start(pki: Path, tmp_path: Path) -> None:
    tls = Tls(ca=pki / "ca.pem", cert=pki / "party0.pem", key=pki / "party0.key")
    with pytest.raises(UntrustedKey, match="another holder"):
        SealingKeys(1, tls, tmp_path / "sealing", 24.0, Clock())


def private_keys__should_be_private(pki: Path, tmp_path: Path) -> None:
    keys(pki, tmp_path, Clock()).offered()
    paths = [tmp_path / "sealing", *(tmp_path / "sealing").iterdir()]
    assert [path.stat().st_mode & 0o077 for path in paths] == [0] * len(paths)


@given(st.lists(st.integers(0, 5 * DAY), min_size=1, max_size=20), st.floats(0.1, 48))
def any_history__should_keep_what_is_promised(steps: list[int], hours: float) -> None:
    """Serials grow; what is offered is accepted; nothing is accepted past its end, nor an hour after a newer one was made."""
    now, last, held = START, 0, set[Term]()
    for step in steps:
        now += step
        plan = keyring.plan(held, now, replaced=0)
        held = set(plan.accepted)
        if plan.offered is None:
            term = keyring.fresh(last, now, hours)
            assert term.serial > last
            last = term.serial
            held.add(term)
        else:
            assert plan.offered in held
            assert now < plan.offered.offered_until
        newest = max(held)
        assert all(now < term.not_after for term in held)
        assert all(term is newest or now < newest.not_before + ACCEPTED_LONGER_MS for term in held)
