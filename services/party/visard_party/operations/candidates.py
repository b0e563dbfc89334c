"""The answer of a search: the references that are near enough, in tables whose cells follow from the request.

The references are this party's own rows, or its workers': what is said of them here holds for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from visard_common.errors import Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.program import Program
from visard_engine.protocols.blocks import MOST_LIMITS
from visard_engine.protocols.mean import Mean
from visard_engine.session import Run
from visard_wire import cells
from visard_wire.v1 import common_pb2

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations import points
from visard_party.operations.images import check_size, rows_to_match
from visard_party.operations.matching import bits_outcome
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Place
from visard_party.tables import Question, search
from visard_party.workers import Held, Searched, Wanted


async def searched(resources: Resources, asked: Asked, model: Published, without: str = "") -> Searched:
    """The references of the request's place, but for those of one subject, whose time is not over when it ends.

    They are the workers' where party 0 says so. Raises Unavailable where a worker is away, or this party has too few.
    """
    request = asked.request
    if not asked.workers:
        return await own_rows(resources, asked, model, without)
    if asked.workers > len(resources.workers):
        raise Unavailable(
            f"party {resources.party} has {len(resources.workers)} workers, of the {asked.workers} that party 0 asks for",
            retry_after=RETRY_SECONDS,
        )
    wanted = Wanted(Place.of(request), model.program.q, request.expires_unix_ms, without)
    held = await resources.workers.hold(asked.session, wanted, asked.workers)
    for size in held.sizes:
        check_size(size, model)
    return held


async def own_rows(resources: Resources, asked: Asked, model: Published, without: str = "") -> Rows:
    """The same, held by this party itself."""
    request = asked.request
    everybody = (await resources.galleries.get(Place.of(request), model.model.field)).live(request.expires_unix_ms)
    return rows_to_match(everybody.without(without) if without else everybody, model)


@dataclass(frozen=True)
class Search:
    """How a request searches: at which of the model's points, loosest first, and which mean no photo may be too much like."""

    program: Program
    points: tuple[str, ...]
    mean: Mean | None

    @classmethod
    def at(cls, program: Program, point: str, mean: Mean | None) -> "Search":
        """A search at this point, which says as well which stricter ones a candidate passes."""
        return cls(program, tuple(points.stricter(program, point, MOST_LIMITS - 1)), mean)

    def plans(self, rows: Searched) -> tuple[KitPlan, ...]:
        """Of the kits that one photo takes; none where workers search, who have their own."""
        if isinstance(rows, Held):
            return ()
        return self._question(rows, b"").plans(self.program.q, rows, self.program.output.size)

    def _question(self, rows: Searched, seed: bytes) -> Question:
        limits = tuple(self.program.threshold(point) for point in self.points)
        return Question(limits, self.mean, rows.room, seed)

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
            channel = cast(SessionChannel, run.channel)  # as all are of a party's runs
            found = await resources.workers.search(channel, rows, prepared.terms, probes, asked)
        else:
            found = await search(run, kits, probes, rows, asked)
        outcome = bits_outcome(prepared, found)
        outcome.points.extend(self.points)
        outcome.cell_seed, outcome.room = asked.seed, asked.room
        return outcome
