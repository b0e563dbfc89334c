"""Whether somebody is enrolled already, under another name: what an enrolment that is to be unique asks of each photo."""

from collections.abc import Sequence, Sized

from visard_common.errors import AlreadyExists
from visard_engine import searching
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.session import Run

from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations.prepared import Prepared


def plans(asked: Asked, model: Published, rows: Sized) -> tuple[KitPlan, ...]:
    """Of the kits that this takes: for each photo those of blocks, and one more; none where there is nobody else."""
    program = model.program
    return searching.known_plans(program.q, len(rows), program.output.size) * asked.request.images


async def check(run: Run, kits: Sequence[Kit], found: Sequence[Elements], prepared: Prepared) -> None:
    """Raise AlreadyExists if a descriptor is that of anybody else; there are no kits where there is nobody else."""
    limit, each = prepared.network.program.threshold(""), len(kits) // len(found)
    for k, descriptor in enumerate(found):
        # within the default distance of any row? the parties learn this bit and no other
        if await searching.is_known(run, kits[k * each :][:each], descriptor, prepared.own.shares, limit):
            raise AlreadyExists("a photo shows somebody who is enrolled under another name")
