"""The audit of the dealer: which kits are looked at, and what is found. Pure decisions; visard_party.kits.auditing does it.

A dealer sees no message, so that all it can do is deal badly. One kit in ``one_in`` is therefore set aside by all three parties
alike and never used: the dealer shows its three seeds, and each party deals it again and compares. A dealer that spoils m kits is
found with probability 1 - (1 - 1/one_in)^m: that deters, and is no certainty.

Which kits: those that a pseudorandom function of plan and number says, under a key that the three make of a coin that they toss
together (visard_party.runs.agreement), that no party alone can choose, and that the dealer never sees. The choice for a kit that
comes later is fixed before it, but nobody who knows it deals. A coin tossed anew for each kit after its delivery would tell the
dealer no less, and cost every kit three messages; or leave out those that are used as soon as they come, and then a dealer that
is slow enough would never be audited. This way every number has the same chance, however deliveries are timed.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from visard_engine.kits import KitPlan, deal_from, seeds_tag

from visard_party.kits.source import Fetched, Seeds

SECRET_BYTES = 32
_KEY = struct.Struct(f"<8s{SECRET_BYTES}sII")
_MAGIC = b"visarda1"


@dataclass(frozen=True, repr=False)
class AuditKey:
    """What says which kits are audited: a secret of the three parties, and one kit in how many (0: none)."""

    secret: bytes
    one_in: int

    @classmethod
    def of(cls, coin: bytes, one_in: int) -> "AuditKey":
        """The key that a coin of the three parties makes."""
        return cls(hashlib.sha256(b"visard audit key v1" + coin).digest(), one_in)

    @cached_property
    def name(self) -> str:
        """What the parties say to each other of the key: a hash in hex, which does not tell it."""
        return hashlib.sha256(b"visard audit key name v1" + self.secret + self.one_in.to_bytes(4, "big")).hexdigest()

    def chooses(self, plan_digest: bytes, number: int) -> bool:
        """Whether the kit of this number is audited."""
        if not self.one_in:
            return False
        said = hmac.digest(self.secret, b"visard audit v1" + plan_digest + number.to_bytes(8, "big"), "sha256")
        return int.from_bytes(said[:16], "big") % self.one_in == 0

    def pack(self, own: int) -> bytes:
        """The key as it is kept on disk, with what this party's operator wanted when it was made."""
        return _KEY.pack(_MAGIC, self.secret, self.one_in, own)

    @classmethod
    def unpack(cls, data: bytes, own: int) -> "AuditKey | None":
        """A key from disk; None where it is none, or the operator wants something else by now."""
        if len(data) != _KEY.size:
            return None
        magic, secret, one_in, wanted = _KEY.unpack(data)
        return cls(secret, one_in) if (magic, wanted) == (_MAGIC, own) else None

    def __repr__(self) -> str:
        return f"<AuditKey: one in {self.one_in}>"


def strictest(wanted: Iterable[int]) -> int:
    """One kit in how many, when each party's operator has said a number: the most audits that one of them wants."""
    return min((one_in for one_in in wanted if one_in), default=0)


def differing(plan: KitPlan, number: int, party: int, part: Fetched, seeds: Seeds) -> tuple[str, ...]:
    """What of a delivered part is not what the seeds give: "seeds", "tag", "corrections"; nothing in an honest kit."""
    dealt = deal_from(plan, seeds, number)
    own, previous = dealt.part(party)
    half = len(part.corrections) // 2
    held = np.frombuffer(part.corrections, np.uint8)
    same = {
        "seeds": dealt.keys(party) == part.keys,
        "tag": seeds_tag(plan, seeds, number) == part.tag,
        "corrections": np.array_equal(held[:half], own) and np.array_equal(held[half:], previous),
    }
    return tuple(word for word, well in same.items() if not well)
