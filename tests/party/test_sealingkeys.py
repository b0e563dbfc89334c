"""A party makes, signs, rotates and erases its sealing keys by itself, also when nobody asks, and offers none that is over."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard import certs
from visard.errors import UntrustedKey
from visard_common.errors import Unavailable
from visard_common.tls import Tls
from visard_party.intake import sealingfiles
from visard_party.intake.keyring import ACCEPTED_LONGER_MS, HOUR_MS, Term
from visard_party.intake.sealingfiles import KeyFiles, SealingKey
from visard_party.intake.sealingkeys import FAULTS, SealingKeys
from visard_wire.partykeys import verify_party_key
from visard_wire.sealing import key_id
from visard_wire.v1 import common_pb2
from visard_wire.vouching import Trust

from tests.sealed import now_ms

DAY = 24 * HOUR_MS


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    certs.init(folder)
    return folder


@dataclass
class Bench:
    """A party's certificates, its disk, and its clock."""

    pki: Path
    directory: Path
    now: int = field(default_factory=now_ms)

    def start(self, certificate: str = "party1", party: int = 1) -> SealingKeys:
        tls = Tls(ca=self.pki / "ca.pem", cert=self.pki / f"{certificate}.pem", key=self.pki / f"{certificate}.key")
        return SealingKeys(party, tls, self.directory, 24.0, lambda: self.now)

    def private(self) -> list[bytes]:
        return [key.private.private_bytes_raw() for key in KeyFiles(self.directory).read()]

    def check(self, offered: common_pb2.PartyKey) -> None:
        verify_party_key(Trust.one((self.pki / "ca.pem").read_bytes()), 1, offered, self.now)


@pytest.fixture
def bench(made: Path, tmp_path: Path) -> Bench:
    shutil.copytree(made, tmp_path / "pki")
    return Bench(tmp_path / "pki", tmp_path / "data" / "sealing")


def first_start__should_make_a_key_that_clients_believe(bench: Bench) -> None:
    keys = bench.start()
    offered = keys.offered()
    bench.check(offered)
    assert offered.not_before_unix_ms == bench.now
    assert offered.not_after_unix_ms == bench.now + DAY + HOUR_MS
    [path] = bench.directory.iterdir()
    assert path.name == f"{offered.serial}.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert bench.directory.stat().st_mode & 0o777 == 0o700
    assert keys.named(key_id(offered.public_key)).public == offered.public_key


def key__should_change_in_time_though_nothing_but_a_question_wakes_the_party(bench: Bench) -> None:
    keys = bench.start()
    first = keys.offered()
    bench.now += DAY - 1
    assert keys.offered() == first
    bench.now += 1
    second = keys.offered()
    assert second.serial > first.serial
    assert second.public_key != first.public_key
    bench.check(second)
    assert keys.named(key_id(first.public_key)).public == first.public_key
    bench.now += ACCEPTED_LONGER_MS
    assert keys.named(key_id(first.public_key)).public == second.public_key, "it is none of ours any more"


async def key__should_be_erased_though_nobody_asks(bench: Bench) -> None:
    keys = bench.start()
    [old] = bench.private()
    bench.now += DAY + ACCEPTED_LONGER_MS - 1
    await keys.look()
    assert old in bench.private()
    bench.now += 1
    await keys.look()
    assert old not in bench.private()
    assert len(bench.private()) == 1


def erased_key__should_be_overwritten_and_forgotten(bench: Bench) -> None:
    keys = bench.start()
    [path], [private] = list(bench.directory.iterdir()), bench.private()
    os.link(path, bench.directory.parent / "another name of the same blocks")
    held = next(iter(keys._held.values()))
    bench.now += DAY + ACCEPTED_LONGER_MS
    keys.offered()
    assert not path.exists()
    left = (bench.directory.parent / "another name of the same blocks").read_bytes()
    assert (len(left), set(left)) == (64, {0})
    assert private not in left
    assert held not in keys._held.values()


def start__should_offer_a_key_of_its_own_and_take_the_one_before_for_an_hour(bench: Bench) -> None:
    first = bench.start().offered()
    for _ in range(2):  # at the same moment: the serial grows all the same
        again = bench.start()
        assert again.offered().serial > first.serial
    assert again.named(key_id(first.public_key)).public == first.public_key
    bench.now += ACCEPTED_LONGER_MS
    assert again.named(key_id(first.public_key)).public != first.public_key
    assert bench.private() == [again.named(b"").private.private_bytes_raw()]


