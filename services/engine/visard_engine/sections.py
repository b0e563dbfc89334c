"""What a kit is made of: each section holds what so many uses of one protocol consume."""

from dataclasses import dataclass

from visard_engine.correlated import Dealing
from visard_engine.errors import PlanError
from visard_engine.field import Field
from visard_engine.protocols.kinds import KINDS, Arrays

MAX_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class Section:
    """``n`` uses of one protocol (a key of the table of kinds); ``extent`` is what it takes besides, as that says."""

    kind: str
    n: int
    extent: int = 0

    def check(self, q: int) -> None:
        """Raise PlanError unless it is one of a plan over the field with Mersenne exponent q."""
        kind = KINDS.get(self.kind)
        if kind is None:
            raise PlanError(f"section kind: one of {', '.join(sorted(KINDS))}")
        if not 1 <= self.n <= MAX_ELEMENTS:
            raise PlanError(f"section size: 1 to {MAX_ELEMENTS} elements")
        if self.extent not in kind.extents(q):
            raise PlanError(f"section extent: of {self.kind}, {kind.meaning}")

    def arrays(self, field: Field) -> Arrays:
        """The arrays that are corrected."""
        return KINDS[self.kind].arrays(field, self.n, self.extent)

    def deal(self, dealing: Dealing) -> None:
        """The dealer's half."""
        KINDS[self.kind].deal(dealing, self.n, self.extent)
