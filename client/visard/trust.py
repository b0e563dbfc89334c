"""Which of the parties' sealing keys a client seals for: each vouched for by its party, none older than one seen before."""

from collections.abc import Sequence
from dataclasses import dataclass

from visard_wire.errors import UntrustedKey
from visard_wire.limits import PARTIES
from visard_wire.partykeys import verify_party_key
from visard_wire.v1 import common_pb2
from visard_wire.vouching import Trust

from visard.seen import SeenSerials


@dataclass(frozen=True)
class TrustedKeys:
    """The three parties' public keys, 32 bytes each, in order, and the time from which they must be fetched anew."""

    public: list[bytes]
    until_unix_ms: int


def trusted(trust: Trust, offered: Sequence[common_pb2.PartyKey], seen: SeenSerials, now_unix_ms: int) -> TrustedKeys:
    """The keys of parties 0, 1 and 2, which are remembered as seen; raises UntrustedKey. Reads and writes a file."""
    if len(offered) != PARTIES:
        raise UntrustedKey("the keys of three parties are needed")
    for party, key in enumerate(offered):
        verify_party_key(trust, party, key, now_unix_ms)
    seen.admit({key.party: key.serial for key in offered})
    return TrustedKeys([key.public_key for key in offered], min(key.not_after_unix_ms for key in offered))
