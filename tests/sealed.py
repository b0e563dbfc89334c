"""Sealing keys for tests: those on a party's disk, and statements made by hand with a party's real certificate."""

import time
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard.cluster import Cluster
from visard_party.intake.keyring import HOUR_MS, Term
from visard_party.intake.sealingfiles import KeyFiles, SealingKey
from visard_wire.partykeys import sign
from visard_wire.sealing import key_id
from visard_wire.statements import Holder
from visard_wire.v1 import common_pb2


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def on_disk(cluster: Cluster, party: int) -> list[SealingKey]:
    """The private keys that a party's disk holds."""
    return KeyFiles(cluster.home / f"party{party}" / "sealing").read()


def named(cluster: Cluster, party: int, wanted: bytes) -> X25519PrivateKey:
    """The private key that a share names."""
    [found] = [key.private for key in on_disk(cluster, party) if key_id(key.public) == wanted]
    return found


def age(cluster: Cluster, party: int, hours: float) -> None:
    """What a disk looks like after so many hours in which its party did not run."""
    files, milliseconds = KeyFiles(cluster.home / f"party{party}" / "sealing"), round(hours * HOUR_MS)
    keys = files.read()
    files.erase_all_but(())
    for key in keys:
        files.write(replace(key, term=Term(*(t - milliseconds for t in vars(key.term).values()))))


def statement(folder: Path, party: int, public_key: bytes, *, signer: str = "", **fields: int) -> common_pb2.PartyKey:
    """A statement about a party's key, valid now unless fields say otherwise, signed by it or by somebody else."""
    now = now_ms()
    key = common_pb2.PartyKey(
        party=party, public_key=public_key, serial=now, not_before_unix_ms=now, not_after_unix_ms=now + HOUR_MS
    )
    for name, value in fields.items():
        setattr(key, name, value)
    role = signer or f"party{party}"
    sign(Holder.read(folder / f"{role}.pem", folder / f"{role}.key"), key)
    return key
