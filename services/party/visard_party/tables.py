"""The answer of a search as a party or its worker computes it: tables whose cells follow from the request."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from visard_engine import searching
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements, Words
from visard_engine.kits import Kit, KitPlan
from visard_engine.protocols.mean import Mean
from visard_engine.protocols.search import Labels
from visard_engine.session import Run
from visard_wire import cells

from visard_party.gallery import Rows


@dataclass(frozen=True)
class Question:
    """What is asked of rows, the same of all: within which limits, loosest first, and how the answer is laid out.

    ``room`` are bytes for a subject's name, at least as many as the rows' longest takes; ``seed`` chooses the cells.
    """

    limits: tuple[int, ...]
    mean: Mean | None
    room: int
    seed: bytes

    def plans(self, q: int, rows: Rows, size: int) -> tuple[KitPlan, ...]:
        """Of the kits that one photo takes: blocks, which all galleries share, and one more. ``size`` is a descriptor's."""
        shape = searching.Tables(len(self.limits), cells.words_of(self.room), cells.HASHES)
        return searching.search_plans(q, len(rows), size, shape, int(self.mean is not None))


async def search(
    run: Run, kits: Sequence[Kit], probes: Sequence[Elements], rows: Rows, asked: Question
) -> ReplicatedBits:
    """The tables of some probes (D,), one after the other. Raises EngineError.

    ``kits`` are those of ``Question.plans`` for each probe in turn.
    """
    keys = np.array(cells.hash_keys(asked.seed, asked.room), np.uint64)
    labels = Labels(_widened(rows.labels, cells.words_of(asked.room)), keys, cells.HASHES)
    each = len(kits) // len(probes)
    tables = [
        await searching.search(run, kits[k * each :][:each], probe, rows.shares, asked.limits, labels, asked.mean)
        for k, probe in enumerate(probes)
    ]
    return ReplicatedBits(np.concatenate([table.shared for table in tables], axis=1), sum(t.count for t in tables))


def _widened(labels: Words, words: int) -> Words:
    """With room for a longer name: what is shorter is filled up with zeros."""
    return labels if labels.shape[1] == words else np.pad(labels, ((0, 0), (0, words - labels.shape[1])))
