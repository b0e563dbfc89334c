"""Whether somebody is enrolled already, under another name: what an enrolment that is to be unique asks of each photo."""

from collections.abc import Sequence

import numpy as np
from visard_common.errors import AlreadyExists
from visard_engine import matching
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Run, Session

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


async def others(resources: Resources, asked: Asked, model: Published) -> Rows:
    """The references of everybody else, which each photo is compared with; none where the request need not be unique."""
    request = asked.request
    if not request.unique:
        return Rows()
    rows = await resources.galleries.get(request.model, model.model.field)
    return rows.live(request.expires_unix_ms).without(request.subject)


def plans(asked: Asked, model: Published, rows: Rows) -> tuple[KitPlan, ...]:
    """Of the kits that this takes: one a photo, none where there is nobody else."""
    return (matching.verify_plan(model.program.q, len(rows)),) * asked.request.images if rows else ()


async def check(channel: SessionChannel, kits: Sequence[Kit], found: Sequence[Elements], prepared: Prepared) -> None:
    """Raise AlreadyExists if a descriptor is that of anybody else; there are no kits where there is nobody else."""
    run = Run(channel)
    for kit, descriptor in zip(kits, found, strict=False):
        if await _is_known(run, kit, descriptor, prepared):
            raise AlreadyExists("a photo shows somebody who is enrolled under another name")


async def _is_known(run: Run, kit: Kit, descriptor: Elements, prepared: Prepared) -> bool:
    """Whether a descriptor is within the default distance of any row; the parties learn this bit and no other."""
    limit = prepared.network.program.threshold("")
    bits = await matching.verify(run, kit, descriptor, prepared.rows.shares, limit)
    (word,) = await open_bits(Session(run, kit), bits.shared)
    return bool(word & np.uint64(1))
