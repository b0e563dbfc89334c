"""A party's sealing key and the party's statement about it: whose it is, its serial, and from when until when it is used.

The party signs with the key of its certificate, so a client which trusts that needs to trust nobody else. A statement has an
end, and serials only grow: a key that was rotated out, and stolen, is of use to a gateway for hours and not for ever, and at
a client that has seen a newer one not at all. Parties are given by number, times are milliseconds since 1970.
"""

from visard_wire.errors import UntrustedKey
from visard_wire.statements import Holder, signers
from visard_wire.v1 import common_pb2
from visard_wire.vouching import Trust

KEY_BYTES = 32
CLOCK_SKEW_MS = 60_000  # how far a party's clock may be ahead of a client's


def statement(key: common_pb2.PartyKey) -> bytes:
    """What a party signs about its key."""
    times = (key.serial, key.not_before_unix_ms, key.not_after_unix_ms)
    return b"visard party key v2" + bytes([key.party]) + b"".join(t.to_bytes(8, "big") for t in times) + key.public_key


def sign(holder: Holder, key: common_pb2.PartyKey) -> None:
    """Add a party's signature and certificates, after the other fields are set."""
    key.signature = holder.signature(statement(key))
    key.chain[:] = holder.chain


def verify_party_key(trust: Trust, party: int, key: common_pb2.PartyKey, now_unix_ms: int) -> None:
    """Check what is offered as a party's key; raises UntrustedKey saying what is wrong.

    Where each operator has an authority of its own, that of this party alone vouches for it.
    """
    offered = f"the sealing key offered for party {party}"
    if key.party != party:
        raise UntrustedKey(f"{offered} is said to be that of another party")
    if len(key.public_key) != KEY_BYTES:
        raise UntrustedKey(f"{offered} has not {KEY_BYTES} bytes")
    if key.not_after_unix_ms <= now_unix_ms:
        raise UntrustedKey(f"{offered} has expired: its statement is an old one, or a clock is wrong")
    if key.not_before_unix_ms > now_unix_ms + CLOCK_SKEW_MS:
        raise UntrustedKey(f"{offered} is not valid yet: check the clocks")
    try:
        names = signers(trust, key.chain, statement(key), key.signature, "statement")
    except UntrustedKey as error:
        raise UntrustedKey(f"{offered} is not signed as it must be: wanted is {error}") from error
    if names != [f"visard://party/{party}"]:
        raise UntrustedKey(f"{offered} is signed by another holder of a certificate")
