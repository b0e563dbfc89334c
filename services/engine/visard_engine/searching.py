"""Search among shared descriptors for all that are near enough: visard_engine.protocols.search, and the kits that it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from visard_engine import matching
from visard_engine.bits import ReplicatedBits
from visard_engine.correlated import KitReader
from visard_engine.field import Elements
from visard_engine.kits import KitPlan
from visard_engine.protocols import search as protocol
from visard_engine.protocols.blocks import blocks_of
from visard_engine.protocols.mean import Mean, margins
from visard_engine.protocols.search import Labels
from visard_engine.sections import Section
from visard_engine.session import Run, Session


@dataclass(frozen=True)
class Tables:
    """The answer of a search: for each of so many limits a table in so many parts, of labels of so many words."""

    limits: int
    words: int
    parts: int

    @property
    def bits(self) -> int:
        """Bits of all tables."""
        return self.limits * protocol.table_bits(self.words, self.parts)


def search_plans(q: int, rows: int, size: int, shape: Tables, tested: int = 0) -> tuple[KitPlan, ...]:
    """What ``search`` consumes: kits for blocks of rows, the same for every gallery, then one more.

    ``shape`` is that of its answer; ``tested`` is 1 where the probe is compared with a mean, else 0.
    """
    blocks = (KitPlan(q, (Section("search", n, shape.limits),)) for n in blocks_of(rows))
    mean = (Section("search", tested, 1),) if tested else ()
    last = KitPlan(q, (*mean, *matching.checks(size), Section("shown", shape.bits)))
    return *blocks, last


async def search(
    run: Run,
    kits: Sequence[KitReader],
    probe: Elements,
    references: Elements,
    limits: Sequence[int],
    labels: Labels,
    mean: Mean | None = None,
) -> ReplicatedBits:
    """The tables of the rows of (N, D) within each of the limits, loosest first; of zeros if the probe is too much like the mean.

    From kits of ``search_plans``, in their order.
    """
    sessions = [Session(run, kit) for kit in kits]
    margin = margins(sessions[-1].field, probe[None], mean)
    found = await protocol.search(sessions[-1], sessions[:-1], probe, references, limits, margin, labels)
    return ReplicatedBits(found, 64 * found.shape[1])
