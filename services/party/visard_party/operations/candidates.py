"""The answer of a search: the references that are near enough, in tables whose cells follow from the request."""

from collections.abc import Sequence

import numpy as np
from visard_engine import searching
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.program import Program
from visard_engine.protocols.blocks import MOST_LIMITS
from visard_engine.protocols.search import Labels
from visard_engine.session import Run
from visard_wire import cells
from visard_wire.v1 import common_pb2

from visard_party.gallery import Rows
from visard_party.operations import points
from visard_party.operations.matching import bits_outcome
from visard_party.operations.prepared import Prepared


def plans(program: Program, rows: Rows, point: str, tested: int) -> tuple[KitPlan, ...]:
    """Of the kits that a search at this point takes: blocks, which all galleries share, and one more."""
    shape = searching.Tables(len(_points(program, point)), rows.labels.shape[1], cells.HASHES)
    return searching.search_plans(program.q, len(rows), program.output.size, shape, tested)


def _points(program: Program, point: str) -> list[str]:
    return points.stricter(program, point, MOST_LIMITS - 1)


async def outcome(prepared: Prepared, run: Run, kits: Sequence[Kit], probes: Sequence[Elements]) -> common_pb2.Outcome:
    """What is sealed for the caller of some probes (D,): their tables one after the other. Raises EngineError.

    ``kits`` are those of ``plans`` for each probe in turn.
    """
    program, rows = prepared.network.program, prepared.rows
    names, seed = _points(program, prepared.operating_point), cells.seed_of(prepared.asked.digest)
    labels = Labels(rows.labels, np.array(cells.hash_keys(seed, rows.room), np.uint64), cells.HASHES)
    limits = [program.threshold(name) for name in names]
    each = len(kits) // len(probes)
    tables = [
        await searching.search(run, kits[k * each :][:each], probe, rows.shares, limits, labels, program.mean_test)
        for k, probe in enumerate(probes)
    ]
    shared = np.concatenate([table.shared for table in tables], axis=1)
    found = bits_outcome(prepared, ReplicatedBits(shared, sum(table.count for table in tables)))
    found.points.extend(names)
    found.cell_seed, found.room = seed, rows.room
    return found
