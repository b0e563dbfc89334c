"""Kits: all the correlated randomness of one run, dealt ahead of it and used once.

A plan lists what a run consumes, section by section; it is public and says nothing about inputs or weights. Kit k of a
plan is a deterministic function of the dealer's master secret, the plan and k, so that the dealer needs no memory.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from visard_engine.channel import PARTIES
from visard_engine.correlated import Dealing, SeededReader, pair_bytes
from visard_engine.errors import KitError, PlanError
from visard_engine.field import Field, field_of
from visard_engine.prf import KEY_BYTES
from visard_engine.prss import PairKeys
from visard_engine.sections import Section

TAG_BYTES = 32
MAX_SECTIONS = 4096
MAX_KIT_BYTES = 1 << 30


@dataclass(frozen=True)
class KitPlan:
    """What a run consumes, in order, over the field with Mersenne exponent q."""

    q: int
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        if self.q not in (31, 61):
            raise PlanError("q: 31 or 61")
        if not 1 <= len(self.sections) <= MAX_SECTIONS:
            raise PlanError(f"sections: 1 to {MAX_SECTIONS}")
        for section in self.sections:
            section.check(self.q)
        if self.correction_bytes > MAX_KIT_BYTES:
            raise PlanError(f"sections: a kit is at most {MAX_KIT_BYTES} bytes")

    @property
    def field(self) -> Field:
        """The field of every section."""
        return field_of(self.q)

    def json(self) -> bytes:
        """Canonical JSON; equal plans have equal bytes."""
        sections = [[s.kind, s.n, s.extent] for s in self.sections]
        return json.dumps({"q": self.q, "sections": sections}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes) -> "KitPlan":
        """The plan in canonical JSON; raises PlanError."""
        try:
            raw = json.loads(data)
            sections = tuple(Section(str(kind), _integer(n), _integer(extent)) for kind, n, extent in raw["sections"])
            return cls(_integer(raw["q"]), sections)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise PlanError("run: canonical JSON of a kit plan") from error

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.json()).digest()

    @cached_property
    def pair_bytes(self) -> int:
        """Size of the corrections of one of a kit's three pairs."""
        return sum(pair_bytes(*array) for section in self.sections for array in section.arrays(self.field))

    @property
    def correction_bytes(self) -> int:
        """Size of a party's corrections: those of its two pairs, two thirds of a kit's."""
        return 2 * self.pair_bytes


@dataclass(frozen=True)
class DealtKit:
    """The dealer's view of a kit: all three seeds and corrections, of pair i, i + 1 at index i, and the tag."""

    seeds: tuple[bytes, bytes, bytes]
    corrections: tuple[memoryview, memoryview, memoryview]
    tag: bytes

    def keys(self, party: int) -> PairKeys:
        """The two seeds that a party gets."""
        return PairKeys(self.seeds[party], self.seeds[party - 1])

    def part(self, party: int) -> tuple[memoryview, memoryview]:
        """The corrections that a party gets, one after the other: those of the pair with the next party come first."""
        return self.corrections[party], self.corrections[party - 1]

    @property
    def size(self) -> int:
        """Bytes of all corrections."""
        return sum(len(buffer) for buffer in self.corrections)

    def __repr__(self) -> str:
        return f"<DealtKit: {self.size} bytes of corrections>"


class Kit(SeededReader):
    """A party's half of a kit, read once from the first section to the last.

    ``corrections`` are those of the pair with the next party, then those of the pair with the previous one. ``tag`` is what
    the dealer says of all three seeds (``seeds_tag``): equal at parties that hold the same kit.
    """

    def __init__(
        self,
        plan: KitPlan,
        kit_id: int,
        keys: PairKeys,
        party: int,
        tag: bytes,
        corrections: bytes | bytearray | memoryview,
        coin: bytes | None = None,
    ) -> None:
        if len(corrections) != plan.correction_bytes:
            raise KitError(f"a kit of this plan has {plan.correction_bytes} bytes, not {len(corrections)}")
        if len(tag) != TAG_BYTES:
            raise KitError(f"a kit's tag has {TAG_BYTES} bytes")
        super().__init__(plan.field, keys, party, tag, memoryview(corrections))
        self.plan = plan
        self.kit_id = kit_id
        if coin is not None:
            self.toss(coin)

    def __repr__(self) -> str:
        return f"<Kit {self.kit_id}: {self.plan.correction_bytes} bytes>"


def dealt_part(plan: KitPlan, kit_id: int, kit: DealtKit, party: int, coin: bytes | None = None) -> Kit:
    """A party's part of a kit that was dealt here."""
    return Kit(plan, kit_id, kit.keys(party), party, kit.tag, b"".join(kit.part(party)), coin)


def deal_kit(plan: KitPlan, master: bytes, kit_id: int, dealing_type: type[Dealing] = Dealing) -> DealtKit:
    """Kit ``kit_id`` (from 1) of a plan, under a master secret of 32 bytes."""
    return deal_from(plan, _seeds(plan, master, kit_id), kit_id, dealing_type)


def deal_from(
    plan: KitPlan, seeds: tuple[bytes, bytes, bytes], kit_id: int, dealing_type: type[Dealing] = Dealing
) -> DealtKit:
    """The kit that three seeds give: whoever knows all of them can deal it again."""
    one, two, three = (np.empty(plan.pair_bytes, np.uint8).data for _ in range(PARTIES))  # in huge pages if large
    dealing = dealing_type(plan.field, seeds, (one, two, three))
    for section in plan.sections:
        section.deal(dealing)
    dealing.finish()
    return DealtKit(seeds, (one, two, three), seeds_tag(plan, seeds, kit_id))


def seeds_tag(plan: KitPlan, seeds: tuple[bytes, bytes, bytes], kit_id: int) -> bytes:
    """What the dealer says of a kit's three seeds to all parties: SHA-256, which binds it to them and hides them."""
    message = b"visard kit tag v1" + plan.digest + kit_id.to_bytes(8, "big") + b"".join(seeds)
    return hashlib.sha256(message).digest()


def _seeds(plan: KitPlan, master: bytes, kit_id: int) -> tuple[bytes, bytes, bytes]:
    def seed(pair: int) -> bytes:
        message = b"visard kit seed v1" + plan.digest + kit_id.to_bytes(8, "big") + bytes([pair])
        return hmac.digest(master, message, "sha256")[:KEY_BYTES]

    one, two, three = (seed(pair) for pair in range(PARTIES))
    return one, two, three


def _integer(x: object) -> int:
    if not isinstance(x, int) or isinstance(x, bool):
        raise TypeError("not an integer")
    return x
