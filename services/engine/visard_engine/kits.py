"""Kits: all the correlated randomness of one run, dealt ahead of it and used once.

A plan lists what a run consumes, section by section; it is public and says nothing about inputs or weights. Kit k of a
plan is a deterministic function of the dealer's master secret, the plan and k, so that the dealer needs no memory.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from visard_engine.bits import words_for
from visard_engine.channel import PARTIES
from visard_engine.correlated import HASHED, Dealing, SeededReader
from visard_engine.errors import KitError, PlanError
from visard_engine.field import Field, field_of
from visard_engine.kernels.bitslice import monomial_rows
from visard_engine.prf import KEY_BYTES
from visard_engine.protocols import degree, maximum, relu, threshold, truncation
from visard_engine.prss import PairKeys

MAX_SECTIONS = 4096
MAX_ELEMENTS = 1 << 24
MAX_KIT_BYTES = 1 << 30


@dataclass(frozen=True)
class _Kind:
    """How a section is dealt, and what it takes: dealt elements a value, and whether digit monomials come with it."""

    deal: Callable[[Dealing, int, int], None]
    elements: int
    digits: bool
    truncates: bool


_KINDS = {
    "relu": _Kind(relu.deal, 5, digits=True, truncates=True),
    "truncate": _Kind(truncation.deal, 2, digits=False, truncates=True),
    "max": _Kind(lambda d, n, _: maximum.deal(d, n), 2, digits=True, truncates=False),
    "compare": _Kind(lambda d, n, _: threshold.deal(d, n), 0, digits=True, truncates=False),
    "degree": _Kind(lambda d, n, _: degree.deal(d, n), 0, digits=False, truncates=False),
}


@dataclass(frozen=True)
class Section:
    """``n`` uses of one protocol: "relu", "truncate" (both with bits to drop), "max", "compare" or "degree" (drop 0)."""

    kind: str
    n: int
    drop: int = 0


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
            _check(section, self.q)
        if self.correction_bytes > MAX_KIT_BYTES:
            raise PlanError(f"sections: a kit is at most {MAX_KIT_BYTES} bytes")

    @property
    def field(self) -> Field:
        """The field of every section."""
        return field_of(self.q)

    def json(self) -> bytes:
        """Canonical JSON; equal plans have equal bytes."""
        sections = [[s.kind, s.n, s.drop] for s in self.sections]
        return json.dumps({"q": self.q, "sections": sections}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes) -> "KitPlan":
        """The plan in canonical JSON; raises PlanError."""
        try:
            raw = json.loads(data)
            sections = tuple(Section(str(kind), _integer(n), _integer(drop)) for kind, n, drop in raw["sections"])
            return cls(_integer(raw["q"]), sections)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise PlanError("run: canonical JSON of a kit plan") from error

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.json()).digest()

    @cached_property
    def correction_bytes(self) -> int:
        """Size of a kit's corrections."""
        return sum(_section_bytes(section, self.field) for section in self.sections)


@dataclass(frozen=True)
class DealtKit:
    """The dealer's view of a kit: all three seeds (pair key i belongs to parties i and i + 1) and the corrections."""

    seeds: tuple[bytes, bytes, bytes]
    corrections: memoryview

    def part(self, party: int) -> PairKeys:
        """The two seeds that a party gets."""
        return PairKeys(self.seeds[party], self.seeds[party - 1])

    def __repr__(self) -> str:
        return f"<DealtKit: {len(self.corrections)} bytes of corrections>"


class Kit(SeededReader):
    """A party's half of a kit, read once from the first section to the last."""

    def __init__(
        self,
        plan: KitPlan,
        kit_id: int,
        keys: PairKeys,
        party: int,
        corrections: bytes | bytearray | memoryview,
        coin: bytes | None = None,
    ) -> None:
        if len(corrections) != plan.correction_bytes:
            raise KitError(f"a kit of this plan has {plan.correction_bytes} bytes, not {len(corrections)}")
        view = memoryview(corrections)
        super().__init__(plan.field, keys, party, memoryview(bytearray(view)) if view.readonly else view)
        self.plan = plan
        self.kit_id = kit_id
        if coin is not None:
            self.toss(coin)

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that are equal at parties that hold the same kit: the corrections depend on all three seeds."""
        return hashlib.blake2b(self._corrections[:HASHED], digest_size=16, person=b"visard kit").digest()

    def __repr__(self) -> str:
        return f"<Kit {self.kit_id}: {self.plan.correction_bytes} bytes>"


def deal_kit(plan: KitPlan, master: bytes, kit_id: int, dealing_type: type[Dealing] = Dealing) -> DealtKit:
    """Kit ``kit_id`` (from 1) of a plan, under a master secret of 32 bytes."""
    seeds = _seeds(plan, master, kit_id)
    corrections = memoryview(bytearray(plan.correction_bytes))
    dealing = dealing_type(plan.field, seeds, corrections)
    for section in plan.sections:
        _KINDS[section.kind].deal(dealing, section.n, section.drop)
    dealing.finish()
    return DealtKit(seeds, corrections)


def _seeds(plan: KitPlan, master: bytes, kit_id: int) -> tuple[bytes, bytes, bytes]:
    def seed(pair: int) -> bytes:
        message = b"visard kit seed v1" + plan.digest + kit_id.to_bytes(8, "big") + bytes([pair])
        return hmac.digest(master, message, "sha256")[:KEY_BYTES]

    one, two, three = (seed(pair) for pair in range(PARTIES))
    return one, two, three


def _check(section: Section, q: int) -> None:
    kind = _KINDS.get(section.kind)
    if kind is None:
        raise PlanError(f"section kind: one of {', '.join(sorted(_KINDS))}")
    if not 1 <= section.n <= MAX_ELEMENTS:
        raise PlanError(f"section size: 1 to {MAX_ELEMENTS} elements")
    if not (1 <= section.drop <= q - 4 if kind.truncates else section.drop == 0):
        raise PlanError(f"section drop: 1 to {q - 4} bits where the protocol truncates, else 0")


def _section_bytes(section: Section, field: Field) -> int:
    kind = _KINDS[section.kind]
    bits = 8 * words_for(section.n) * monomial_rows(field.q) if kind.digits else 0
    return bits + kind.elements * section.n * field.itemsize


def _integer(x: object) -> int:
    if not isinstance(x, int) or isinstance(x, bool):
        raise TypeError("not an integer")
    return x