def restored_disk__should_not_bring_a_serial_of_before(bench: Bench, tmp_path: Path) -> None:
    bench.start()
    shutil.copytree(bench.directory, tmp_path / "backup")
    bench.now += HOUR_MS
    seen = bench.start().offered()
    shutil.rmtree(bench.directory)
    shutil.copytree(tmp_path / "backup", bench.directory)
    bench.now += 1
    assert bench.start().offered().serial > seen.serial


def expired_keys__should_be_erased_at_the_start_with_what_was_left_half_written(bench: Bench) -> None:
    bench.start()
    [old] = bench.private()
    (bench.directory / "17.tmp3").write_bytes(old)
    (bench.directory / "18.key").write_bytes(b"damaged")
    (bench.directory / "lost+found").mkdir()
    bench.now += DAY + ACCEPTED_LONGER_MS
    bench.start()
    assert len(bench.private()) == 1
    assert not any(old in path.read_bytes() for path in bench.directory.iterdir() if path.is_file())
    assert {path.suffix for path in bench.directory.iterdir() if path.is_file()} == {".key"}


def damaged_key__should_keep_its_serial_from_being_used_again(bench: Bench) -> None:
    serial = bench.start().offered().serial
    (bench.directory / f"{serial}.key").write_bytes(b"damaged")
    bench.now -= HOUR_MS
    assert bench.start().offered().serial == serial + 1


def refresh__should_rotate_once_however_often_it_is_asked_for(bench: Bench) -> None:
    keys = bench.start()
    first = keys.offered()
    keys.rotate(b"refresh")
    second = keys.offered()
    keys.rotate(b"refresh")
    assert keys.offered() == second
    assert second.serial > first.serial
    assert keys.named(key_id(first.public_key)).public == first.public_key
    keys.rotate(b"another refresh")
    assert keys.offered().serial > second.serial


def renewed_certificate__should_sign_the_same_key(bench: Bench) -> None:
    keys = bench.start()
    first = keys.offered()
    certs.renew(bench.pki, "party1")
    second = keys.offered()
    bench.check(second)
    assert list(second.chain) != list(first.chain)
    assert (second.public_key, second.serial) == (first.public_key, first.serial)


def half_replaced_certificate__should_not_be_used_until_it_is_whole(bench: Bench) -> None:
    keys = bench.start()
    first, old = keys.offered(), (bench.pki / "party1.key").read_bytes()
    certs.renew(bench.pki, "party1")
    fresh = (bench.pki / "party1.key").read_bytes()
    (bench.pki / "party1.key").write_bytes(old)
    assert keys.offered() == first
    bench.now += DAY  # a key that is due meanwhile is signed with the certificate there was
    bench.check(keys.offered())
    assert keys.offered().chain == first.chain
    (bench.pki / "party1.key").write_bytes(fresh)
    bench.check(keys.offered())
    assert keys.offered().chain != first.chain


@pytest.mark.parametrize(("certificate", "party"), [("party1", 2), ("client", 1), ("gateway", 1)])
def certificate_of_another_role__should_end_the_start(bench: Bench, certificate: str, party: int) -> None:
    with pytest.raises(UntrustedKey, match=f"party {party}"):
        bench.start(certificate, party)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def fill() -> None:
        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(sealingfiles, "write_durably", refuse)

    return fill


def full_disk__should_leave_no_key_offered_that_is_over(
    bench: Bench, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = bench.start()
    first, faults = keys.offered(), FAULTS._value.get()
    full_disk()
    bench.now += DAY
    for ask in (keys.offered, lambda: keys.named(b"")):
        with pytest.raises(Unavailable, match="party 1 cannot make"):
            ask()
    assert FAULTS._value.get() == faults + 2
    bench.now += ACCEPTED_LONGER_MS
    with pytest.raises(Unavailable):
        keys.offered()
    assert bench.private() == [], "erased all the same"
    monkeypatch.undo()
    assert keys.offered().serial > first.serial
    bench.check(keys.offered())


def key_that_cannot_be_erased__should_be_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = bench.start()
    [old] = bench.private()
    bench.now += DAY + ACCEPTED_LONGER_MS

    def refuse(_: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(sealingfiles, "_overwrite", refuse)
    with pytest.raises(Unavailable):
        keys.offered()
    assert old in bench.private()
    monkeypatch.undo()
    keys.offered()
    assert old not in bench.private()


def key__should_be_read_as_it_was_written(tmp_path: Path) -> None:
    files, private = KeyFiles(tmp_path / "sealing"), X25519PrivateKey.generate()
    key = SealingKey.of(Term(7, 8, 9), private)
    files.write(key)
    [found] = files.read()
    assert (found.term, found.public) == (key.term, key.public)
    assert found.private.private_bytes_raw() == private.private_bytes_raw()
    assert private.private_bytes_raw().hex() not in repr(found)
