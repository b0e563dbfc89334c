"""Search among shared descriptors, and the kits that it takes: those of blocks of rows are the same for every gallery.

For all that are near enough: visard_engine.protocols.search; for whether there is any: protocols.known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from visard_engine import matching
from visard_engine.bits import ReplicatedBits
from visard_engine.correlated import KitReader
from visard_engine.field import Elements
from visard_engine.kits import KitPlan
from visard_engine.protocols import conjunction, known
from visard_engine.protocols import search as protocol
from visard_engine.protocols.blocks import blocks_of
from visard_engine.protocols.disjunction import PARITIES
from visard_engine.protocols.mean import Mean, margins
from visard_engine.sections import Section
from visard_engine.session import Run, Session
from visard_engine.stack import Matrix

Labels = protocol.Labels  # of the rows: whoever searches brings them


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
    blocks = _blocks(q, rows, shape.limits)
    mean = (Section("search", tested, 1),) if tested else ()
    last = KitPlan(q, (*mean, *matching.checks(size), Section("shown", shape.bits)))
    return *blocks, last


def known_plans(q: int, rows: int, size: int) -> tuple[KitPlan, ...]:
    """What ``is_known`` consumes for so many rows of ``size`` numbers: kits of a search with one limit, then one more."""
    if not rows:
        return ()
    gates = (Section("and", n) for n in conjunction.levels(PARITIES))
    return *_blocks(q, rows, 1), KitPlan(q, (*matching.checks(size), *gates))


def _blocks(q: int, rows: int, limits: int) -> Iterator[KitPlan]:
    return (KitPlan(q, (Section("search", n, limits),)) for n in blocks_of(rows))


async def is_known(run: Run, kits: Sequence[KitReader], probe: Elements, references: Matrix, limit: int) -> bool:
    """Whether any row of (N, D) is within the limit of the probe (D,), which the parties learn; from kits of ``known_plans``.

    No mean is asked about: an enrolment has said before (``matching.resembles_mean``). Among no rows there is none.
    """
    if not len(references):
        return False
    sessions = [Session(run, kit) for kit in kits]
    return await known.is_known(sessions[-1], sessions[:-1], probe, references, limit)


async def search(
    run: Run,
    kits: Sequence[KitReader],
    probe: Elements,
    references: Matrix,
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
