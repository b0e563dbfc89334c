"""Whether somebody is enrolled already, under another name: what an enrolment that is to be unique asks of each photo."""

from collections.abc import Sequence, Sized

from visard_common.errors import AlreadyExists
from visard_engine import matching
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.session import Run

from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations.prepared import Prepared


def plans(asked: Asked, model: Published, rows: Sized) -> tuple[KitPlan, ...]:
    """Of the kits that this takes: one a photo, none where there is nobody else."""
    if not rows:
        return ()
    program = model.program
    return (matching.verify_plan(program.q, len(rows), program.output.size),) * asked.request.images


async def check(run: Run, kits: Sequence[Kit], found: Sequence[Elements], prepared: Prepared) -> None:
    """Raise AlreadyExists if a descriptor is that of anybody else; there are no kits where there is nobody else."""
    limit = prepared.network.program.threshold("")
    for kit, descriptor in zip(kits, found if kits else (), strict=True):
        # within the default distance of any row? the parties learn this bit and no other
        if await matching.is_known(run, kit, descriptor, prepared.own.shares, limit):
            raise AlreadyExists("a photo shows somebody who is enrolled under another name")
