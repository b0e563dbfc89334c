"""What is to hold of descriptors before they are stored: not too much like a model's mean, and nobody else's where asked."""

from collections.abc import Sequence

import numpy as np
from visard_engine import matching
from visard_engine.errors import InputRefused
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.session import Run
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations import candidates, uniqueness
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.workers.asked import Searched


def plans(asked: Asked, model: Published, rows: Searched) -> tuple[KitPlan, ...]:
    """Of the kits that this takes: one for the test against the mean, if the model has one, and those of ``uniqueness``."""
    program = model.program
    mean = (matching.mean_plan(program.q, asked.request.images),) if model.tested else ()
    if asked.request.review:
        return mean + candidates.Search.for_review(program).plans(rows) * asked.request.images if rows else mean
    return mean + uniqueness.plans(asked, model, rows)


async def check(
    resources: Resources, run: Run, kits: Sequence[Kit], found: Sequence[Elements], prepared: Prepared
) -> common_pb2.Outcome | None:
    """Raise InputRefused for a descriptor that is too much like the mean, AlreadyExists for one that must not be somebody else's.

    Who it may be, for a review of it; None where it is not to be reviewed, or nobody else is enrolled.
    """
    mean = prepared.network.program.mean_test
    if mean is not None:
        own, *kits = kits
        if (await matching.resembles_mean(run, own, np.stack(found), mean)).any():
            raise InputRefused("share", "another photo, for this one is too much like an average face")
    if prepared.request.review:
        search = candidates.Search.for_review(prepared.network.program)
        return await search.outcome(resources, prepared, run, kits, found) if prepared.rows else None
    await uniqueness.check(run, kits, found, prepared)
    return None
