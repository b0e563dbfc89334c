"""Whether somebody is enrolled already, under another name: what an enrolment that is to be unique asks of each photo."""

from collections.abc import Sequence

from visard_common.errors import AlreadyExists
from visard_engine import searching
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.session import Run

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations.images import rows_to_match
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.store.contents import Place


async def others(resources: Resources, asked: Asked, model: Published) -> Rows:
    """The references of everybody else, which each photo is compared with; none where the request does not ask for it."""
    request = asked.request
    if not (request.unique or request.review):
        return Rows()
    rows = await resources.galleries.get(Place.of(request), model.model.field)
    return rows_to_match(rows.live(request.expires_unix_ms).without(request.subject), model)


def plans(asked: Asked, model: Published, rows: Rows) -> tuple[KitPlan, ...]:
    """Of the kits that this takes: for each photo those of blocks, and one more; none where there is nobody else."""
    program = model.program
    return searching.known_plans(program.q, len(rows), program.output.size) * asked.request.images


async def check(run: Run, kits: Sequence[Kit], found: Sequence[Elements], prepared: Prepared) -> None:
    """Raise AlreadyExists if a descriptor is that of anybody else; there are no kits where there is nobody else."""
    limit, each = prepared.network.program.threshold(""), len(kits) // len(found)
    for k, descriptor in enumerate(found):
        # within the default distance of any row? the parties learn this bit and no other
        if await searching.is_known(run, kits[k * each :][:each], descriptor, prepared.rows.shares, limit):
            raise AlreadyExists("a photo shows somebody who is enrolled under another name")
