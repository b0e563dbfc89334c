"""What is to hold of descriptors before they are stored: not too much like a model's mean, and nobody else's where asked."""

from collections.abc import Sequence

import numpy as np
from visard_engine import matching
from visard_engine.errors import InputRefused
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.program import Program
from visard_engine.session import Run
from visard_wire.v1 import common_pb2

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.intake.requests import DEFAULT_POINT
from visard_party.models import Published
from visard_party.operations import candidates, uniqueness
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.workers import Searched


async def others(resources: Resources, asked: Asked, model: Published) -> Searched:
    """The references of everybody else, which each photo is compared with; none where the request does not ask for it.

    Of a review they may be the workers'; what is refused at once opens one bit of all of them, which this party holds itself.
    """
    request = asked.request
    if request.review:
        return await candidates.searched(resources, asked, model, request.subject)
    return await candidates.own_rows(resources, asked, model, request.subject) if request.unique else Rows()


def plans(asked: Asked, model: Published, rows: Searched) -> tuple[KitPlan, ...]:
    """Of the kits that this takes: one for the test against the mean, if the model has one, and those of ``uniqueness``."""
    program = model.program
    mean = (matching.mean_plan(program.q, asked.request.images),) if model.tested else ()
    if asked.request.review:
        return mean + _search(program).plans(rows) * asked.request.images if rows else mean
    assert isinstance(rows, Rows)
    return mean + uniqueness.plans(asked, model, rows)


def _search(program: Program) -> candidates.Search:
    """Of a review; photos that are too much like the mean have been refused before."""
    return candidates.Search.at(program, DEFAULT_POINT, None)


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
        search = _search(prepared.network.program)
        return await search.outcome(resources, prepared, run, kits, found) if prepared.rows else None
    await uniqueness.check(run, kits, found, prepared)
    return None
