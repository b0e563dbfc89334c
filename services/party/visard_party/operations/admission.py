"""What is to hold of descriptors before they are stored: not too much like a model's mean, and nobody else's where asked."""

from collections.abc import Sequence

import numpy as np
from visard_engine import matching
from visard_engine.errors import InputRefused
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.session import Run

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations import uniqueness
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources


async def others(resources: Resources, asked: Asked, model: Published) -> Rows:
    """The references that each photo is compared with."""
    return await uniqueness.others(resources, asked, model)


def plans(asked: Asked, model: Published, rows: Rows) -> tuple[KitPlan, ...]:
    """Of the kits that this takes: one for the test against the mean, if the model has one, and those of ``uniqueness``."""
    program = model.program
    mean = (matching.mean_plan(program.q, asked.request.images),) if model.tested else ()
    return mean + uniqueness.plans(asked, model, rows)


async def check(run: Run, kits: Sequence[Kit], found: Sequence[Elements], prepared: Prepared) -> None:
    """Raise InputRefused for a descriptor that is too much like the mean, AlreadyExists for one that is somebody else's."""
    mean = prepared.network.program.mean_test
    if mean is not None:
        own, *kits = kits
        if (await matching.resembles_mean(run, own, np.stack(found), mean)).any():
            raise InputRefused("share", "another photo, for this one is too much like an average face")
    await uniqueness.check(run, kits, found, prepared)
