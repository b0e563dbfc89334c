"""The answer of a search: the references that are near enough, in tables whose cells follow from the request.

Whether this party or its workers hold the references: what is said of them here holds for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.program import Program
from visard_engine.session import Run
from visard_wire import cells
from visard_wire.v1 import common_pb2

from visard_party.intake.requests import DEFAULT_POINT
from visard_party.operations import points
from visard_party.operations.matching import bits_outcome
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.tables import Question, search
from visard_party.workers.asked import Held, Searched


@dataclass(frozen=True)
class Search:
    """How a request searches: at which of the model's points, loosest first; ``tested`` for photos too much like its mean."""

    program: Program
    points: tuple[str, ...]
    tested: bool = True

    @classmethod
    def at(cls, program: Program, point: str) -> "Search":
        """A search at this point, which says as well which stricter ones a candidate passes."""
        return cls(program, tuple(points.stricter(program, point)))

    @classmethod
    def for_review(cls, program: Program) -> "Search":
        """Whom a photo may show that is to be enrolled; one that is too much like the mean has been refused before."""
        return cls(program, tuple(points.stricter(program, DEFAULT_POINT)), tested=False)

    def plans(self, rows: Searched) -> tuple[KitPlan, ...]:
        """Of the kits that one photo takes; none where workers search, who have their own."""
        if isinstance(rows, Held):
            return ()
        return self._question(rows, b"").plans(self.program.q, rows, self.program.output.size)

    def _question(self, rows: Searched, seed: bytes) -> Question:
        limits = tuple(self.program.threshold(point) for point in self.points)
        return Question(limits, self.program.mean_test if self.tested else None, rows.room, seed)

    async def outcome(
        self,
        resources: Resources,
        prepared: Prepared,
        run: Run,
        kits: Sequence[Kit],
        probes: Sequence[Elements],
    ) -> common_pb2.Outcome:
        """What is sealed for the caller of some probes (D,): their tables one after the other. Raises EngineError, ServiceFault.

        ``kits`` are those of ``plans`` for each probe in turn.
        """
        rows = prepared.rows
        asked = self._question(rows, cells.seed_of(prepared.asked.digest))
        if isinstance(rows, Held):
            found = await resources.workers.search(run.channel, rows, prepared.terms, probes, asked)
        else:
            found = await search(run, kits, probes, rows, asked)
        outcome = bits_outcome(prepared, found)
        outcome.points.extend(self.points)
        outcome.cell_seed, outcome.room = asked.seed, asked.room
        return outcome
