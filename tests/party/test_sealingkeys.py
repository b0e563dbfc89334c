"""A party opens what was sealed to its current or its previous key, and offers only a key that the authority signed."""

from pathlib import Path

import pytest
from visard import certs
from visard.errors import UntrustedKey
from visard.sealing import key_id

from services.party.sealingkeys import SealingKeys


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    certs.init(tmp_path / "pki")
    return tmp_path / "pki"


def keys(pki: Path, party: int = 1) -> SealingKeys:
    path = pki / f"party{party}.hpke"
    return SealingKeys(party, pki / "ca.pem", path, path.with_name(f"{path.name}.previous"))


def rotated_key__should_be_offered_and_the_one_before_still_open(pki: Path) -> None:
    held = keys(pki)
    first = held.offered().public_key
    certs.rotate_hpke(pki, 1)
    second = held.offered().public_key
    assert second != first
    certs.verify_party_key((pki / "ca.pem").read_bytes(), 1, second, held.offered().signature)
    assert held.named(key_id(second)).public == second
    assert held.named(key_id(first)).public == first
    assert held.named(key_id(first)).private.private_bytes_raw() == (pki / "party1.hpke.previous").read_bytes()
    certs.rotate_hpke(pki, 1)
    assert held.named(key_id(second)).public == second
    assert held.named(key_id(first)).public == held.offered().public_key, "two keys back is none of ours"
    assert (pki / "party1.hpke.previous").stat().st_mode & 0o777 == 0o600


def previous_key__should_be_forgotten_with_its_file(pki: Path) -> None:
    held = keys(pki)
    first = held.offered().public_key
    certs.rotate_hpke(pki, 1)
    assert held.named(key_id(first)).public == first
    (pki / "party1.hpke.previous").unlink()
    assert held.named(key_id(first)).public != first


def half_written_key__should_not_be_taken_until_it_is_whole(pki: Path, tmp_path: Path) -> None:
    held = keys(pki)
    first = held.offered()
    signature = (pki / "party1.hpke.sig").read_bytes()
    certs.rotate_hpke(pki, 1)
    fresh = (pki / "party1.hpke.sig").read_bytes()
    (pki / "party1.hpke.sig").write_bytes(signature)
    assert held.offered() == first
    (pki / "party1.hpke.sig").write_bytes(fresh)
    assert held.offered() != first


def key_that_nobody_signed__should_end_the_start(pki: Path) -> None:
    (pki / "party1.hpke").write_bytes(bytes(range(32)))
    with pytest.raises(UntrustedKey):
        keys(pki)
